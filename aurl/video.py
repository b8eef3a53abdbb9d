"""Video files to arrays and back: decode, sample clips, normalise, probe, encode.

One rule chooses the frames of a clip (``clip_indices``), whether the frames come from a file or from an
array decoded earlier. A file that cannot be read is always a ``VideoError`` with its reason, never noise.
"""

import io
import os
import stat
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from av.video.reformatter import Interpolation, VideoReformatter

from aurl import UserError
from aurl.files import write_bytes

# Kinetics' mean and standard deviation of red, green and blue in [0, 1] (torchvision's video models).
MEAN = (0.43216, 0.394666, 0.37645)
STD = (0.22803, 0.22145, 0.216989)

# Area averaging does not alias when it shrinks; the flags ask for the same pixels on every processor.
_EXACT = Interpolation.ACCURATE_RND | Interpolation.BITEXACT | Interpolation.FULL_CHR_H_INT
_RESIZE = Interpolation.AREA | _EXACT


class VideoError(UserError):
    """A video that cannot be read or written; ``reason`` says why without naming the file."""

    def __init__(self, path: str | Path, reason: str, action: str = "read"):
        super().__init__(path, reason, action)  # what pickle gives back, when a worker process raises this
        self.reason = reason

    def __str__(self) -> str:
        path, reason, action = self.args
        return f"cannot {action} the video {path}: {reason}"


def clip_indices(total: int, frames: int, stride: int, clips: int,
                 rng: np.random.Generator | None = None) -> np.ndarray:
    """(clips, frames) int64: which of a video's ``total`` frames make its clips.

    Without ``rng``, clips begin where each of ``clips`` segments of floor(total / clips) frames begins, so
    that one clip is the first frames. With it, they begin anywhere from which they fit, or at the first
    frame if none does. A clip that runs over the end goes on at the beginning (indices modulo total).

    >>> clip_indices(total=10, frames=4, stride=2, clips=2)
    array([[0, 2, 4, 6],
           [5, 7, 9, 1]])
    """
    if rng is None:
        starts = np.arange(clips) * (total // clips)
    else:
        span = (frames - 1) * stride + 1
        starts = rng.integers(max(total - span, 0) + 1, size=clips)
    return (starts[:, None] + np.arange(frames) * stride) % total


def read_clips(path: str | Path, frames: int, stride: int, clips: int, size: int,
               rng: np.random.Generator | None = None) -> np.ndarray:
    """(clips, frames, size, size, 3) uint8 RGB, resized ignoring the aspect; frames as ``clip_indices`` says.

    Raises VideoError.
    """
    video = read_frames(path, size)
    return video[clip_indices(len(video), frames, stride, clips, rng)]


def read_frames(path: str | Path, size: int | None = None) -> np.ndarray:
    """(F, H, W, 3) uint8 RGB: every frame, as large as the first one, or (size, size) ignoring the aspect.

    Raises VideoError if the file is not a video or if any frame cannot be decoded.
    """
    scale = VideoReformatter()
    images = []
    for _, frame in _decode(path):
        if not images:
            width, height = (size, size) if size else (frame.width, frame.height)
        image = scale.reformat(frame, width, height, "rgb24", interpolation=_RESIZE, threads=1)
        images.append(image.to_ndarray())
    return np.stack(images)


def probe(path: str | Path) -> dict:
    """What the manifest says of a video file; never raises for a bad file.

    Returns ``frames`` (decoded and counted, as headers lie), ``fps``, ``width`` and ``height`` in pixels,
    ``duration`` in seconds (frames / fps), ``codec`` and ``status``: "ok", or the reason why the file
    cannot be read, in which case the rest is zero and empty.
    """
    frames = 0
    try:
        for stream, frame in _decode(path):
            if not frames:
                fps = float(stream.average_rate or stream.guessed_rate or 0)
                width, height, codec = frame.width, frame.height, stream.codec_context.codec.canonical_name
            frames += 1
    except VideoError as error:
        return dict(frames=0, fps=0.0, width=0, height=0, duration=0.0, codec="", status=error.reason)
    return dict(frames=frames, fps=fps, width=width, height=height, duration=frames / fps if fps else 0.0,
                codec=codec, status="ok")


def write_video(path: str | Path, frames: Iterable[np.ndarray], fps: float, crf: int = 18) -> None:
    """Write RGB frames, each (H, W, 3) uint8 with H and W even, as an H.264 mp4 file (yuv420p).

    ``fps`` is in frames per second; ``crf`` is x264's quality, 0 (exact) to 51 (worst). The same frames give
    the same bytes. The file appears whole or not at all, and its folder is made if there is none. Raises VideoError for
    frames that cannot be encoded, UserError if the file cannot be written.
    """
    write_bytes(path, _encode(Path(path), frames, fps, crf))


def to_input(clips: np.ndarray | torch.Tensor, mean: tuple = MEAN, std: tuple = STD) -> torch.Tensor:
    """(..., T, H, W, 3) uint8 RGB -> (..., 3, T, H, W) float32: (clips / 255 - mean) / std, contiguous.

    On the device of ``clips``, which is left as it is.
    """
    clips = torch.as_tensor(clips)
    mean, std = (torch.tensor(v, device=clips.device)[:, None, None, None] for v in (mean, std))
    floats = clips.movedim(-1, -4).to(torch.float32, memory_format=torch.contiguous_format, copy=True)
    return floats.mul_(1 / (255 * std)).sub_(mean / std)  # in place: two passes and no second array


def _decode(path: str | Path) -> Iterator[tuple[av.VideoStream, av.VideoFrame]]:
    """Every frame of a file's first video stream, with the stream; raises VideoError, also if there is none."""
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
    count = 0
    try:
        # "file:", or a name such as "a:b.mp4" would be a protocol; a title in another encoding does no harm.
        with av.open(f"file:{path}", metadata_errors="replace") as container:
            if not container.streams.video:
                raise VideoError(path, "it has no video stream")
            stream = container.streams.video[0]
            stream.thread_type = "SLICE"  # frame threads delay frames, and the parallel unit is the file
            for frame in container.decode(stream):
                yield stream, frame
                count += 1
    except (av.FFmpegError, OSError, ValueError) as error:
        after = f" after frame {count}" if count else ""
        raise VideoError(path, f"it cannot be decoded{after} ({getattr(error, 'strerror', None) or error})") from None
    if not count:
        raise VideoError(path, "no frame could be decoded")


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
                # Without the latter, x264's assembly sometimes gives other bytes for the same frames, on one machine too.
                stream.options = {"crf": str(crf), "x264-params": "cpu-independent=1"}
                stream.codec_context.thread_count = 1  # with more, the bytes depend on the machine
            if image.shape[:2] != (height, width):
                raise VideoError(path, "its frames differ in size", "write")
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame = scale.reformat(frame, format="yuv420p", interpolation=_RESIZE, threads=1)
            container.mux(stream.encode(frame))
        if stream is None:
            raise VideoError(path, "there are no frames", "write")
        container.mux(stream.encode(None))
    return buffer.getvalue()
