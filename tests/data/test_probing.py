"""Videos are probed once, broken ones too, and a run that was stopped continues."""

import json
import os

import numpy as np
import pandas as pd
import pytest
import trees

from aurl import UserError
from aurl.data import probing, video


@pytest.fixture
def rows(tmp_path, in_process):
    """Two whole videos, the second with two segments; a broken, an empty and a missing one."""
    for name, frames in (("a.mp4", 20), ("b.mp4", 30)):
        trees.video(tmp_path / name, frames=frames)
    (tmp_path / "cut.mp4").write_bytes((tmp_path / "a.mp4").read_bytes()[:300])
    (tmp_path / "empty.mp4").touch()
    names = ["a.mp4", "b.mp4", "b.mp4", "b.mp4", "cut.mp4", "empty.mp4", "gone.mp4"]
    nan = np.nan
    return pd.DataFrame(
        {"id": [f"v{i}" for i in range(7)], "path": [str(tmp_path / name) for name in names], "class": list("xxyyxxx"),
         "split": "", "begin": [nan, 0, 1, 9, nan, nan, nan], "end": [nan, 1, 9, 10, nan, nan, nan]},
    )  # fmt: skip


def test_every_row_says_what_its_file_holds_or_why_not(rows, tmp_path):
    found = probing.probe_all(rows, tmp_path / "cache.jsonl")
    assert found["frames"].tolist()[:4] == [20, 10, 20, 0] and found["first"].tolist()[:3] == [0, 0, 10]
    assert found["status"].tolist()[:4] == ["ok", "ok", "ok", "its segment lies outside of it"]
    assert not found["status"][4:].eq("ok").any()
    assert found["status"][5:].tolist() == ["it is empty", "it does not exist"]
    assert (found["fps"][:3] == 10).all() and found["codec"][0] == "h264"
    assert (found["width"][0], found["height"][0]) == (48, 36)
    assert found["id"].tolist() == rows["id"].tolist()


def test_segments_follow_the_times_of_uneven_frames(tmp_path, in_process):
    milliseconds = np.cumsum([0] + [40] * 20 + [160] * 19)
    trees.timed(tmp_path / "a.mp4", np.zeros((40, 32, 48, 3), np.uint8), milliseconds)
    segments = [(0.8, 1.6), (0, 0.4), (1.6, np.nan), (np.nan, np.nan), (9, 10)]
    rows = pd.DataFrame(segments, columns=["begin", "end"]).assign(path=str(tmp_path / "a.mp4"))
    found = probing.probe_all(rows, tmp_path / "cache.jsonl")
    assert found[["first", "frames"]].values.tolist() == [[20, 5], [0, 10], [25, 15], [0, 40], [40, 0]]
    again = probing.probe_all(rows, tmp_path / "cache.jsonl")  # from the cache
    assert again[["first", "frames"]].equals(found[["first", "frames"]])


def test_a_file_is_probed_once_and_again_when_it_changes_or_could_not_be_read(rows, tmp_path, monkeypatch):
    probed = []
    monkeypatch.setattr(
        probing, "probe", lambda path, *rest: probed.append(os.path.basename(path)) or video.probe(path)
    )
    first = probing.probe_all(rows, tmp_path / "cache.jsonl")
    assert sorted(probed) == ["a.mp4", "b.mp4", "cut.mp4", "empty.mp4", "gone.mp4"]
    pd.testing.assert_frame_equal(probing.probe_all(rows, tmp_path / "cache.jsonl"), first)
    assert sorted(probed[5:]) == ["cut.mp4", "empty.mp4", "gone.mp4"]
    trees.video(tmp_path / "a.mp4", frames=25)
    again = probing.probe_all(rows, tmp_path / "cache.jsonl")
    assert sorted(probed[8:]) == ["a.mp4", "cut.mp4", "empty.mp4", "gone.mp4"]
    assert again["frames"][0] == 25 and again["digest"][0] != first["digest"][0]
    assert again["digest"][1:].equals(first["digest"][1:]) and first["digest"].map(len).tolist() == [64] * 4 + [0] * 3


def test_what_another_version_found_is_not_taken_over(rows, tmp_path):
    cache = tmp_path / "cache.jsonl"
    first = probing.probe_all(rows, cache)
    path, stamp, found = json.loads(next(line for line in cache.read_text().splitlines() if "a.mp4" in line))
    shorter = {name: value for name, value in found.items() if name != "digest"}
    for other in ([path, stamp, shorter], [path, stamp, *found.values()], [path], path, None):
        cache.write_text(json.dumps(other) + "\n")
        pd.testing.assert_frame_equal(probing.probe_all(rows, cache), first)


@pytest.mark.parametrize("left", [0, 1, 2.5])
def test_a_stopped_run_continues(rows, tmp_path, monkeypatch, left):
    cache = tmp_path / "cache.jsonl"
    whole = probing.probe_all(rows, cache)
    lines = [line for line in cache.read_text().splitlines() if line]
    assert len(lines) == 5 and json.loads(lines[0])[0].endswith("a.mp4")
    rest = "\n" + lines[int(left)][:20] if left % 1 else "\n"  # a kill may cut a line
    cache.write_text("\n".join(lines[: int(left)]) + rest)
    again = []
    monkeypatch.setattr(probing, "probe", lambda path, *rest: again.append(path) or video.probe(path))
    pd.testing.assert_frame_equal(probing.probe_all(rows, cache), whole)
    assert len(again) == 5 - int(left)
    assert len(probing.probe_all(rows, cache)) == 7 and len(again) == 8 - int(left)  # the three that cannot be read


def test_unusable_videos_are_listed_and_too_many_are_an_error(rows, tmp_path):
    found = probing.probe_all(rows, tmp_path / "cache.jsonl")
    listed = probing.rejected(found.assign(set="own"))
    assert listed["id"].tolist() == ["v3", "v4", "v5", "v6"] and (listed["reason"].str.len() > 5).all()
    assert probing.usable(found, 0.6, "r.csv")["id"].tolist() == ["v0", "v1", "v2"]
    too_many = (
        r"4 of 7 videos cannot be used, more than prepare\.broken allows \(50\.0%\); 1 of them: .*; r\.csv lists all"
    )
    with pytest.raises(UserError, match=too_many):
        probing.usable(found, 0.5, "r.csv")
    with pytest.raises(UserError, match=r'no video of the class "z" can be used; r\.csv says why'):
        probing.usable(pd.concat([found, found[4:5].assign(**{"class": "z"})]), 0.9, "r.csv")


def test_a_cache_that_cannot_be_written_is_named(rows, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cache.jsonl cannot be written"):
        probing.probe_all(rows, tmp_path / "file/cache.jsonl")


def test_a_cache_that_knows_all_files_is_not_written(rows, tmp_path):
    file, usable = tmp_path / "cache.jsonl", rows[:2]
    found = probing.probe_all(usable, file)
    before = file.read_bytes()
    pd.testing.assert_frame_equal(probing.probe_all(usable, file), found)
    assert file.read_bytes() == before
