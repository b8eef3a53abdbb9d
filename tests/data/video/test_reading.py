"""Decoding, clip sampling and encoding, on videos whose frames carry their number."""

import hashlib
import os
import pickle
import struct
import subprocess
import sys
import wave

import av
import disk
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import STEP, numbers

from aurl import UserError
from aurl.data import video
from aurl.data.video import reading


def numbered(count, height=32, width=48):
    """(count, height, width, 3): frame i is gray i * STEP."""
    return np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None] * STEP, (count, height, width, 3))


@pytest.fixture
def movie(tmp_path):
    def make(count=24, name="a.mp4", **size):
        video.write_video(tmp_path / name, numbered(count, **size), fps=12)
        return tmp_path / name

    return make


# Which frames


@pytest.mark.parametrize(
    "total, frames, stride, clips, expected",
    [
        (24, 4, 1, 1, [[0, 1, 2, 3]]),
        (24, 8, 3, 1, [[0, 3, 6, 9, 12, 15, 18, 21]]),
        (24, 3, 1, 5, [[0, 1, 2], [4, 5, 6], [8, 9, 10], [12, 13, 14], [16, 17, 18]]),  # floor(24 / 5) = 4
        (5, 4, 2, 2, [[0, 2, 4, 1], [2, 4, 1, 3]]),
        (3, 8, 1, 1, [[0, 1, 2, 0, 1, 2, 0, 1]]),
        (1, 3, 5, 2, [[0, 0, 0], [0, 0, 0]]),
        (2, 2, 1, 3, [[0, 1], [0, 1], [0, 1]]),  # fewer frames than clips
    ],
)
def test_indices(total, frames, stride, clips, expected):
    assert video.clip_indices(total, frames, stride, clips).tolist() == expected


def test_random_starts_cover_every_place_where_the_clip_fits():
    rng = np.random.default_rng(0)

    def drawn(*sizes):
        return np.array([video.clip_indices(*sizes, rng) for _ in range(500)])  # (500, clips, frames)

    indices = drawn(24, 8, 3, 1)[:, 0]
    assert set(indices[:, 0]) == {0, 1, 2}
    assert (np.diff(indices) == 3).all()
    starts = drawn(10, 4, 1, 1)[:, 0, 0]
    assert set(starts) == set(range(7)) and np.bincount(starts).min() > 40
    assert video.clip_indices(3, 4, 2, 1, rng).tolist() == [[0, 2, 1, 0]]


def test_random_starts_lie_in_the_clips_own_segment():
    rng = np.random.default_rng(0)
    starts = np.array([video.clip_indices(20, 3, 2, 2, rng)[:, 0] for _ in range(200)])
    assert [set(column) for column in starts.T] == [set(range(6)), set(range(10, 16))]
    assert abs(np.corrcoef(starts.T)[0, 1]) < 0.2  # each clip draws its own
    assert video.clip_indices(20, 8, 2, 2, rng)[:, 0].tolist() == [0, 10]  # they fit nowhere


@given(st.integers(1, 300), st.integers(1, 32), st.integers(1, 9), st.integers(1, 30), st.booleans())
def test_indices_always_exist_and_advance_by_the_stride(total, frames, stride, clips, random):
    indices = video.clip_indices(total, frames, stride, clips, np.random.default_rng(0) if random else None)
    assert indices.shape == (clips, frames) and indices.min() >= 0 and indices.max() < total
    assert (np.diff(indices) % total == stride % total).all()


# Reading


def test_resizing_ignores_the_aspect_and_averages(tmp_path):
    halves = np.zeros((2, 32, 96, 3), np.uint8)
    halves[:, :, 48:] = 200
    video.write_video(tmp_path / "a.mp4", halves, fps=12)
    frame = video.read_frames(tmp_path / "a.mp4", 16)[0].astype(int)
    assert frame.shape == (16, 16, 3)
    assert abs(frame[:, :7]).max() < 8 and abs(frame[:, 9:] - 200).max() < 8
    stripes = np.zeros((2, 64, 64, 3), np.uint8)
    stripes[:, :, ::2] = 200
    video.write_video(tmp_path / "b.mp4", stripes, fps=12, crf=1)
    small = video.read_frames(tmp_path / "b.mp4", 16).astype(int)
    assert abs(small - 100).max() < 8  # taking single pixels would give 0 or 200


def test_colors_survive(tmp_path):
    colors = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [250, 240, 20]], np.uint8)
    video.write_video(tmp_path / "a.mp4", np.broadcast_to(colors[:, None, None], (4, 16, 16, 3)), fps=12, crf=5)
    assert abs(video.read_frames(tmp_path / "a.mp4").astype(int) - colors[:, None, None]).max() <= 6


def test_clips_hold_the_frames_of_the_rule(movie):
    path = movie(24)
    clips = video.read_clips(path, frames=4, stride=3, clips=5, size=16)
    assert clips.shape == (5, 4, 16, 16, 3) and clips.dtype == np.uint8
    assert numbers(clips) == video.clip_indices(24, 4, 3, 5).tolist()
    assert numbers(video.read_clips(path, 8, 3, 1, 16)) == [list(range(0, 24, 3))]
    random = video.read_clips(path, 4, 1, 3, 16, np.random.default_rng(5))
    assert numbers(random) == video.clip_indices(24, 4, 1, 3, np.random.default_rng(5)).tolist()
    np.testing.assert_array_equal(clips[:, 0], video.read_frames(path, 16)[[0, 4, 8, 12, 16]])


def test_a_segment_is_read_as_if_it_were_the_video(movie):
    path = movie(24)
    assert numbers(video.read_clips(path, 3, 2, 2, 16, first=9, total=10)) == [[9, 11, 13], [14, 16, 18]]
    assert numbers(video.read_clips(path, 3, 2, 1, 16, first=20)) == [[20, 22, 20]]
    random = video.read_clips(path, 3, 1, 4, 16, np.random.default_rng(3), first=9, total=10)
    assert numbers(random) == (9 + video.clip_indices(10, 3, 1, 4, np.random.default_rng(3))).tolist()
    for wrong in (dict(first=-1), dict(first=24), dict(first=20, total=5), dict(first=3, total=0)):
        with pytest.raises(video.VideoError, match="there are no clips|is asked for"):
            video.read_clips(path, 5, 1, 1, 16, **wrong)


@pytest.mark.parametrize("height, width", [(32, 48), (64, 36), (32, 32)])
def test_crops_are_cut_from_the_picture_with_its_aspect(tmp_path, height, width):
    blocks = np.random.default_rng(0).integers(0, 256, (height // 4, width // 4, 1), dtype=np.uint8)
    picture = blocks.repeat(4, 0).repeat(4, 1).repeat(3, 2)
    video.write_video(tmp_path / "a.mp4", picture[None].repeat(6, 0), 12, crf=5)
    long = round(32 * max(height, width) / min(height, width))  # the short side is 32 = 28 * 128 / 112
    shape = (32, long) if width >= height else (long, 32)
    with av.open(str(tmp_path / "a.mp4")) as container:
        frame = next(container.decode(video=0)).reformat(*shape[::-1], "rgb24", interpolation="AREA")
        whole = frame.to_ndarray().astype(int)
    down, right = (side - 28 + 1 for side in shape)
    middle = video.read_clips(tmp_path / "a.mp4", 3, 1, 2, 28, crop=True)
    assert middle.shape == (2, 3, 28, 28, 3)
    assert abs(middle - whole[down // 2 :, right // 2 :][:28, :28]).max() <= 4
    rng = np.random.default_rng(1)
    clips = video.read_clips(tmp_path / "a.mp4", 3, 1, 20, 28, np.random.default_rng(1), crop=True)
    rng.integers(1, size=20)  # where the clips begin, of which each has a segment too short to choose in
    for clip, (y, x) in zip(clips, rng.random((20, 2)), strict=True):
        assert abs(clip - whole[int(y * down) :, int(x * right) :][:28, :28]).max() <= 4


@pytest.mark.parametrize(
    "right, down",
    [((a, 0), (0, b)) for a in (1, -1) for b in (1, -1)] + [((0, a), (b, 0)) for a in (1, -1) for b in (1, -1)],
)
def test_phone_videos_are_upright(tmp_path, movie, right, down):
    """In all eight orientations; ``right`` and ``down`` are where the file's rows and columns lead on the screen."""
    path = movie(3)
    stored = np.zeros((32, 48, 3), np.uint8)
    stored[:16, :24], stored[:16, 24:], stored[16:, :24] = (200, 0, 0), (0, 200, 0), (0, 0, 200)
    video.write_video(path, [stored] * 3, 12, crf=5)
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 44  # the track's matrix
    assert struct.unpack_from(">9i", content, place) == (65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    struct.pack_into(">5i", content, place, right[0] << 16, right[1] << 16, 0, down[0] << 16, down[1] << 16)
    path.write_bytes(content)
    height, width = (32, 48) if right[0] else (48, 32)
    expected = np.zeros((height, width, 3), int)
    left, top = (min(0, 47 * right[i]) + min(0, 31 * down[i]) for i in (0, 1))
    for y, x in np.ndindex(32, 48):
        expected[x * right[1] + y * down[1] - top, x * right[0] + y * down[0] - left] = stored[y, x]
    frames = video.read_frames(path)
    assert frames.shape == (3, height, width, 3)
    assert np.median(abs(frames - expected)) <= 2 and np.mean(abs(frames - expected) > 20) < 0.1
    row = video.probe(path)
    assert (row["width"], row["height"]) == (width, height)
    assert np.mean(abs(video.read_clips(path, 1, 1, 1, 32)[0, 0] - video.read_frames(path, 32)[0].astype(int))) < 1


@pytest.mark.parametrize(
    "codec, pix_fmt, suffix",
    [("libx264", "gray", "mp4"), ("mpeg4", "yuv420p", "avi"), ("libvpx-vp9", "yuv420p", "webm"),
     ("ffv1", "gray16le", "mkv")],
)  # fmt: skip
def test_gray_and_odd_sizes(tmp_path, codec, pix_fmt, suffix):
    def frame(image):
        found = av.VideoFrame.from_ndarray(np.ascontiguousarray(image))
        if pix_fmt == "gray":  # the luma of a color video, as cameras have it
            return av.VideoFrame.from_ndarray(found.to_ndarray(format="yuv420p")[:height], "gray")
        return found.reformat(format=pix_fmt)

    height, width = (32, 48) if codec == "libx264" else (31, 45)
    with av.open(str(tmp_path / f"a.{suffix}"), "w") as container:
        stream = container.add_stream(codec, 25)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        for image in numbered(9, height, width):
            container.mux(stream.encode(frame(image)))
        container.mux(stream.encode(None))
    row = video.probe(tmp_path / f"a.{suffix}")
    assert (row["frames"], row["width"], row["height"], row["status"]) == (9, width, height, "ok")
    frames = video.read_frames(tmp_path / f"a.{suffix}")
    assert frames.shape == (9, height, width, 3) and numbers(frames) == list(range(9))
    assert numbers(video.read_clips(tmp_path / f"a.{suffix}", 3, 2, 2, 16, crop=True)) == [[0, 2, 4], [4, 6, 8]]


def test_title_in_another_encoding_does_no_harm(tmp_path):
    with av.open(str(tmp_path / "a.avi"), "w") as container:
        container.metadata["title"] = "Laufen-XX"
        stream = container.add_stream("mpeg4", 25)
        stream.width, stream.height = 48, 32
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(numbered(2)[1]))))
        container.mux(stream.encode(None))
    content = (tmp_path / "a.avi").read_bytes()
    (tmp_path / "a.avi").write_bytes(content.replace(b"Laufen-XX", "Laufen-üü".encode("latin-1")))
    assert numbers(video.read_frames(tmp_path / "a.avi")) == [1]


# Probing


def test_probe(movie):
    content = hashlib.sha256(movie(18).read_bytes()).hexdigest()
    assert video.probe(movie(18)) == dict(
        frames=18,
        fps=12.0,
        width=48,
        height=32,
        duration=1.5,
        codec="h264",
        start=0.0,
        digest=content,
        times=[],
        damage="",
        status="ok",
    )


def test_what_the_stream_says_is_read_while_it_is_open(movie):
    """Freed memory is overwritten here, so that what is read from it later is noise."""
    command = f"import sys; from aurl.data import video; sys.exit(video.probe({str(movie(1))!r})['fps'] != 12)"
    environment = os.environ | {"MALLOC_PERTURB_": "165"}
    assert subprocess.run([sys.executable, "-c", command], env=environment).returncode == 0


def test_a_file_that_changes_while_it_is_probed_is_not_taken_as_it_was(movie, monkeypatch):
    """As one does that is still being copied. The next probe, when it rests, takes it."""
    path, counted = movie(), reading.digest

    def grown(path):
        with open(path, "ab") as file:
            file.write(bytes(8))
        return counted(path)

    with monkeypatch.context() as patch:
        patch.setattr(reading, "digest", grown)
        found = video.probe(path)
    assert (found["status"], found["frames"], found["digest"]) == ("it changed while it was read", 0, "")
    assert video.probe(path)["status"] == "ok"


def broken(folder, movie):
    """Pairs of a file that cannot be read and the reason."""
    whole = movie(24, "whole.mp4").read_bytes()
    (folder / "truncated.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("a text, whatever it is called\n" * 100)
    (folder / "playlist.mp4").write_text("ffconcat version 1.0\nfile whole.mp4\n")  # FFmpeg would follow it
    (folder / "folder.mp4").mkdir()
    (folder / "loop.mp4").symlink_to(folder / "loop.mp4")
    with av.open(str(folder / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", 8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound) + stream.encode(None))
    with wave.open(str(folder / "wave.mp4"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(8000))
    with av.open(str(folder / "frameless.mp4"), "w", format="avi") as container:
        stream = container.add_stream("mpeg4", 12)
        stream.width, stream.height = 48, 32
        container.start_encoding()
    return {
        "truncated": "cannot be decoded", "empty": "it is empty", "text": "cannot be decoded",
        "folder": "it is a folder", "loop": "(?i)symbolic links", "sound": "no video stream",
        "wave": "not in a format of video files", "playlist": "not in a format of video files", "frameless": "no frame",
        "missing": "does not exist",
    }  # fmt: skip


def test_broken_files_are_named_with_their_reason(tmp_path, movie, capfd):
    for name, reason in broken(tmp_path, movie).items():
        path = tmp_path / f"{name}.mp4"
        for read in (video.read_frames, lambda p: video.read_clips(p, 4, 1, 1, 16)):
            with pytest.raises(video.VideoError, match=reason) as caught:
                read(path)
            assert str(path) in str(caught.value) and "\n" not in str(caught.value)
        row = video.probe(path)
        assert row["frames"] == 0 and row["status"] == caught.value.reason and str(path) not in row["status"]
        assert row["digest"] == ""
    assert capfd.readouterr() == ("", "")


def test_error_comes_whole_through_a_worker_process():
    error = pickle.loads(pickle.dumps(video.VideoError("a.mp4", "it is empty")))
    assert isinstance(error, UserError) and error.reason == "it is empty"
    assert str(error) == "cannot read the video a.mp4: it is empty"


# Writing


def test_the_same_frames_give_the_same_bytes(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (24, 128, 128, 3), dtype=np.uint8)
    for name in ("a.mp4", "b.mp4"):
        video.write_video(tmp_path / name, iter(frames), fps=12.5)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    assert b" threads=1 " in (tmp_path / "a.mp4").read_bytes()  # x264 writes its settings into the stream
    assert video.probe(tmp_path / "a.mp4")["fps"] == 12.5


def test_quality_is_a_parameter(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    for crf in (10, 40):
        video.write_video(tmp_path / f"{crf}.mp4", frames, 12, crf)
    assert (tmp_path / "10.mp4").stat().st_size > 2 * (tmp_path / "40.mp4").stat().st_size


@pytest.mark.parametrize(
    "frames, reason",
    [(numbered(2, height=31), "48x31 .* even"), (numbered(2, width=47), "47x32 .* even"), ([], "no frames"),
     ([numbered(1)[0], numbered(1, height=34)[0]], "differ in size")],
)  # fmt: skip
def test_frames_that_cannot_be_written(tmp_path, frames, reason):
    with pytest.raises(video.VideoError, match=f"cannot write the video .*a.mp4: .*{reason}"):
        video.write_video(tmp_path / "a.mp4", frames, 12)
    assert not list(tmp_path.iterdir())


def test_a_failure_leaves_the_folder_as_it_was(tmp_path, movie):
    def failing():
        yield from numbered(3)
        raise KeyboardInterrupt

    before = movie(2).read_bytes()
    with pytest.raises(KeyboardInterrupt):
        video.write_video(tmp_path / "a.mp4", failing(), 12)
    with pytest.raises(KeyboardInterrupt):
        video.write_video(tmp_path / "b.mp4", failing(), 12)
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"] and (tmp_path / "a.mp4").read_bytes() == before


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path):
    with disk.full_at(500), pytest.raises(UserError, match="a.mp4 cannot be written .*make room"):
        video.write_video(tmp_path / "a.mp4", numbered(24), 12)
    assert not list(tmp_path.iterdir())
