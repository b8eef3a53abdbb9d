"""What the built-in benchmark have in common: from rendered pictures to video files and their rows of the manifest."""

import shutil
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from aurl.data.manifest import COLUMNS
from aurl.data.video import probe, write_video
from aurl.data.video.reading import digest
from aurl.project import code
from aurl.project.files import forget_key, is_made_from, key_of, note_key, write_bytes
from aurl.project.paths import RENDERED
from aurl.project.progress import parallel

# Code that no picture depends on: a change in it renders nothing again.
HARMLESS = (
    "aurl",
    "aurl.project.code",
    "aurl.project.config",
    "aurl.project.files",
    "aurl.project.paths",
    "aurl.project.progress",
)


def build(folder, sets, videos, render, params, renderer):
    """Render ``videos`` below ``folder`` in parallel and return their rows of the manifest, sorted by ``id``.

    ``render(video, seed, size, frames, fps)`` returns a video's pictures, with the package ``renderer``. Whatever else
    lies in the folders of ``sets`` is removed, as it was made with other parameters. A video that was rendered before,
    by the same code and with the same parameters, is copied if it is still what was rendered: folds share theirs. The
    columns are `aurl.data.manifest.COLUMNS`; ``path`` begins with ``folder``.
    """
    for name in sets:
        shutil.rmtree(Path(folder, name), ignore_errors=True)
    settings = params.seed, params.size, params.frames, params.fps
    versions = {name: version(name) for name in ("av", "numpy", renderer)}
    kept = RENDERED / key_of(
        code=code.digest(render.__module__, __name__, without=HARMLESS), settings=settings, versions=versions
    )
    calls = [(Path(folder), video, kept, render, *settings) for video in videos]
    manifest = pd.DataFrame(parallel(_render_file, calls, "rendering", "video"), columns=COLUMNS)
    return manifest.sort_values("id", ignore_index=True)


def _render_file(folder, video, kept, render, seed, size, frames, fps):
    path, before = folder / f"{video.id}.mp4", kept / video.name / f"{video.index}.mp4"
    if not (before.is_file() and is_made_from(before, digest(before))):
        forget_key(before)
        write_video(before, render(video, seed, size, frames, fps), fps)
        note_key(before, digest(before))
    write_bytes(path, before.read_bytes())
    about = {"id": video.id, "set": video.set, "split": video.split, "class": video.name, "words": video.name}
    return about | {"path": path.as_posix(), "first": 0} | probe(path)


def smooth(pictures):
    """Pictures (F, 2H, 2W, 3) in [0, 255] -> uint8 (F, H, W, 3): the mean of 2 x 2 samples has no jagged edges."""
    pictures = sum(pictures[:, i::2, j::2] for i in (0, 1) for j in (0, 1)) / 4
    return np.rint(pictures).astype(np.uint8)
