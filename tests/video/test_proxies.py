"""Proxies show the same frames, smaller and with keyframes where they should be, and are made once."""

import av
import numpy as np
import pandas as pd
import pytest
import trees

from aurl import UserError
from aurl.video import VideoError, proxies, read_clips, read_frames


@pytest.fixture
def movie(tmp_path):
    trees.video(tmp_path / "in.avi", frames=21, width=98, height=64)
    return tmp_path / "in.avi"


def keyframes(path):
    with av.open(str(path)) as container:
        return [i for i, frame in enumerate(container.decode(video=0)) if frame.key_frame]


def test_frames_are_the_same_but_smaller(movie, tmp_path):
    proxies.transcode(movie, tmp_path / "new/out.mp4", side=32, keyframe=4, crf=10)
    small, large = read_frames(tmp_path / "new/out.mp4"), read_frames(movie)
    assert small.shape == (21, 32, 48, 3) and keyframes(tmp_path / "new/out.mp4") == [0, 4, 8, 12, 16, 20]
    assert (
        abs(small[:, 8:24, 6:18].mean(axis=(1, 2)) - large[:, 16:48, 12:36].mean(axis=(1, 2))).max() < 6
    )  # the frames' own grey
    np.testing.assert_array_equal(
        read_clips(tmp_path / "new/out.mp4", 3, 2, 1, 16, first=9, total=5)[0],
        read_frames(tmp_path / "new/out.mp4", 16)[[9, 11, 13]],
    )


def test_small_videos_are_not_enlarged_and_the_same_video_gives_the_same_bytes(movie, tmp_path):
    for name in ("a.mp4", "b.mp4"):
        proxies.transcode(movie, tmp_path / name, side=128)
    assert read_frames(tmp_path / "a.mp4").shape == (21, 64, 98, 3)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_a_broken_video_leaves_nothing(movie, tmp_path):
    (tmp_path / "cut.avi").write_bytes(movie.read_bytes()[:3000])
    with pytest.raises(VideoError):
        proxies.transcode(tmp_path / "cut.avi", tmp_path / "out/p.mp4")
    assert not list((tmp_path / "out").iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"the proxy .*file/p\.mp4 cannot be written"):
        proxies.transcode(movie, tmp_path / "file/p.mp4")


def test_all_are_made_once_and_again_after_a_change(movie, tmp_path, in_process, monkeypatch):
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    rows = pd.DataFrame(
        {"id": ["s/x/000", "s/x/001", "s/y"], "path": [str(movie)] * 2 + [str(tmp_path / "bad.mp4")], "status": "ok"}
    )
    made, calls = [], proxies.transcode
    monkeypatch.setattr(proxies, "transcode", lambda source, *rest: made.append(str(source)) or calls(source, *rest))
    found = proxies.make_all(rows, tmp_path / "small", 32, 4, 20)
    target = (tmp_path / "small/s/x/000.mp4").as_posix()
    assert found["path"].tolist() == [target, target, str(tmp_path / "bad.mp4")] and read_frames(target).shape[1:3] == (
        32,
        48,
    )
    assert found["status"].tolist()[:2] == ["ok", "ok"] and found["status"][2].startswith(
        "no proxy: it cannot be decoded"
    )
    proxies.make_all(rows, tmp_path / "small", 32, 4, 20)
    assert made.count(str(movie)) == 1
    proxies.make_all(rows, tmp_path / "small", 16, 4, 20)
    trees.video(movie, frames=5, width=98, height=64)
    proxies.make_all(rows, tmp_path / "small", 16, 4, 20)
    assert made.count(str(movie)) == 3 and len(read_frames(target)) == 5
