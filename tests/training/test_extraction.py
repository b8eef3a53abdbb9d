"""Features of a data set: which frames they are of, resumption, several processes, and when they are made again."""

import hashlib
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
import trees

from aurl import UserError
from aurl.data.readers import features
from aurl.data.video import read_frames
from aurl.project import config, paths
from aurl.training import extraction

# Its vectors are the means of the frames' left half, which tell the frames' numbers, and of the right half.
ENCODER = """
import os
import numpy as np

def halves(clips):
    with open("calls", "a") as file:
        file.write(f"{os.getpid()} {len(clips)}\\n")
    if os.path.exists("stop") and sum(int(line.split()[1]) for line in open("calls")) > 4:
        raise ValueError("stopped")
    means = clips.mean(axis=(2, 4))
    return np.concatenate([means[:, :, :10].mean(axis=2), means[:, :, -10:].mean(axis=2)], axis=1)

def nothing(clips):
    return np.full((len(clips), 2), 1e30 if len(clips) else 0)
"""
COMPUTE = config.load(Path(__file__).parents[2] / "params.yaml", sections=["compute"]).compute
SETTINGS = {
    "segments": 1, "frames": 4, "stride": None, "size": 32, "crop": "squash", "batch": 2, "dtype": "float32",
    "processes": 1, "compute": COMPUTE.model_copy(update={"workers": 0}),
}  # fmt: skip


@pytest.fixture
def rows(tmp_path, monkeypatch):
    """Six videos of 20 to 25 frames, in parts of two."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    monkeypatch.setattr(extraction, "PART", 2)
    Path("own.py").write_text(ENCODER)
    sys.modules.pop("own", None)
    for i in range(6):
        trees.video(f"videos/{i}.mp4", color=i, frames=20 + i, width=64, height=64)
    rows = pd.DataFrame({"path": [f"videos/{i}.mp4" for i in range(6)], "id": [f"c/{i}" for i in range(6)]})
    rows["class"], rows["split"] = ["run", "walk"] * 3, ["train", "val", "", "test", "", ""]
    digests = [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in rows["path"]]
    rows = rows.assign(first=0, frames=range(20, 26), fps=10.0, digest=digests)
    return rows.assign(duration=rows["frames"] / rows["fps"])


def extract(rows, name="own:halves", path="out/own.npz", **changes):
    return extraction.extract(rows, name, None, path, SETTINGS | changes, ["web", "ucf101"], "own")


def calls():
    return [int(line.split()[1]) for line in Path("calls").read_text().splitlines()]


def expected(rows, stride=None, segments=1):
    """Halves of frames that begin each segment of a video and are ``stride`` apart; a clip begins again at the end."""
    found = []
    for path, total in zip(rows["path"], rows["frames"]):
        frames, length = read_frames(path, 32).astype(float), total // segments
        step = stride or length // 4
        chosen = [[(k * length + step * i) % total for i in range(4)] for k in range(segments)]
        halves = (frames[:, :, :10], frames[:, :, -10:])
        found.append([np.concatenate([half[places].mean(axis=(1, 2, 3)) for half in halves]) for places in chosen])
    return np.array(found)


def test_the_file_is_read_as_a_data_set(rows):
    assert extract(rows)
    found = features.load("out/own.npz")
    np.testing.assert_allclose(found.features, expected(rows), atol=1e-3)
    assert (found.labels, found.ids, found.splits) == (list(rows["class"]), list(rows["id"]), list(rows["split"]))
    with np.load("out/own.npz") as arrays:
        assert arrays["features"].dtype == np.float32 and arrays["features"].shape == (6, 8)
        assert arrays["pretraining"].tolist() == ["web", "ucf101"]
        assert str(arrays["encoder"]) == "own:halves (1 x 4 frames, spread, 32 pixels, squash)"
    assert not list(paths.ENCODED.rglob("*.npz"))  # parts are removed


def test_segments_strides_and_types(rows):
    extract(rows, segments=2, stride=3, dtype="float16")
    with np.load("out/own.npz") as arrays:
        assert arrays["features"].dtype == np.float16 and arrays["features"].shape == (6, 2, 8)
        np.testing.assert_allclose(arrays["features"], expected(rows, 3, 2), atol=0.1)
    extract(rows, segments=2)
    np.testing.assert_allclose(features.load("out/own.npz").features, expected(rows, None, 2), atol=1e-3)


def test_an_interrupted_run_continues(rows):
    Path("stop").touch()
    with pytest.raises(UserError, match="own:halves failed .ValueError: stopped"):
        extract(rows)
    assert calls() == [2, 2, 2] and not Path("out").exists()
    Path("stop").unlink()
    kept = sorted(paths.ENCODED.rglob("*.npz"))
    kept[0].write_bytes(kept[0].read_bytes()[:-1])  # damaged, so it is made again; the second is good
    assert extract(rows) and calls()[3:] == [2, 2]
    whole = Path("out/own.npz").read_bytes()
    assert extract(rows, path="other/own.npz") and Path("other/own.npz").read_bytes() == whole


def test_only_what_changed_is_computed_again(rows):
    assert extract(rows) and not extract(rows) and len(calls()) == 3
    assert extract(rows.assign(**{"class": "run"})) and extract(rows, dtype="float16") and extract(rows, stride=2)
    before = len(calls())
    Path("own.py").write_text(f"{ENCODER}\n# Another encoder.\n")
    assert extract(rows, stride=2) and len(calls()) == before + 3
    trees.video("videos/0.mp4", color=9, frames=20, width=64, height=64)
    with pytest.raises(UserError, match="videos/0.mp4: it has changed since it was listed"):
        extract(rows, stride=2, frames=2)
    Path("out/own.npz").write_bytes(b"cut short")
    with pytest.raises(UserError, match="changed"):
        extract(rows)


def test_two_runs_do_not_compute_the_same_features_at_once(rows, monkeypatch):
    encode = extraction._encode_parts

    def begin_another(*given):
        with pytest.raises(UserError, match="^another process is computing the features of own: wait until it ends"):
            extract(rows)
        encode(*given)

    monkeypatch.setattr(extraction, "_encode_parts", begin_another)
    assert extract(rows)


def test_two_processes_give_the_same_file(rows, monkeypatch):
    monkeypatch.setattr(extraction, "PART", 128)  # as in the other processes, which share two parts
    monkeypatch.setenv("PYTHONPATH", f"{os.getcwd()}:{os.environ.get('PYTHONPATH', '')}")
    many = pd.concat([rows] * 25, ignore_index=True)
    many["id"] = [f"c/{i}" for i in range(len(many))]
    extract(many, path="one/own.npz")
    assert len({line.split()[0] for line in Path("calls").read_text().splitlines()}) == 1
    Path("calls").unlink()
    extract(many, path="two/own.npz", processes=2)
    assert len({line.split()[0] for line in Path("calls").read_text().splitlines()}) == 2 and sum(calls()) == 150
    assert Path("one/own.npz").read_bytes() == Path("two/own.npz").read_bytes()


def test_numbers_that_cannot_be_held(rows):
    with pytest.raises(UserError, match="numbers that float16 cannot hold, for the video c/0: .* take --dtype float32"):
        extract(rows, "own:nothing", dtype="float16")


def test_clips_that_a_network_does_not_take(rows):
    torch.save(torchvision.models.get_model("s3d", weights=None).state_dict(), "s3d.pth")
    with pytest.raises(UserError, match="s3d takes no clips of 4 frames of 32 x 32 pixels .* leave out --frames"):
        extraction.extract(rows, "s3d", "s3d.pth", "out.npz", SETTINGS, [], "own")
