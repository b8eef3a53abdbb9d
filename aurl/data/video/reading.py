"""Video files to arrays and back: decode, sample clips, probe, encode.

One rule, ``clip_indices``, chooses the frames of a clip, whether they come from a file or from an array decoded
earlier. `aurl.data.video.decoding` finds and decodes them. A file that cannot be read raises ``VideoError`` and is
never replaced by noise.
"""

import hashlib
import io
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from aurl.data.video import timeline
from aurl.data.video.decoding import VideoError, decode, frame_count, pick, reasons, upright
from aurl.project.files import write_bytes

# Area averaging does not alias when it shrinks; the flags ask for the same pixels on every processor.
_EXACT = Interpolation.ACCURATE_RND | Interpolation.BITEXACT | Interpolation.FULL_CHR_H_INT
RESIZE = Interpolation.AREA | _EXACT


def clip_indices(
    total: int, frames: int, stride: int, clips: int, rng: np.random.Generator | None = None
) -> np.ndarray:
    """(clips, frames) int64: which of a video's ``total`` frames make its clips.

    A video has ``clips`` segments of floor(total / clips) frames. Without ``rng``, each clip begins with its segment.
    With ``rng``, it begins at random where it fits into the segment, or with the segment if it is too long. A clip that
    runs over the end of the video continues at the beginning (indices modulo total).

    >>> clip_indices(total=10, frames=4, stride=2, clips=2)
    array([[0, 2, 4, 6],
           [5, 7, 9, 1]])
    """
    segment = total // clips
    starts = np.arange(clips) * segment
    if rng is not None:
        span = (frames - 1) * stride + 1
        starts = starts + rng.integers(max(segment - span, 0) + 1, size=clips)
    return (starts[:, None] + np.arange(frames) * stride) % total


def read_clips(
    path: str | Path,
    frames: int,
    stride: int,
    clips: int,
    size: int,
    rng: np.random.Generator | None = None,
    *,
    first: int = 0,
    total: int | None = None,
    file_frames: int | None = None,
    crop: bool = False,
    threads: int = 1,
) -> np.ndarray:
    """Clips of a video file, with the frames that `clip_indices` chooses.

    Args:
        path: the file.
        frames: frames of a clip.
        stride: frames from one frame of a clip to the next.
        clips: number of clips.
        size: height and width of the clips, in pixels.
        rng: draws the starts of the clips and then, with ``crop``, (clips, 2) numbers in [0, 1): places (down, right).
        first: first frame of the segment that the clips are taken from.
        total: frames of the segment; by default it ends with the file.
        file_frames: frames of the whole file, as `probe` counts them. More files can then be read without decoding what
            comes before a clip; if it is wrong, all are read slowly.
        crop: whether to keep the aspect: the short side becomes 128 / 112 of ``size``, and one square is cut out of all
            frames of a clip, at a random place with ``rng`` and in the middle without. Else pictures are squashed.
        threads: threads that decode frames of 720p and larger.

    Returns:
        (clips, frames, size, size, 3) uint8 RGB.

    Raises:
        VideoError: if the file cannot be read, or has no such segment.
    """
    if total is None:
        file_frames = file_frames or frame_count(path)
        total = file_frames - first
    if first < 0 or total < 1:
        raise VideoError(path, f"there are no clips in {total} frames that begin with frame {first}")
    indices = first + clip_indices(total, frames, stride, clips, rng)
    short = round(size * 128 / 112)

    def sides(width, height):
        if not crop:
            return size, size
        scale = short / min(width, height)  # strips longer than 16 : 1 are squashed, or could fill the memory
        return tuple(min(round(side * scale), 16 * short) for side in (width, height))

    pictures = pick(path, indices, _painter(sides), file_frames, threads)
    if not crop:
        return np.stack([pictures[index] for index in indices.flat]).reshape(*indices.shape, size, size, 3)
    places = np.full((clips, 2), 0.5) if rng is None else rng.random((clips, 2))
    return np.stack(
        [[_cut(pictures[index], size, *place) for index in row] for row, place in zip(indices, places, strict=True)]
    )


def read_frames(path: str | Path, size: int | None = None) -> np.ndarray:
    """Every frame, (F, H, W, 3) uint8 RGB, in the first frame's size or squashed to (size, size).

    Raises VideoError if the file is not a video or if any frame cannot be decoded.
    """
    images = []
    for _, frame in decode(path):
        if not images:
            sides = (size, size) if size else (frame.width, frame.height)
            paint = _painter(lambda *_, sides=sides: sides)
        with reasons(path):
            images.append(paint(frame))
    return np.stack(images)


def probe(path: str | Path, damaged: str = "refuse") -> dict:
    """A video file's values for the manifest; never raises for a bad file.

    Args:
        path: the file.
        damaged: "refuse" makes a damaged file unusable; "keep" uses the frames that players show.

    Returns:
        ``frames`` (decoded and counted, because headers lie); ``width`` and ``height`` in pixels as players show it;
        ``start``, ``fps``, ``duration`` and ``times`` of `aurl.data.video.timeline.of_frames`; ``codec``; ``digest``,
        SHA-256 of the file's bytes; ``damage``, a description of kept damage, else ""; and ``status``: "ok", or the
        reason why the file is unusable; all other values are then zero or empty.
    """
    nothing = dict(frames=0, fps=0.0, width=0, height=0, start=0.0, duration=0.0, codec="", digest="", times=[])
    try:
        return nothing | _scan(path, "refuse") | dict(damage="", status="ok")
    except VideoError as error:
        damage = error.reason
    if damaged == "keep":
        with suppress(VideoError):
            return nothing | _scan(path, "keep") | dict(damage=damage, status="ok")
    return nothing | dict(damage="", status=damage)


def _scan(path, damaged):
    """Decode a file for `probe`; returns all values but ``damage`` and ``status``. Raises VideoError."""
    times = []
    for stream, frame in decode(path, damaged, skip_loop_filter="all"):
        if not times:  # after the last frame the stream is closed
            before = stamp(path)
            with reasons(path):
                height, width, _ = _painter(lambda *sides: sides)(frame).shape
            codec, header = stream.codec_context.codec.canonical_name, timeline.header(stream)
        times.append((frame.time, None if frame.dts is None else float(frame.dts * frame.time_base)))
    content = digest(path)
    if stamp(path) != before:  # its copy may still be in progress
        raise VideoError(path, "it changed while it was read")
    return dict(frames=len(times), width=width, height=height, codec=codec, digest=content) | (
        timeline.of_frames(timeline.shown_at(times), *header)
    )


def digest(path: str | Path) -> str:
    """The SHA-256 digest of a file's bytes, in hexadecimal. Raises VideoError if the file cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise VideoError(path, f"{error.strerror}; prepare the data again") from None


def stamp(path: str | Path) -> tuple[int, int]:
    """A file's size in bytes and modification time in nanoseconds. Raises VideoError if there is no such file."""
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:  # a name that no file can have
        raise VideoError(path, f"{getattr(error, 'strerror', error)}; prepare the data again") from None
    return status.st_size, status.st_mtime_ns


def check(path: str | Path, expected: str) -> None:
    """Raise VideoError if a file's bytes do not have the digest ``expected``, which the manifest lists."""
    if digest(path) != expected:
        raise VideoError(path, "it has changed since it was listed; prepare the data again")


def write_video(path: str | Path, frames: Iterable[np.ndarray], fps: float, crf: int = 18) -> None:
    """Write RGB frames, each (H, W, 3) uint8 with H and W even, as an H.264 mp4 file (yuv420p).

    ``fps`` is in frames per second; ``crf`` is x264's quality, 0 (exact) to 51 (worst). The same frames give the same
    bytes. A missing folder is created. Raises VideoError for frames that cannot be encoded, and UserError if the file
    cannot be written; no partial file stays.
    """
    write_bytes(path, _encode(Path(path), frames, fps, crf))


def _painter(sides: Callable[[int, int], tuple[int, int]]) -> Callable[[av.VideoFrame], np.ndarray]:
    """A function from a frame to its upright (H, W, 3) picture, scaled to ``sides(width, height)`` of the frame."""
    scale = VideoReformatter()

    def paint(frame):
        image = scale.reformat(frame, *sides(frame.width, frame.height), "rgb24", interpolation=RESIZE, threads=1)
        return upright(image.to_ndarray(), frame)

    return paint


def _cut(picture: np.ndarray, size: int, down: float, right: float) -> np.ndarray:
    """A square of a picture; ``down`` and ``right`` in [0, 1) place it from the top left to the bottom right."""
    top, left = (int(share * (side - size + 1)) for share, side in zip((down, right), picture.shape))
    return picture[top : top + size, left : left + size]


def _encode(path: Path, frames: Iterable[np.ndarray], fps: float, crf: int) -> bytes:
    """The bytes of the file; in memory, where a full disk cannot interrupt the encoder."""
    buffer, scale, stream = io.BytesIO(), VideoReformatter(), None
    with av.open(buffer, "w", format="mp4") as container:
        for image in frames:
            if stream is None:
                height, width = image.shape[:2]
                if height % 2 or width % 2:
                    raise VideoError(path, f"frames of {width}x{height} pixels must have even sides", "write")
                stream = container.add_stream("libx264", Fraction(fps).limit_denominator(1001))
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
                # Without cpu-independent, x264's assembly sometimes gives other bytes for the same frames.
                stream.options = {"crf": str(crf), "x264-params": "cpu-independent=1"}
                stream.codec_context.thread_count = 1  # with more, the bytes depend on the machine
            if image.shape[:2] != (height, width):
                raise VideoError(path, "its frames differ in size", "write")
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame = scale.reformat(frame, format="yuv420p", interpolation=RESIZE, threads=1)
            container.mux(stream.encode(frame))
        if stream is None:
            raise VideoError(path, "there are no frames", "write")
        container.mux(stream.encode(None))
    return buffer.getvalue()
