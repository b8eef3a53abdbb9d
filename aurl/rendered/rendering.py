"""Pictures of the built-in benchmark's videos, their files and their rows of the manifest."""

import functools
import shutil
import zlib
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from aurl.data.manifest import COLUMNS
from aurl.data.video import probe, write_video
from aurl.project import cache
from aurl.project.files import write_bytes
from aurl.project.paths import RENDERED
from aurl.project.progress import parallel
from aurl.rendered import sets
from aurl.rendered.camera import Camera
from aurl.rendered.motions import Performance
from aurl.rendered.solids import cast, paint


def build(folder, params, names, verbs=None):
    """Render the videos of some sets below ``folder`` in parallel; returns rows of the manifest, sorted by ``id``.

    The folders of all sets are removed first, because they may hold videos of other parameters. A video that the same
    code rendered with the same parameters is copied from the cache if it is intact, because folds share videos.

    Args:
        folder: where the sets' folders are made; ``path`` in the manifest begins with it.
        params: the section ``verbs`` of ``params.yaml``.
        names: some of `aurl.rendered.sets.SETS`.
        verbs: only videos of these verbs; of all by default.

    Returns:
        a table with the columns `aurl.data.manifest.COLUMNS`.
    """
    for name in sets.SETS:
        shutil.rmtree(Path(folder, name), ignore_errors=True)
    settings = params.seed, params.size, params.frames, params.fps
    versions = {name: version(name) for name in ("av", "numpy")}
    key = cache.key_of(code=cache.code_digest(__name__), settings=settings, versions=versions)
    calls = [(Path(folder), video, key, *settings) for video in sets.videos(params, names, verbs)]
    manifest = pd.DataFrame(parallel(_render_file, calls, "rendering", "video"), columns=COLUMNS)
    return manifest.sort_values("id", ignore_index=True)


def _render_file(folder, video, key, seed, size, frames, fps):
    path, kept = folder / f"{video.id}.mp4", RENDERED / key[:16] / video.name / f"{video.index}.mp4"
    if not cache.holds(kept, key):
        with cache.filling(kept, key):
            write_video(kept, render(video, seed, size, frames), fps)
    write_bytes(path, kept.read_bytes())
    about = {"id": video.id, "set": video.set, "split": video.split, "class": video.name, "words": video.name}
    return about | {"path": path.as_posix(), "first": 0} | probe(path)


def render(video, seed, size, frames):
    """The pictures of one video, uint8 ``(frames, size, size, 3)``, with ``size`` in pixels."""
    rng = np.random.default_rng([seed, zlib.crc32(video.name.encode()), video.index])
    azimuth, elevation, distance = rng.uniform([0, 0.25, 2.6], [2 * np.pi, 0.55, 3.1])
    camera = Camera((0, 0, 0.55), azimuth, elevation, distance, 2 * size)
    play = Performance(video.verb, frames, np.array([-np.cos(azimuth), -np.sin(azimuth), 0]), rng)
    colors = rng.uniform(0.25, 1, (2, 3))
    colors /= colors.max(axis=1, keepdims=True)  # bright, so that they stand out
    if video.color is not None:
        colors[0] = video.color
    light = rng.normal([0, 0, 2.5])
    light /= np.linalg.norm(light)
    floor, air = 0.3 + 0.4 * rng.uniform(0, 1, 3), rng.uniform(0.65, 1, 3)
    ground, horizon, shadow = camera.picture(floor, air), camera.horizon, functools.cache(camera.shadow)
    bodies = [(video.other, play.other, colors[1])]
    bodies += [(video.thing, body, colors[0]) for body in play.pieces or [play.thing]]
    fragments = [cast(camera, name, body, color, light) for name, body, color in bodies]
    pictures = np.empty((frames, size, size, 3), np.uint8)
    for frame in range(frames):
        picture, depth = ground.copy(), np.full((2 * size, 2 * size), np.inf)
        for _, body, _ in bodies:
            x, y, height = body.place[frame]
            picture[:, horizon:] *= shadow(x, y, 0.4 * body.alpha[frame] / (1 + 2 * max(height, 0)))
        for lists in fragments:
            for fragment in lists[frame]:
                paint(picture, depth, fragment)
        pictures[frame] = smooth(picture.astype(np.float32)).transpose(1, 2, 0)
    return pictures


def smooth(planes):
    """Planes (3, 2H, 2W) in [0, 255] -> uint8 (3, H, W): means of 2 x 2 samples, against jagged edges."""
    total = sum(planes[:, i::2, j::2] for i in (0, 1) for j in (0, 1))
    return np.rint(total / 4).astype(np.uint8)
