"""Small copies of videos with many keyframes: random clips decode many times faster."""

from pathlib import Path

import av
import numpy as np
import pandas as pd
from av.video.reformatter import Interpolation, VideoReformatter

from aurl import UserError
from aurl.data.probing import probe_files
from aurl.data.video.decoding import VideoError, decode, frame_count, upright
from aurl.data.video.reading import check
from aurl.project import cache
from aurl.project.files import replacing
from aurl.project.progress import parallel


def make_all(rows, folder, side, keyframe, crf, cache, scheduler=None):
    """Make proxies of all videos below ``folder``, in parallel; returns the manifest's rows with the proxies' files.

    A proxy has the original's frames, at a constant rate; ``side``, ``keyframe`` and ``crf`` are as for `transcode`. An
    existing proxy of the same bytes and settings is reused. ``cache`` and ``scheduler`` are as for
    `aurl.data.probing.probe_files`. A video that cannot be copied keeps its row, with the reason as ``status``. Raises
    UserError if the folder cannot be written to.
    """
    folder = Path(folder)
    files = rows.drop_duplicates("path").set_index("path")  # segments share their file
    targets = {path: (folder / f"{name}.mp4").as_posix() for path, name in files["id"].items()}
    calls = [(path, files["digest"][path], Path(target), side, keyframe, crf) for path, target in targets.items()]
    results = dict(zip(targets, parallel(_make, calls, "proxies", "video", scheduler=scheduler), strict=True))
    rows = rows.assign(status=rows["path"].map(results))
    failed = rows["status"] != "ok"
    made = rows.assign(path=rows["path"].map(targets))[~failed]
    probed = probe_files(made["path"], cache, "probing proxies", scheduler).set_index(made.index)
    made = made.assign(**{name: probed[name] for name in ("width", "height", "codec", "digest", "status")})
    return pd.concat([made, rows[failed]]).sort_index()


def _make(path, digest, target, side, keyframe, crf):
    """Make one proxy; returns "ok", or the reason why there is none."""
    key = cache.key_of(digest=digest, side=side, options=_options(keyframe, crf))
    if cache.holds(target, key):
        return "ok"
    try:
        check(path, digest)
        with cache.filling(target, key):
            transcode(path, target, side, keyframe, crf, "keep")  # probing has refused damage or kept it
    except VideoError as error:
        return f"no proxy: {error.reason}"
    return "ok"


def transcode(source, target, side=128, keyframe=16, crf=20, damaged="refuse"):
    """Copy a video frame by frame to H.264 in mp4: the frames that `aurl.data.video.read_frames` gives, without sound.

    The short side becomes ``side`` pixels (aspect kept, sides even, never enlarged), every ``keyframe``-th frame is a
    keyframe, and ``crf`` is x264's quality, 0 (exact) to 51 (worst). ``damaged`` is as for
    `aurl.data.video.decoding.decode`. The same video gives the same bytes. Raises VideoError for a video that cannot be
    read and UserError if the copy cannot be written; an earlier copy then stays.
    """
    try:
        with replacing(target) as part:
            with av.open(str(part), "w", format="mp4") as container:
                count = _copy(source, container, side, _options(keyframe, crf), damaged)
            if (copied := frame_count(part)) != count:
                raise VideoError(source, f"its copy has {copied} frames instead of {count}")
    except (av.FFmpegError, OSError) as error:
        raise UserError(
            f"the proxy {target} cannot be written ({error.strerror}): make room, or change prepare.proxies."
        ) from None


def _options(keyframe, crf):
    """The encoder's options, which determine a proxy's bytes together with its source and size."""
    regular = f"cpu-independent=1:keyint={keyframe}:min-keyint={keyframe}:scenecut=0:open-gop=0"
    quick = "no-cabac=1:no-deblock=1:weightp=0:weightb=0"  # decodes in about half the time, for files a tenth larger
    return {"crf": str(crf), "preset": "veryfast", "x264-params": f"{regular}:{quick}"}


def _copy(source, container, side, options, damaged):
    """Encode a video frame by frame; returns the number of frames."""
    scale, stream, count = VideoReformatter(), None, 0
    for original, frame in decode(source, damaged):
        if stream is None:
            shrink = min(1, side / min(frame.width, frame.height))
            width, height = (max(2, 2 * round(shrink * length / 2)) for length in (frame.width, frame.height))
            rate = original.average_rate or original.guessed_rate or 25
        image = scale.reformat(frame, width, height, "rgb24", interpolation=Interpolation.AREA, threads=1)
        picture = np.ascontiguousarray(upright(image.to_ndarray(), frame))
        if stream is None:
            stream = container.add_stream("libx264", rate)
            stream.height, stream.width, stream.pix_fmt = *picture.shape[:2], "yuv420p"
            stream.options = options
            stream.codec_context.thread_count = 1  # with more, the bytes depend on the machine
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        count += 1
    container.mux(stream.encode(None))
    return count
