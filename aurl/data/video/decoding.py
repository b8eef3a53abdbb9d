"""From a video file to some of its frames: exactly those asked for, decoding as little as the file allows.

``pick`` looks up in the packets' timestamps where a frame lies, begins at the keyframe before it, and checks what it
decodes against the timestamps. A file whose packets do not tell which frames decoding gives is decoded from its
beginning instead. A file that cannot be read is always a ``VideoError`` with its reason, never noise.
"""

import os
import stat
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import dropwhile
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition
from av.video.frame import PictureType

from aurl import UserError

MAX_SIDE = 2**14  # pixels; beyond are damaged headers, which would ask for any amount of memory
MAX_PIXELS = 2**26  # 8192 x 8192

# Formats of video files, among FFmpeg's many; a playlist or a script under a video's name could lead it to other files.
_FORMATS = "mov,matroska,webm,avi,asf,flv,mpeg,mpegts,mpegvideo,m4v,h264,hevc,ogg,rm,dv,gif"
_PACKET_IS_FRAME = {"h264", "hevc", "vp9", "av1", "mjpeg"}  # others have packets that show nothing, or two frames
_SKIPPABLE = {"h264", "hevc"}  # where a frame that no other builds on can be left out without a trace


class VideoError(UserError):
    """A video that cannot be read or written; ``reason`` says why without naming the file."""

    def __init__(self, path: str | Path, reason: str, action: str = "read"):
        super().__init__(path, reason, action)  # what pickle gives back, when a worker process raises this
        self.reason = reason

    def __str__(self) -> str:
        path, reason, action = self.args
        return f"cannot {action} the video {path}: {reason}"


class _Doubt(Exception):
    """The packets and the frames of a file do not agree, or may not."""


def decode(path: str | Path, **options: str) -> Iterator[tuple[av.VideoStream, av.VideoFrame]]:
    """Every frame of a file's video stream in the order of presentation, with the stream.

    ``options`` are FFmpeg's for the decoder. Raises VideoError if any frame cannot be decoded, or if there is none.
    """
    count = 0
    with reasons(path, lambda: f" after frame {count}" if count else ""), _open(path, **options) as (container, stream):
        for frame in container.decode(stream):
            yield stream, frame
            count += 1
    if not count:
        raise VideoError(path, "no frame could be decoded")


def frame_count(path: str | Path) -> int:
    """How many frames a file has, from its packets if they tell, else by decoding it. Raises VideoError."""
    with reasons(path), _open(path) as (container, stream):
        try:
            return len(_timetable(container, stream, None)[0])
        except (_Doubt, av.FFmpegError):
            pass
    return sum(1 for _ in decode(path, skip_loop_filter="all"))


def pick(
    path: str | Path, indices: np.ndarray, convert: Callable[[av.VideoFrame], np.ndarray], count: int | None = None
) -> dict[int, np.ndarray]:
    """The frames of these ``indices``, each as ``convert`` returns it; index i is the i-th frame that ``decode`` gives.

    ``count`` is how many frames the file has, where that is known from decoding it: it tells for more files whether
    their packets can be trusted. Raises VideoError, also if the file has no such frame.
    """
    wanted = np.unique(indices)
    with reasons(path), _open(path) as (container, stream):
        try:
            return {index: convert(frame) for index, frame in _seek(container, stream, wanted, count)}
        except (_Doubt, av.FFmpegError):
            pass
    pictures, left, seen = {}, set(wanted.tolist()), 0
    for seen, (_, frame) in enumerate(decode(path), 1):
        if seen - 1 in left:
            with reasons(path):
                pictures[seen - 1] = convert(frame)
            left.remove(seen - 1)
            if not left:
                return pictures
    raise VideoError(
        path, f"it has {seen} frames but frame {wanted[-1]} is asked for, counting from 0; prepare the data again"
    )


def upright(picture: np.ndarray, frame: av.VideoFrame) -> np.ndarray:
    """An (H, W, …) picture of ``frame``, turned by right angles and mirrored as players do for a telephone's videos."""
    if not (data := frame.side_data.get("DISPLAYMATRIX")):
        return picture
    # (right, down) in the frame -> (right, down) on the screen
    turn = np.frombuffer(data, np.int32).reshape(3, 3)[:2, :2].T.astype(int)
    turn = np.sign(turn) * (2 * abs(turn) > abs(turn).max())
    if not (abs(turn).sum(0) == 1).all() or not (abs(turn).sum(1) == 1).all():
        return picture  # turned by half a right angle or so, which nobody means
    right, down = turn.sum(1)  # 1, or -1 where what goes right, or down, on the screen goes backward in the frame
    return (picture if turn[0, 0] else picture.swapaxes(0, 1))[::down, ::right]


@contextmanager
def reasons(path, where=str):
    """FFmpeg's errors as VideoErrors; ``where()`` says how far it had got."""
    try:
        yield
    except (av.FFmpegError, OSError, ValueError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "not enough memory"
        raise VideoError(path, f"it cannot be decoded{where()} ({reason})") from None


@contextmanager
def _open(path, **options):
    """The file and its first video stream that is not a cover or a row of thumbnails."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        raise VideoError(path, "it does not exist") from None
    except (OSError, ValueError) as error:
        raise VideoError(path, getattr(error, "strerror", None) or str(error)) from None
    if not stat.S_ISREG(status.st_mode):
        raise VideoError(path, "it is a folder" if stat.S_ISDIR(status.st_mode) else "it is not a file")
    if not status.st_size:
        raise VideoError(path, "it is empty")
    # "file:", or a name such as "a:b.mp4" would be a protocol; a title in another encoding does no harm.
    limits = {"max_pixels": str(MAX_PIXELS), "format_whitelist": _FORMATS}
    try:
        opened = av.open(f"file:{path}", options=limits, metadata_errors="replace")
    except av.ArgumentError:  # what FFmpeg says of a format that is not in the list
        raise VideoError(path, "it is not in a format of video files") from None
    with opened as container:
        covers = Disposition.attached_pic | Disposition.timed_thumbnails
        stream = next((stream for stream in container.streams.video if not stream.disposition & covers), None)
        if stream is None:
            raise VideoError(path, "it has no video stream")
        if (context := stream.codec_context) is None:
            raise VideoError(path, "there is no decoder for it")
        if max(context.width, context.height) > MAX_SIDE:
            raise VideoError(path, f"its frames of {context.width}x{context.height} pixels are too large")
        context.thread_count = 1  # more would delay frames, and the parallel unit is the file
        context.options = {"max_pixels": str(MAX_PIXELS), **options}
        yield container, stream


def _timetable(container, stream, count):
    """Sorted timestamps of the frames, those of the keyframes, and where to seek for each of the latter.

    Raises _Doubt unless decoding the file, which has ``count`` frames if known, gives one frame at each timestamp.
    """
    shown, keys, latest, group, ended = array("q"), {}, None, None, False
    for packet in container.demux(stream):
        if ended or packet.is_corrupt:
            raise _Doubt
        if not packet.size:  # the end; in the middle it may mean anything
            ended = True
            continue
        if packet.pts is None:
            raise _Doubt
        if packet.is_keyframe:
            keys[packet.pts] = packet.pts if packet.dts is None else packet.dts
            group = packet.pts - 1 if latest is None else latest
        if not keys or packet.pts <= group:  # it builds on what is not there, or belongs to an earlier group
            raise _Doubt
        latest = packet.pts if latest is None else max(latest, packet.pts)
        if not packet.is_discard:  # what an edit list cuts away is decoded but not shown
            shown.append(packet.pts)
    times = np.unique(shown)
    if stream.codec_context.reorder_depth and (np.diff(shown) > 0).all():
        raise _Doubt  # of a container without them, AVI for one, that were guessed from the order of decoding
    known = stream.codec_context.codec.canonical_name in _PACKET_IS_FRAME if count is None else len(times) == count
    if not known or len(times) < len(shown) or not keys:
        raise _Doubt
    order = sorted(keys)
    return times, np.array(order), [keys[time] for time in order]


def _seek(container, stream, wanted, count):
    """(index, frame) for each of the ``wanted`` indices, ascending; raises _Doubt as soon as anything is unexpected."""
    times, keys, places = _timetable(container, stream, count)
    if wanted[-1] >= len(times):
        raise _Doubt
    before = np.searchsorted(keys, times[wanted], side="right") - 1  # the keyframe at or before each
    # Begin anew where that leaves frames out: seeking costs less than decoding one frame.
    jumps = np.flatnonzero(np.searchsorted(times, keys[before[1:]]) > wanted[:-1] + 1) + 1
    for run, key in zip(np.split(wanted, jumps), before[np.append(0, jumps)], strict=True):
        container.seek(places[key], stream=stream)
        yield from _run(container, stream, keys[key], times, run)


def _run(container, stream, key, times, run):
    """(index, frame) for an ascending ``run`` of indices, decoding from the packet with the timestamp ``key`` on."""
    context, place = stream.codec_context, None
    skips, flushes = (context.codec.canonical_name in names for names in (_SKIPPABLE, _PACKET_IS_FRAME))
    needed, left = set(times[run].tolist()), iter(run.tolist())
    first, last = np.searchsorted(times, (key, times[run[-1]]))
    ahead = set(times[first : last + 1].tolist())  # packets to come that the last of the run can depend on
    index = next(left)

    def frames():
        for packet in dropwhile(lambda packet: packet.pts != key, container.demux(stream)):
            if skips:
                context.skip_frame = "DEFAULT" if packet.pts in needed else "NONREF"
            yield from packet.decode()
            ahead.discard(packet.pts)
            if flushes and not ahead:
                yield from context.decode(None)  # rather than decode on until the decoder lets the last frames go
                return

    for frame in frames():
        if frame.pts is None:
            raise _Doubt
        if frame.pts < key:
            continue  # it leads an open group of pictures and builds on the group before
        before, place = place, int(np.searchsorted(times[:-1], frame.pts))
        if before is None:
            expected = frame.pts == key and frame.key_frame and frame.pict_type == PictureType.I
        else:
            expected = (place == before + 1 or (skips and before < place <= index)) and frame.pts == times[place]
        if not expected or frame.is_corrupt:
            raise _Doubt
        if place == index:
            yield index, frame
            if (index := next(left, None)) is None:
                return
    raise _Doubt
