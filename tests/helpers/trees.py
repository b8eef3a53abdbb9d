"""Small trees of real encoded videos, laid out like the paper's data sets, for tests that need them on disk.

Each function fills ``root`` and returns the annotation files that a reader needs, if there are any. A video's
frame i is gray ``i * STEP`` on the left and has the class's own color on the right.
"""

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from aurl.data.video import write_video

STEP = 10  # gray levels between two frames: more than encoding loses
_CODECS = {".avi": "mpeg4", ".mkv": "libx264", ".webm": "libvpx-vp9"}  # .mp4 is H.264 by `write_video`


def video(path, color=0, frames=20, width=48, height=36, fps=10):
    """One video file; its extension chooses container and codec."""
    path = Path(path)
    pictures = np.zeros((frames, height, width, 3), np.uint8)
    pictures[:, :, : width // 2] = (np.arange(frames) * STEP % 250)[:, None, None, None]
    pictures[:, :, width // 2 :] = np.random.default_rng(color).integers(0, 256, 3)
    if path.suffix == ".mp4":
        write_video(path, pictures, fps)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(_CODECS[path.suffix], fps)
        stream.width, stream.height, stream.pix_fmt, stream.codec_context.thread_count = width, height, "yuv420p", 1
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode(None))


def numbers(frames):
    """The numbers that (..., H, W, 3) frames carry."""
    return np.rint(frames.mean((-3, -2, -1)) / STEP).astype(int).tolist()


def touch(root, *paths):
    """Empty files at these paths below ``root``."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def timed(path, pictures, milliseconds):
    """An mp4 file of (F, H, W, 3) pictures, each at its own time."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", 1000)
        stream.height, stream.width, stream.pix_fmt = *pictures.shape[1:3], "yuv420p"
        for picture, time in zip(pictures, milliseconds, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture))
            frame.pts, frame.time_base = int(time), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def ucf101(root, classes=("ApplyEyeMakeup", "Archery", "BabyCrawling"), videos=2, **size):
    """UCF101 as it comes out of its archive: ``UCF-101/Archery/v_Archery_g01_c01.avi``."""
    for color, name in enumerate(classes):
        for k in range(videos):
            video(Path(root, "UCF-101", name, f"v_{name}_g{k // 4 + 1:02d}_c{k % 4 + 1:02d}.avi"), color, **size)


def hmdb51(root, classes=("brush_hair", "cartwheel", "catch"), videos=2, **size):
    """HMDB51 with both layers of archives unpacked: ``brush_hair/Film_brush_hair_u_nm_np1_fr_med_0.avi``."""
    for color, name in enumerate(classes):
        for k in range(videos):
            video(Path(root, name, f"Film_{name}_u_nm_np1_fr_med_{k}.avi"), color, **size)


def kinetics(root, classes=("abseiling", "playing drums", "zumba"), videos=2, flat=False, **size):
    """Kinetics with the official CSV files; returns their paths, one per split.

    Files lie in class folders, or ``flat`` in the splits' folders: ``train[/abseiling]/abseil00000_000001_000011.mp4``.
    """
    tables = []
    for split in ("train", "val"):
        rows = ["label,youtube_id,time_start,time_end,split,is_cc"]
        for color, name in enumerate(classes):
            for k in range(videos):
                youtube_id = f"{name.replace(' ', '')[:5]}{split:_<5}{k}"
                rows.append(f"{name},{youtube_id},{k + 1},{k + 11},{split},0")
                video(
                    Path(root, split, "" if flat else name, f"{youtube_id}_{k + 1:06d}_{k + 11:06d}.mp4"), color, **size
                )
        tables.append(Path(root, "annotations", f"{split}.csv"))
        tables[-1].parent.mkdir(exist_ok=True)
        tables[-1].write_text("\n".join(rows) + "\n")
    return tables


def activitynet(root, classes=("Archery", "Baking cookies", "BMX"), videos=2, frames=20, fps=10, **size):
    """ActivityNet: ``v_<id>`` as mp4, mkv and webm in turn, and its JSON file; returns that file's path.

    Each video has two segments of its class, its first and its second half. The last video of each class is for
    validation; one more video is of the test subset, whose labels are held back.
    """
    database, count, duration = {}, 0, frames / fps
    for color, name in enumerate(classes):
        for k in range(videos):
            subset = "validation" if k == videos - 1 else "training"
            notes = [{"label": name, "segment": [begin, begin + duration / 2]} for begin in (0, duration / 2)]
            database[f"activity{count:03d}"] = {"subset": subset, "duration": duration, "annotations": notes}
            video(
                Path(root, f"v_activity{count:03d}.{('mp4', 'mkv', 'webm')[count % 3]}"), color, frames, fps=fps, **size
            )
            count += 1
    database["heldback000"] = {"subset": "testing", "duration": duration, "annotations": []}
    video(Path(root, "v_heldback000.mp4"), len(classes), frames, fps=fps, **size)
    path = Path(root, "activity_net.v1-3.min.json")
    path.write_text(json.dumps({"version": "VERSION 1.3", "database": database, "taxonomy": []}))
    return path
