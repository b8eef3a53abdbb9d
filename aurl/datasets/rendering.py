"""What the embedded benchmarks have in common: from rendered pictures to video files and their rows of the manifest."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from aurl.datasets import COLUMNS
from aurl.progress import parallel
from aurl.video import probe, write_video


def build(folder, sets, videos, render, params):
    """Render ``videos`` below ``folder`` in parallel and return their rows of the manifest, sorted by ``id``.

    ``render(video, seed, size, frames, fps)`` returns a video's pictures. Whatever else lies in the folders of ``sets``
    is removed, as it was made with other parameters. The columns are `aurl.datasets.COLUMNS`; ``path`` begins with
    ``folder``.
    """
    for name in sets:
        shutil.rmtree(Path(folder, name), ignore_errors=True)
    calls = [(Path(folder), video, render, params.seed, params.size, params.frames, params.fps) for video in videos]
    manifest = pd.DataFrame(parallel(_render_file, calls, "rendering", "video"), columns=COLUMNS)
    return manifest.sort_values("id", ignore_index=True)


def _render_file(folder, video, render, seed, size, frames, fps):
    path = folder / f"{video.id}.mp4"
    write_video(path, render(video, seed, size, frames, fps), fps)
    about = {"id": video.id, "set": video.set, "split": video.split, "class": video.name, "words": video.name}
    return about | {"path": path.as_posix(), "first": 0} | probe(path)


def smooth(pictures):
    """Pictures (F, 2H, 2W, 3) in [0, 255] -> uint8 (F, H, W, 3): the mean of 2 x 2 samples has no jagged edges."""
    pictures = sum(pictures[:, i::2, j::2] for i in (0, 1) for j in (0, 1)) / 4
    return np.rint(pictures).astype(np.uint8)
