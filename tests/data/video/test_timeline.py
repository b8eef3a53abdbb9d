"""Seconds mean what players show: the last frame that begins at or before them.

``ffmpeg -i FILE -ss SECONDS`` was compared once; it gives this frame or, between two frames, the next.
"""

import sys
from pathlib import Path

import av
import numpy as np
import pytest

from aurl.data.video import probe, timeline

SHOWN = {  # file of benchmarks/damage.py -> start, frames per second, and pairs of seconds and the frame shown then
    "h264-pyramid.mp4": (0, 10, [(0, 0), (0.55, 5), (2.5, 25), (4.75, 47), (4.8, 48)]),
    "h264-edit-list.mp4": (0, 10, [(0, 0), (2.5, 25), (4.25, 42), (4.3, 43)]),
    "h264-late.mp4": (2, 10, [(0, 0), (2, 0), (3, 10), (6.75, 47), (6.8, 48)]),
    "h264-joined.ts": (0, 10, [(2, 20), (4.7, 47), (4.8, 48), (9.5, 95), (9.6, 96)]),
    "h264-cut.ts": (0, 10, [(0, 0), (3.5, 35)]),
    "h264.avi": (0.2, 10, [(0.2, 0), (1.2, 10), (4.9, 47)]),  # has no times of presentation
    "gif.gif": (0, 10, [(2.5, 25)]),
}


@pytest.fixture
def encode(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[3] / "benchmarks")
    monkeypatch.delitem(sys.modules, "damage", raising=False)
    from damage import encode

    return encode


def frames(found, *seconds):
    line = (found[name] for name in ("start", "fps", "frames", "times"))
    line = tuple(line)
    return [timeline.frame_at(time, *line) for time in seconds]


@pytest.mark.parametrize("name", SHOWN)
def test_the_frame_at_a_time_is_the_one_that_players_show(tmp_path, encode, name):
    start, fps, pairs = SHOWN[name]
    (tmp_path / name).write_bytes(encode(name))
    found = probe(tmp_path / name)
    assert found["status"] == "ok" and found["start"] == pytest.approx(start, abs=1e-3)
    assert found["fps"] == fps and found["times"] == [] and found["duration"] == found["frames"] / fps
    assert frames(found, *(time for time, _ in pairs)) == [frame for _, frame in pairs]


def test_uneven_frames_have_times_of_their_own(tmp_path, encode):
    (tmp_path / "a.mp4").write_bytes(encode("h264-uneven.mp4"))
    found = probe(tmp_path / "a.mp4")
    times = np.array(found["times"])
    assert len(times) == 48 and set(np.diff(times).round(3)) == {0.03, 0.07, 0.1, 0.33}
    assert frames(found, *times) == list(range(48)) == frames(found, *(times + 0.02))
    assert frames(found, found["duration"] - 0.05, found["duration"]) == [47, 48]
    assert found["fps"] == pytest.approx(48 / found["duration"])


@pytest.mark.parametrize("jump, restarts, expected", [(15, True, []), (15, False, "times"), (-4, False, [])])
def test_a_new_clock_goes_on_where_the_old_one_ended(jump, restarts, expected):
    """FFmpeg takes a gap of ten seconds in a stream of packets for one, and a step back in any file."""
    times = [0.1 * i + jump * (i >= 50) for i in range(100)]
    found = timeline.of_frames(times, 10.0, 0.0, restarts)
    if expected:
        assert found["times"][50] == 20 and found["duration"] == pytest.approx(25)
    else:
        assert found == dict(start=0.0, fps=10.0, duration=10.0, times=[])


def test_a_wrong_rate_in_the_header_does_not_count():
    found = timeline.of_frames([i / 29.97 for i in range(300)], 30.5, 0.0, False)
    assert found["fps"] == pytest.approx(29.97) and found["times"] == []
    assert timeline.of_frames([0.0], 0.0, None, False) == dict(start=0.0, fps=25.0, duration=0.04, times=[])
    assert timeline.of_frames([None, None], 0.0, None, False)["duration"] == 0.08


def test_of_several_videos_ffmpegs_default_is_read(tmp_path):
    """The default one, else the one with the most pixels."""
    for default, width in ((None, 96), (0, 48)):
        with av.open(str(tmp_path / "a.mkv"), "w") as output:
            streams = [output.add_stream("mpeg4", 10) for _ in range(2)]
            for i, stream in enumerate(streams):
                stream.width, stream.height = 48 * (i + 1), 32 * (i + 1)
                stream.disposition = av.stream.Disposition.default if i == default else av.stream.Disposition(0)
            for stream in streams:
                frame = av.VideoFrame.from_ndarray(np.zeros((stream.height, stream.width, 3), np.uint8))
                output.mux(stream.encode(frame) + stream.encode(None))
        assert probe(tmp_path / "a.mkv")["width"] == width
