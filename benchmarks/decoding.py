"""The speed of random clips of 16 frames at 112x112 from originals, proxies and the released code's store.

    pip install opencv-python-headless   # only the ways of E2E and of the released code need it
    pip install decord2 torchcodec       # optional: a row each where they are installed
    python benchmarks/decoding.py        # about a minute

writes reports/tables/decoding.csv, decoding.md and reports/figures/decoding.png. The videos are 10 seconds of one shot
with motion, texture and noise, at 25 frames per second with a keyframe every 250 frames: H.264 in MP4 in two common
sizes of Kinetics, and MPEG-4 in AVI in UCF101's size. A clip comes from

- the original by `aurl.data.video.read_clips`, which begins at the keyframe before the clip;
- its proxy by the same function (`aurl.data.proxies.transcode`: short side 128, a keyframe every 16 frames, crf 20);
- the original as in E2E's code, the base of the released code: OpenCV decodes from the first frame to 15 after a clip;
- frames stored as in the released code: OpenCV decodes all frames once, and Pillow writes them as JPEGs of full size
  into one record per video; a clip needs the complete record and decodes 16 JPEGs. A file and pickle stand for LMDB and
  msgpack.

decord2 and torchcodec read the original with one thread; torchcodec needs FFmpeg's libraries on the system. Every
way has a ``frame_error``, the largest distance in frames from the requested clip.

All ways take turns on the same random clips. The result is the median of a clip's processor time, which other programs
do not lengthen. Files are in the system's cache. Every way ends in (16, 112, 112, 3) uint8. All but decord2 and
torchcodec are checked to show the same frames.
"""

import argparse
import io
import pickle
import sys
import tempfile
import time
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median

import av
import numpy as np
import pandas as pd
from PIL import Image

from aurl import figures
from aurl.data import proxies
from aurl.data.video import read_clips, read_frames
from aurl.project.files import write_bytes
from aurl.project.markdown import markdown_table

FRAMES, SIZE, FPS, SECONDS, CLIPS = 16, 112, 25, 10, 40
TOTAL = FPS * SECONDS
KINDS = {  # name -> container, encoder, its options, width, height
    "H.264 340x256": ("mp4", "libx264", {"crf": "23", "g": "250"}, 340, 256),
    "H.264 1280x720": ("mp4", "libx264", {"crf": "23", "g": "250"}, 1280, 720),
    "MPEG-4 320x240": ("avi", "mpeg4", {"b": "600k", "g": "250", "bf": "2"}, 320, 240),
}
WAYS = {
    "released": "frames stored as JPEG (released code)",
    "opencv": "original, OpenCV from the beginning (E2E)",
    "original": "original, aurl",
    "proxy": "proxy, aurl",
    "decord2": "original, decord2",
    "torchcodec": "original, torchcodec",
}


def scene(rng, width, height):
    """A picture (height, width, 3) with the detail of photographs: amplitudes fall as 1 / frequency."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1
    planes = [
        np.fft.irfft2(np.fft.rfft2(rng.standard_normal((height, width))) / frequency, s=(height, width))
        for _ in range(3)
    ]
    color = np.stack([planes[0] + 0.3 * plane for plane in planes], axis=-1)
    return np.clip(128 + 50 * color / color.std(), 0, 255).astype(np.float32)


def film(width, height, count, seed=0):
    """``count`` frames of one shot: a camera pans over a scene with a moving patch and sensor noise."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 2, (8, height, width, 1)).astype(np.float32)
    ground, patch = scene(rng, 2 * width, height + 64), scene(rng, width // 3, height // 2)
    for i in range(count):
        left, top = int(width * (0.5 + 0.4 * np.sin(i / 40))), int(32 + 30 * np.sin(i / 9))
        frame = ground[top : top + height, left : left + width].copy()
        x, y = int(width * (0.33 + 0.3 * np.cos(i / 11))), int(height * (0.25 + 0.2 * np.sin(i / 7)))
        frame[y : y + patch.shape[0], x : x + patch.shape[1]] = patch
        frame += np.roll(noise[rng.integers(8)], tuple(rng.integers(64, size=2)), axis=(0, 1))
        yield np.clip(frame, 0, 255).astype(np.uint8)


def encode(path, codec, options, width, height, count, fps=FPS, seed=0):
    """Write `film` to a file."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, fps)
        stream.width, stream.height, stream.pix_fmt, stream.codec_context.thread_count = width, height, "yuv420p", 1
        stream.options = options
        for picture in film(width, height, count, seed):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode(None))


def frames(cv2, path):
    """OpenCV's pictures of a file, decoded by one thread."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    while (read := capture.read())[0]:
        yield read[1]
    capture.release()


def store(cv2, source, target):
    """The released code's preparation: every frame as a JPEG of full size, at Pillow's quality of 75, in one record."""
    record = []
    for picture in frames(cv2, source):
        buffer = io.BytesIO()
        Image.fromarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)).save(buffer, format="JPEG")
        record.append(buffer.getvalue())
    target.write_bytes(pickle.dumps(record))


def stored_clip(path, start):
    """The released code's training input: the record, 16 of its JPEGs, each resized."""
    record = pickle.loads(path.read_bytes())
    pictures = [Image.open(io.BytesIO(image)) for image in record[start : start + FRAMES]]
    return np.stack([picture.resize((SIZE, SIZE), Image.Resampling.BILINEAR) for picture in pictures])


def opencv_clip(cv2, path, start):
    """E2E's training input: it decodes from the first frame to 15 after the clip, and resizes the clip's frames."""
    pictures = [
        picture
        for index, picture in enumerate(islice(frames(cv2, path), start + 2 * FRAMES - 1))
        if start <= index < start + FRAMES
    ]
    return np.stack([cv2.resize(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), (SIZE, SIZE)) for picture in pictures])


def rivals():
    """Readers (path, start) -> (16, 112, 112, 3) uint8 of the optional packages that are installed."""
    found = {}
    try:
        import decord

        def decord_clip(path, start):
            reader = decord.VideoReader(str(path), width=SIZE, height=SIZE, num_threads=1)
            return reader.get_batch(range(start, start + FRAMES)).asnumpy()

        found["decord2"] = decord_clip
    except ImportError:
        pass
    try:
        from torch.nn.functional import interpolate
        from torchcodec.decoders import VideoDecoder

        def torchcodec_clip(path, start):
            decoder = VideoDecoder(str(path), num_ffmpeg_threads=1, seek_mode="exact")
            clip = decoder.get_frames_in_range(start, start + FRAMES).data
            return interpolate(clip, size=(SIZE, SIZE), mode="bilinear").permute(0, 2, 3, 1).numpy()

        found["torchcodec"] = torchcodec_clip
    except (ImportError, RuntimeError, OSError):  # it raises RuntimeError where it finds no FFmpeg
        pass
    return found


def frame_error(clip, start, brightness):
    """The distance in frames from ``start`` to the best match of the clip in ``brightness``, the `quarters` of all."""
    own = quarters(clip)
    starts = range(len(brightness) - FRAMES + 1)
    return abs(min(starts, key=lambda other: abs(own - brightness[other : other + FRAMES]).mean()) - start)


def quarters(clip):
    """(N, 16) mean brightness of a 4 x 4 grid of each picture."""
    return clip.reshape(len(clip), 4, SIZE // 4, 4, SIZE // 4, 3).mean((2, 4, 5)).reshape(len(clip), 16)


class Start:
    """Replaces the random generator of `read_clips`, so that all ways read the same clip."""

    def __init__(self, start):
        self.start = start

    def integers(self, *_, **__):
        return np.array([self.start])


def timed(function, *arguments):
    """The processor time of a call in seconds, and its result."""
    begin = time.process_time()
    result = function(*arguments)
    return time.process_time() - begin, result


def measure(cv2, folder, kind):
    """One row per way: time per clip, size on disk, and seconds to make the file."""
    suffix, codec, options, width, height = KINDS[kind]
    original, proxy, record = (folder / f"{width}{name}" for name in (f".{suffix}", "-proxy.mp4", ".jpegs"))
    encode(original, codec, options, width, height, TOTAL)
    once = {"proxy": timed(proxies.transcode, original, proxy)[0], "released": timed(store, cv2, original, record)[0]}
    ways = {
        "released": lambda start: stored_clip(record, start),
        "opencv": lambda start: opencv_clip(cv2, original, start),
        "original": lambda start: read_clips(original, FRAMES, 1, 1, SIZE, Start(start), file_frames=TOTAL)[0],
        "proxy": lambda start: read_clips(proxy, FRAMES, 1, 1, SIZE, Start(start), file_frames=TOTAL)[0],
    }
    ways |= {way: partial(read, original) for way, read in rivals().items()}
    times, errors, everything = {way: [] for way in ways}, dict.fromkeys(ways, 0), quarters(read_frames(original, SIZE))
    for start in np.random.default_rng(0).integers(TOTAL - FRAMES + 1, size=CLIPS).tolist():
        clips = {}
        for way, read in ways.items():
            seconds, clips[way] = timed(read, start)
            times[way].append(seconds)
        brightness = {way: clip.mean((1, 2, 3)) for way, clip in clips.items()}
        for way, clip in clips.items():  # the same frames, up to resizing and compression
            assert clip.shape == (FRAMES, SIZE, SIZE, 3), way
            errors[way] = max(errors[way], frame_error(clip, start, everything))
            assert way in rivals() or abs(brightness[way] - brightness["original"]).max() < 3, way
    files = {"released": record, "opencv": original, "original": original, "proxy": proxy}
    for way in ways:
        yield {
            "video": kind,
            "way": way,
            "ms_per_clip": 1e3 * median(times[way]),
            "frame_error": errors[way],
            "kilobytes": files.get(way, original).stat().st_size / 1e3,
            "seconds_to_make": once.get(way, 0.0),
        }


def compared(table):
    """Add clips per second, and their ratios to stored JPEGs, to OpenCV and to the original."""
    table["clips_per_second"] = 1e3 / table["ms_per_clip"]
    for way in ("released", "opencv", "original"):
        own = table[table["way"] == way].set_index("video")["clips_per_second"]
        table[f"times_{way}"] = table["clips_per_second"] / table["video"].map(own)
    return table


def markdown(table):
    columns = ["video of 10 s", "clips from", "clips / s", "ms / clip", "times the released code", "times E2E's"]
    columns += ["times the original", "frames off", "kB on disk", "s to make, once"]
    lines = []
    for row in table.itertuples():
        made = f"{row.seconds_to_make:.1f}" if row.seconds_to_make else "–"
        speeds = (row.clips_per_second, row.ms_per_clip, row.times_released, row.times_opencv, row.times_original)
        cells = [f"{speed:.1f}" for speed in speeds] + [str(row.frame_error), f"{row.kilobytes:,.0f}", made]
        lines.append([row.video, WAYS[row.way], *cells])
    paid = []
    for kind, rows in table.groupby("video", sort=False):
        ms = rows.set_index("way")["ms_per_clip"]
        made = 1e3 * rows.set_index("way")["seconds_to_make"]["proxy"]
        saved = ms["original"] - ms["proxy"]
        gain = (
            f"{ms['original'] / ms['proxy']:.1f} times as fast as the original, paid for after {made / saved:.0f} clips"
        )
        paid.append(f"{kind}: {gain if saved > 0 else 'no gain'}")
    return markdown_table(columns, lines, left=2) + "\nA random clip from a proxy. " + "; ".join(paid) + ".\n"


def draw(table):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    wide = table.pivot(index="video", columns="way").loc[list(KINDS)]
    every = [way for way in WAYS if way in set(table["way"])]
    stored = [way for way in every if way in ("released", "original", "proxy")]  # the others read the original
    for ax, column, ways, label in zip(
        axes,
        ("clips_per_second", "kilobytes"),
        (every, stored),
        ("clips per second on one core (more is better)", "kB on disk, logarithmic (less is better)"),
    ):
        for place, way in enumerate(ways):
            middle = np.arange(len(KINDS)) + (place - (len(ways) - 1) / 2) * 0.8 / len(ways)
            bars = ax.bar(
                middle, wide[column][way], width=0.8 / len(ways), color=f"C{list(WAYS).index(way)}", label=WAYS[way]
            )
            ax.bar_label(bars, fmt="{:,.0f}", fontsize=8, padding=1)
        ax.set(xticks=range(len(KINDS)), xticklabels=KINDS, ylabel=label)
        ax.margins(y=0.08)
        ax.grid(axis="x", visible=False)
    axes[1].set(yscale="log", ylim=(100, None))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncol=2, frameon=False)
    return figure


def main():
    try:
        import cv2
    except ImportError:
        sys.exit(
            "OpenCV, with which the released code reads videos, is missing: run 'pip install opencv-python-headless'."
        )
    cv2.setNumThreads(1)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            for row in measure(cv2, Path(folder), kind):
                rows.append(row)
                print(f"{kind}, {WAYS[row['way']]}: {row['ms_per_clip']:.1f} ms", flush=True)
    table = compared(pd.DataFrame(rows))
    write_bytes("reports/tables/decoding.csv", table.to_csv(index=False, float_format="%.2f").encode())
    write_bytes("reports/tables/decoding.md", markdown(table).encode())
    figures.save(draw(pd.read_csv("reports/tables/decoding.csv")), "decoding")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    main()
