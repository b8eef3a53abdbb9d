"""Proxies show the same frames, smaller and with regular keyframes, and are made once."""

import av
import numpy as np
import pandas as pd
import pytest
import trees

from aurl import UserError
from aurl.data import proxies
from aurl.data.video import VideoError, probe, read_clips, read_frames
from aurl.data.video.reading import digest


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
    grays = small[:, 8:24, 6:18].mean(axis=(1, 2)), large[:, 16:48, 12:36].mean(axis=(1, 2))
    assert abs(grays[0] - grays[1]).max() < 6  # every frame has a gray of its own
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
    rows = listed(movie, tmp_path / "bad.mp4")
    made, calls = [], proxies.transcode
    monkeypatch.setattr(proxies, "transcode", lambda source, *rest: made.append(str(source)) or calls(source, *rest))

    def make(rows, *settings):
        made.clear()
        return proxies.make_all(rows, tmp_path / "small", *settings, tmp_path / "cache.jsonl")

    found = make(rows, 32, 4, 20)
    target = (tmp_path / "small/s/x/000.mp4").as_posix()
    assert found["path"].tolist() == [target, target, str(tmp_path / "bad.mp4")] and made.count(str(movie)) == 1
    assert found["status"].tolist()[:2] == ["ok", "ok"]
    assert found["status"][2].startswith("no proxy: it cannot be decoded")
    described = ["width", "height", "codec", "digest"]
    assert found[:1][described].to_dict("records") == [{name: probe(target)[name] for name in described}]
    assert found["frames"].tolist() == rows["frames"].tolist() and probe(target)["frames"] == 21
    pd.testing.assert_frame_equal(make(rows, 32, 4, 20), found)
    assert made == [str(tmp_path / "bad.mp4")]

    digests = {found["digest"][0]}
    for settings in ((16, 4, 20), (16, 2, 20), (16, 2, 30)):  # side, keyframe, crf
        digests |= {make(rows, *settings)["digest"][0]}
        assert made.count(str(movie)) == 1
    trees.video(movie, frames=5, width=98, height=64)
    digests |= {make(listed(movie, tmp_path / "bad.mp4"), 16, 2, 30)["digest"][0]}
    assert len(digests) == 5 and made.count(str(movie)) == 1 and len(read_frames(target)) == 5


def listed(movie, bad):
    """Two segments of a video, and a video that was broken after it was probed."""
    rows = pd.DataFrame([probe(movie), probe(movie), probe(bad) | {"digest": digest(bad)}])
    return rows.assign(id=["s/x/000", "s/x/001", "s/y"], path=[str(movie)] * 2 + [str(bad)], first=0, status="ok")


def test_a_video_that_changed_since_it_was_probed_is_not_copied(movie, tmp_path, in_process):
    rows = listed(movie, movie)[:1]
    trees.video(movie, frames=5, width=98, height=64)
    found = proxies.make_all(rows, tmp_path / "small", 32, 4, 20, tmp_path / "cache.jsonl")
    assert found["status"][0] == "no proxy: it has changed since it was listed; prepare the data again"
    assert found["path"][0] == str(movie) and not list(tmp_path.rglob("000.*"))


def test_a_proxy_that_was_cut_short_is_made_again(movie, tmp_path, in_process):
    rows = listed(movie, movie)[:1]
    first = proxies.make_all(rows, tmp_path / "small", 32, 4, 20, tmp_path / "cache.jsonl")
    proxy = tmp_path / "small/s/x/000.mp4"
    whole = proxy.read_bytes()
    proxy.write_bytes(whole[:500])
    pd.testing.assert_frame_equal(
        proxies.make_all(rows, tmp_path / "small", 32, 4, 20, tmp_path / "cache.jsonl"), first
    )
    assert proxy.read_bytes() == whole
