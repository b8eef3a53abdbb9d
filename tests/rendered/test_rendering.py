"""Rendered pictures are the same everywhere and depend on nothing else; files are as the manifest says."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aurl.data import video
from aurl.data.manifest import COLUMNS
from aurl.project import config
from aurl.project.paths import RENDERED
from aurl.rendered import rendering, verbs
from aurl.rendered.motions import VERBS

DIGESTS = {  # verb, number and size of a video -> SHA-256 of its pictures, as the first renderer (0.1) drew them
    ("bouncing", 0, 64): "5cbe635c50eea565",  # ball, beside it box
    ("rolling", 1, 64): "021361eb9311ea3e",  # box, beside it ball
    ("tumbling", 2, 64): "b6b567d4f694751e",  # barrel, beside it ball
    ("somersaulting", 3, 64): "35462a363b9efc80",  # duck, beside it ball
    ("fading", 4, 64): "0b8ad0042d08a364",  # ball, beside it barrel
    ("vanishing", 5, 32): "99df97f39517c2fc",  # box, beside it barrel
    ("darkening", 6, 64): "e08ea6ee722364d0",  # barrel, beside it box
    ("exploding", 7, 64): "9ab4b8b037bb1e60",  # duck, beside it box
    ("assembling", 8, 64): "1858e92c046411ed",  # ball, beside it duck
    ("mixing", 9, 64): "592cb8eeb8ce403a",  # box, beside it duck
    ("flattening", 10, 64): "63acbb85797e8a48",  # barrel, beside it duck
    ("stretching", 11, 64): "f5db19ce5c92317e",  # duck, beside it barrel
    ("chasing", 12, 64): "da856031625e8b3c",  # ball, beside it box
    ("crashing", 13, 64): "3b2f026c32c5639c",  # box, beside it ball
    ("circling", 14, 32): "da1a5bd9085a009b",  # barrel, beside it ball
    ("carrying", 15, 64): "6bbbf47e32ac3ec4",  # duck, beside it ball
    ("sinking", 16, 64): "08a356b59246ae48",  # ball, beside it barrel
    ("knocking", 17, 64): "6f1563955592e5ba",  # box, beside it barrel
    ("disappearing", 19, 64): "9c2035a2b7ecaaaa",  # duck, beside it box
    ("swinging", 23, 64): "4750868ad41f3d3a",  # duck, beside it barrel
}


def pictures(name="bouncing", index=0, seed=0, set_="verbs-seen", size=32, frames=6):
    return rendering.render(verbs.Video(set_, "train", name, index), seed, size, frames)


@pytest.fixture
def build(tmp_path, monkeypatch, in_process):
    """Renders a few videos in an empty directory, in this process."""
    monkeypatch.chdir(tmp_path)
    everything = verbs.videos

    def build(names=("accelerating",), **changes):
        small = {"seed": 0, "fold": 0, "size": 16, "frames": 6, "fps": 12, "videos": 2, "val_videos": 1}
        params = config.sections.Verbs(**small | changes)
        monkeypatch.setattr(verbs, "videos", lambda params: [v for v in everything(params) if v.name in names])
        return rendering.build("data/verbs", params)

    return build


@pytest.mark.parametrize("about", DIGESTS, ids=lambda about: about[0])
def test_pictures_are_those_of_the_first_renderer(about):
    """They hold each solid, opacity, brightness, scaling, pieces, another thing that moves, and the ground."""
    name, index, size = about
    drawn = pictures(name, index, size=size, frames=24)
    assert hashlib.sha256(drawn.tobytes()).hexdigest()[:16] == DIGESTS[about]


def test_pictures_depend_on_their_own_name_number_and_seed_only():
    first = pictures()
    assert first.shape == (6, 32, 32, 3) and first.dtype == np.uint8
    pictures("falling", 3)
    np.testing.assert_array_equal(pictures(), first)
    np.testing.assert_array_equal(pictures(set_="verbs-unseen"), first)  # the same in every fold
    for other in (pictures(index=1), pictures(seed=1), pictures("falling")):
        assert (other != first).any()


@pytest.mark.parametrize("name", sorted(VERBS))
def test_something_can_be_seen(name, monkeypatch):
    shown = pictures(name).astype(int)
    monkeypatch.setattr(rendering, "paint", lambda *_: None)
    assert np.abs(shown - pictures(name).astype(int)).max() > 40  # not only ground and sky
    # All but those that only hold still show it in how pictures differ.
    assert np.abs(np.diff(shown, axis=0)).max() > (0 if name == "creeping" else 8)


def test_files_are_as_the_manifest_says(build):
    Path("data/verbs/verbs-seen").mkdir(parents=True)
    Path("data/verbs/verbs-seen/old.mp4").touch()
    manifest = build(videos=3, size=32)
    assert not Path("data/verbs/verbs-seen/old.mp4").exists()
    assert list(manifest.columns) == COLUMNS and len(manifest) == 3
    for row in manifest.to_dict("records"):
        assert row["words"] == row["class"] == "accelerating" and row["status"] == "ok"
        assert (row["frames"], row["width"], row["height"]) == (6, 32, 32)
        assert video.probe(row["path"])["digest"] == row["digest"]
    assert abs(video.read_frames(manifest["path"][0]).astype(int) - pictures("accelerating")).mean() < 6


def test_folds_share_what_was_rendered(build):
    def times():
        return {path: path.stat().st_mtime_ns for path in RENDERED.rglob("*.mp4")}

    names = ("accelerating", "approaching")
    first = build(names)
    before = times()
    other = build(names, fold=verbs.fold("accelerating"))
    assert times() == before and len(before) == 4
    assert sorted(other["digest"]) == sorted(first["digest"])
    assert "test" in other.loc[other["class"] == "accelerating", "split"].unique()
    build(names, size=32)
    assert len(times()) == 8


def test_a_rendered_video_that_was_cut_or_swapped_is_rendered_again(build):
    first = build()
    kept = sorted(RENDERED.rglob("*.mp4"))
    whole = [path.read_bytes() for path in kept]
    kept[0].write_bytes(whole[0][: len(whole[0]) // 2])
    kept[1].write_bytes(bytes(byte ^ 1 for byte in whole[1]))  # as long as it was
    pd.testing.assert_frame_equal(build(), first)
    assert [path.read_bytes() for path in kept] == whole


def test_an_encoder_repeats_itself_to_the_byte(tmp_path):
    """One that reads unwritten memory finds something else there every time."""
    rng, memory = np.random.default_rng(0), []
    for name in ("bouncing", "exploding", "knocking"):
        frames, found = pictures(name, 3, size=96, frames=8), set()
        for _ in range(12):
            memory = [*memory[-4:], rng.integers(0, 255, rng.integers(1000, 200_000), dtype=np.uint8)]
            video.write_video(tmp_path / "a.mp4", frames, 12)
            found.add((tmp_path / "a.mp4").read_bytes())
        assert len(found) == 1, name
