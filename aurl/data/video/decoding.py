"""Frames of a video file: all of them, or chosen ones with as little decoding as the file allows.

``pick`` finds a frame by the timestamps of the packets, starts at the keyframe before it, and checks the decoded frames
by the timestamps. If the packets do not determine the frames, it decodes the file from the beginning. A file that
cannot be read, or that is damaged, raises VideoError with the reason.
"""

import os
import stat
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import dropwhile
from pathlib import Path

import av
import numpy as np
from av.sidedata.sidedata import Type
from av.stream import Disposition
from av.video.frame import PictureType

from aurl import UserError

MAX_SIDE = 2**14  # pixels; larger sizes come from damaged headers and would ask for any amount of memory
MAX_PIXELS = 2**26  # 8192 x 8192

# A playlist or a script under a video's name could lead FFmpeg to other files, so only these formats are opened.
_FORMATS = "mov,matroska,webm,avi,asf,flv,mpeg,mpegts,mpegvideo,m4v,h264,hevc,ogg,rm,dv,gif"
_TIMED = {"mov", "matroska", "avi", "asf", "flv"}  # formats whose header states the duration
_COUNT_FROM_ZERO = {"matroska", "asf"}  # formats whose duration includes the time before the first frame
_PACKET_IS_FRAME = {"h264", "hevc", "vp9", "av1", "mjpeg"}  # other codecs have packets of no frame or of two
_SKIPPABLE = {"h264", "hevc"}  # decoders that can omit frames that no other frame refers to
# Optional checks of FFmpeg: the size of frames without an end marker, and the checksums of pictures.
_CHECKS = dict.fromkeys(("msmpeg4v2", "msmpeg4v3", "wmv1", "wmv2"), "+buffer") | {"hevc": "+crccheck"}
_TWO_THREADS = 2**19  # pixels; larger frames decode faster with a second thread
_KEPT_FRAMES = 2**22  # timestamps of earlier files that a process keeps: 32 MB

if "_missing_" not in vars(Type):  # PyAV before 19 raises for side data that it does not know, such as Exif
    Type._missing_ = classmethod(lambda cls, value: cls.SEI_UNREGISTERED)
# Titles may be in any encoding. PyAV 19 always keeps their bytes.
_METADATA = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}


class VideoError(UserError):
    """A video that cannot be read or written; ``reason`` says why without naming the file."""

    def __init__(self, path: str | Path, reason: str, action: str = "read"):
        super().__init__(path, reason, action)  # pickle rebuilds the error from these arguments
        self.reason = reason

    def __str__(self) -> str:
        path, reason, action = self.args
        return f"cannot {action} the video {path}: {reason}"


class _Doubt(Exception):
    """The packets of a file do not determine its frames."""


class _Damage(ValueError):
    """A file is damaged; the text says how."""


def decode(path: str | Path, damaged: str = "refuse", **options: str) -> Iterator[tuple[av.VideoStream, av.VideoFrame]]:
    """Every frame of a file's video stream in the order of presentation, with the stream.

    Args:
        path: the file.
        damaged: "refuse" raises VideoError at the first sign of damage; "keep" gives what players show: FFmpeg conceals
            damage, and packets that cannot be decoded are skipped.
        options: FFmpeg's options for the decoder.

    Raises:
        VideoError: if the file is damaged and ``damaged`` is "refuse", or if no frame can be decoded.
    """
    count, time, keep = 0, None, damaged == "keep"

    def place():
        seconds = "" if time is None else f", at {time:.2f} s"
        return f" after frame {count}{seconds}" if count else ""

    strict = {} if keep else {"err_detect": "explode"}
    with reasons(path, place), _open(path, **strict | options) as (container, stream):
        for frame in (_concealed if keep else _sound)(container, stream):
            yield stream, frame
            count, time = count + 1, frame.time
    if not count:
        raise VideoError(path, "no frame could be decoded")


def frame_count(path: str | Path) -> int:
    """The number of frames, from the packets if possible, else by decoding. Raises VideoError as `decode` does."""
    with reasons(path), _open(path) as (container, stream):
        try:
            return len(_timetable(container, stream, None)[0])
        except (_Doubt, av.FFmpegError):
            pass
    return sum(1 for _ in decode(path, skip_loop_filter="all"))


def pick(
    path: str | Path,
    indices: np.ndarray,
    convert: Callable[[av.VideoFrame], np.ndarray],
    count: int | None = None,
    threads: int = 1,
) -> dict[int, np.ndarray]:
    """The frames at ``indices``, converted by ``convert``; index i is the i-th frame of ``decode``.

    Args:
        path: the file.
        indices: frames, counted from 0, in any order; they may repeat.
        convert: turns a frame into an array.
        count: number of frames of a file that was probed. More files can then be read from a keyframe on, and damage is
            treated as in "keep", because probing has refused it or kept it.
        threads: threads that decode frames of 720p and larger; they change no pixel.

    Raises:
        VideoError: if the file cannot be read or has no such frame.
    """
    wanted = np.unique(indices)
    with reasons(path), _open(path, threads) as (container, stream):
        try:
            return {index: convert(frame) for index, frame in _seek(path, container, stream, wanted, count)}
        except (_Doubt, av.FFmpegError):
            pass
    pictures, left, seen = {}, set(wanted.tolist()), 0
    for seen, (_, frame) in enumerate(decode(path, "keep" if count else "refuse"), 1):
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
    """Turn an (H, W, …) picture of ``frame`` by multiples of 90° and mirror it, as players do for phone videos."""
    if not (data := frame.side_data.get("DISPLAYMATRIX")):
        return picture
    # (right, down) in the frame -> (right, down) on the screen
    turn = np.frombuffer(data, np.int32).reshape(3, 3)[:2, :2].T.astype(int)
    turn = np.sign(turn) * (2 * abs(turn) > abs(turn).max())
    if not (abs(turn).sum(0) == 1).all() or not (abs(turn).sum(1) == 1).all():
        return picture  # not a multiple of 90°: ignored
    right, down = turn.sum(1)  # 1, or -1 where what goes right, or down, on the screen goes backward in the frame
    return (picture if turn[0, 0] else picture.swapaxes(0, 1))[::down, ::right]


@contextmanager
def reasons(path, where=str):
    """Turns FFmpeg's errors into VideoErrors; ``where()`` says how far decoding got."""
    try:
        yield
    except _Damage as error:
        raise VideoError(path, f"it is damaged{where()}: {error}") from None
    except (av.FFmpegError, OSError, ValueError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "not enough memory"
        raise VideoError(path, f"it cannot be decoded{where()} ({reason})") from None


@contextmanager
def _open(path, threads=1, **options):
    """The open file, and the video stream that FFmpeg selects by default. Raises VideoError for an unusable file."""
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
    limits = {"max_pixels": str(MAX_PIXELS), "format_whitelist": _FORMATS}
    try:
        opened = av.open(f"file:{path}", options=limits, **_METADATA)  # without "file:", "a:b.mp4" has a protocol
    except av.ArgumentError:  # FFmpeg's error for a format that is not in the list
        raise VideoError(path, "it is not in a format of video files") from None
    with opened as container:
        stream = max(container.streams.video, key=_rank, default=None)
        if stream is None or stream.disposition & _COVER:
            raise VideoError(path, "it has no video stream")
        if (context := stream.codec_context) is None:
            raise VideoError(path, "there is no decoder for it")
        if max(context.width, context.height) > MAX_SIDE:
            raise VideoError(path, f"its frames of {context.width}x{context.height} pixels are too large")
        context.thread_count = 1  # more would delay frames and gain little, because files are decoded in parallel
        if context.width * context.height >= _TWO_THREADS:
            context.thread_count, context.thread_type = threads, "AUTO"
        if "err_detect" in options:
            options["err_detect"] += _CHECKS.get(context.codec.canonical_name, "")
            if context.codec.canonical_name == "hevc":
                options.pop("skip_loop_filter", None)  # checksums hold for filtered pictures only
        context.options = {"max_pixels": str(MAX_PIXELS), **options}
        yield container, stream


_COVER = Disposition.attached_pic | Disposition.timed_thumbnails


def _rank(stream):
    """FFmpeg's rank of a video stream: covers last, else by pixels, with a bonus for the default stream."""
    context = stream.codec_context
    area = context.width * context.height if context else 0
    return not stream.disposition & _COVER, area + 5_000_000 * bool(stream.disposition & Disposition.default)


def _concealed(container, stream):
    """The frames that players show of a damaged file."""
    packets = container.demux(stream)
    while True:
        try:
            frames = next(packets).decode()
        except StopIteration:
            return
        except av.InvalidDataError:  # an error of the demuxer ends ``packets``
            continue
        yield from frames


def _sound(container, stream):
    """The frames of a file; raises _Damage or FFmpeg's error at the first sign of damage.

    Beyond FFmpeg's own checks, all packets of H.264 and HEVC must give a frame, a second decoder checks VP9 and HEVC,
    and the streams must last as long as the header says.
    """
    codec = stream.codec_context.codec.canonical_name
    counted, first, shown, frames, end = codec in _SKIPPABLE, None, array("q"), 0, 0.0
    checker = _second_decoder(stream)
    for packet in container.demux():
        if packet.pts is not None and packet.size:
            end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        if packet.stream != stream:
            continue
        if packet.size and packet.pts is not None and not packet.is_discard:
            shown.append(packet.pts)
        try:
            again = checker.decode(packet if packet.size else None) if checker else []
            decoded = packet.decode()
        except av.InvalidDataError:
            if frames or packet.is_keyframe:
                raise
            continue  # the file begins within a group of pictures, like a recorded broadcast
        if codec == "hevc" and [*map(_planes, again)] != [*map(_planes, decoded)]:
            raise _Damage("two decoders give different pictures of the next frame")
        for frame in decoded:
            if frame.is_corrupt:
                raise _Damage("FFmpeg marks the next frame as corrupt")
            counted = counted and frame.pts is not None and not frame.interlaced_frame  # packets may hold a field
            first = frame.pts if first is None else first
            frames += 1
            yield frame
    if counted and frames and frames < (due := sum(time >= first for time in shown)):  # a stream may begin mid-group
        raise _Damage(f"{due - frames} of its {due} frames are missing")
    formats = set(container.format.name.split(","))
    if container.duration and _TIMED & formats:
        begin = 0 if _COUNT_FROM_ZERO & formats else container.start_time or 0
        promised = (container.duration + begin) / av.time_base
        if end + 1 < promised - 0.05 * container.duration / av.time_base:
            raise _Damage(f"it ends at {end:.1f} s of {promised:.1f} s, as an interrupted download does")


def _second_decoder(stream):
    """A decoder that notices damage where FFmpeg's own notices none; None for codecs other than VP9 and HEVC.

    With two threads, FFmpeg decodes every row of an HEVC picture from the row's own entry point, if the file has them.
    After damage, it then gives other pictures than one thread, which decodes row after row.
    """
    codec, checker = stream.codec_context.codec.canonical_name, None
    if codec == "vp9":
        with suppress(ValueError):  # this FFmpeg was built without libvpx
            checker = av.CodecContext.create("libvpx-vp9", "r")
    if codec == "hevc":
        checker = av.CodecContext.create("hevc", "r")
        checker.extradata, checker.thread_type, checker.thread_count = stream.codec_context.extradata, "SLICE", 2
        checker.options = {"max_pixels": str(MAX_PIXELS), "err_detect": "explode"}
    return checker


def _planes(frame):
    """The pixels of every plane, as bytes, without the padding of its rows in memory."""
    size = -(-frame.format.components[0].bits // 8)
    rows = [np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size) for plane in frame.planes]
    return [own[: plane.height, : plane.width * size].tobytes() for own, plane in zip(rows, frame.planes, strict=True)]


def _timetable(container, stream, count):
    """Sorted timestamps of all frames and of the keyframes, and where to seek for each keyframe.

    Raises _Doubt unless decoding the file, which has ``count`` frames if known, gives one frame at each timestamp.
    """
    shown, keys, latest, group, ended = array("q"), {}, None, None, False
    for packet in container.demux(stream):
        if ended or packet.is_corrupt:
            raise _Doubt
        if not packet.size:  # the end; its meaning elsewhere is unknown
            ended = True
            continue
        if packet.pts is None:
            raise _Doubt
        if packet.is_keyframe:
            keys[packet.pts] = packet.pts if packet.dts is None else packet.dts
            group = packet.pts - 1 if latest is None else latest
        if not keys or packet.pts <= group:  # it needs missing frames, or belongs to an earlier group
            raise _Doubt
        latest = packet.pts if latest is None else max(latest, packet.pts)
        if not packet.is_discard:  # what an edit list cuts away is decoded but not shown
            shown.append(packet.pts)
    times = np.unique(shown)
    if stream.codec_context.reorder_depth and (np.diff(shown) > 0).all():
        raise _Doubt  # timestamps guessed from the order of decoding, because a container such as AVI lacks them
    known = stream.codec_context.codec.canonical_name in _PACKET_IS_FRAME if count is None else len(times) == count
    if not known or len(times) < len(shown) or not keys:
        raise _Doubt
    order = sorted(keys)
    return times, np.array(order), [keys[time] for time in order]


class _Timetables(dict):
    """The timetables of files that this process has read; a file that changed gets a new one."""

    frames = 0

    def find(self, path, container, stream, count):
        """The result of `_timetable`, kept because it takes a quarter of the time to read a clip."""
        status = os.stat(path)
        key = os.fspath(path), status.st_size, status.st_mtime_ns, count
        if key not in self:
            table = _timetable(container, stream, count)
            self.frames += len(table[0])
            if self.frames > _KEPT_FRAMES:
                self.clear()
                self.frames = len(table[0])
            self[key] = table
        return self[key]


_timetables = _Timetables()


def _seek(path, container, stream, wanted, count):
    """(index, frame) for each of the ``wanted`` indices, ascending; raises _Doubt as soon as anything is unexpected."""
    times, keys, places = _timetables.find(path, container, stream, count)
    if wanted[-1] >= len(times):
        raise _Doubt
    before = np.searchsorted(keys, times[wanted], side="right") - 1  # the keyframe at or before each
    # Seek again wherever that leaves frames out: seeking costs less than decoding one frame.
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
    ahead = set(times[first : last + 1].tolist())  # timestamps of packets that the run's last frame may need
    index = next(left)

    def frames():
        for packet in dropwhile(lambda packet: packet.pts != key, container.demux(stream)):
            if skips:
                context.skip_frame = "DEFAULT" if packet.pts in needed else "NONREF"
            yield from packet.decode()
            ahead.discard(packet.pts)
            if flushes and not ahead:
                yield from context.decode(None)  # flush, or the decoder would need more packets to give its last frames
                return

    for frame in frames():
        if frame.pts is None:
            raise _Doubt
        if frame.pts < key:
            continue  # a leading frame of an open group of pictures, which depends on the group before
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
