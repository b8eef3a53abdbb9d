"""The built-in benchmark of unseen actions: things that do what a verb says, rendered to video files.

A class is a verb, such as "bouncing". Which thing does it is crossed with the verbs, as is what stands beside it, so
that neither gives a verb away. The verbs are dealt into five folds. For the chosen fold there are two sets:

``verbs-seen``    the verbs of the other folds, some videos of each held back for validation
``verbs-unseen``  the verbs of this fold

Every verb is unseen in one fold, and its videos are the same in all of them. `aurl.rendered.motions` has the motions.
"""

import hashlib
import zlib
from dataclasses import dataclass
from functools import cache

import numpy as np

from aurl.project.config import FOLDS
from aurl.project.config import VERBS as SETS
from aurl.rendered import rendering
from aurl.rendered.backdrop import Backdrop
from aurl.rendered.motions import VERBS, perform
from aurl.rendered.solids import THINGS, draw


@dataclass(frozen=True)
class Video:
    """One video; its pictures depend on ``name``, ``index`` and the seed, on nothing else."""

    set: str
    split: str  # "train", "val" or "test"
    name: str  # the class: a verb's gerund
    index: int

    @property
    def id(self):
        return f"{self.set}/{self.name}/{self.index:03d}"

    @property
    def thing(self):
        return list(THINGS)[self.index % len(THINGS)]

    @property
    def other(self):
        """What stands beside it: of the other kinds, each equally often."""
        others = [name for name in THINGS if name != self.thing]
        return others[self.index // len(THINGS) % len(others)]


@cache
def fold(verb):
    """The fold in which ``verb`` is unseen: verbs in the order of their SHA-256 are dealt out in turn."""
    order = sorted(VERBS, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    return order.index(verb) % FOLDS


def classes(number):
    """The verbs of both sets in a fold, sorted, as a dict."""
    seen, unseen = SETS
    return {
        seen: [name for name in sorted(VERBS) if fold(name) != number],
        unseen: [name for name in sorted(VERBS) if fold(name) == number],
    }


def videos(params):
    """All videos of the fold ``params.fold``; ``params`` is the section ``verbs`` of ``params.yaml``."""
    seen, _ = SETS
    kept = params.videos - params.val_videos  # validation videos come last, so that both parts have all things
    return [
        Video(name, "test" if name != seen else "train" if index < kept else "val", verb, index)
        for name, verbs in classes(params.fold).items()
        for verb in verbs
        for index in range(params.videos)
    ]


def build(folder, params):
    """Render every video below ``folder`` in parallel and return their rows of the manifest."""
    return rendering.build(folder, SETS, videos(params), render, params, "numpy")


def render(video, seed, size, frames, fps):
    """The pictures of one video, uint8 ``(frames, size, size, 3)``; ``fps`` changes how fast they are shown only."""
    rng = np.random.default_rng([seed, zlib.crc32(video.name.encode()), video.index])
    azimuth, elevation, distance = rng.uniform([0, 0.25, 2.6], [2 * np.pi, 0.55, 3.1])
    backdrop = Backdrop(_view((0, 0, 0.55), azimuth, elevation, distance), 2 * size)
    away = np.array([-np.cos(azimuth), -np.sin(azimuth), 0])
    play = perform(video.name, frames, away, rng)
    colors = rng.uniform(0.25, 1, (2, 3))
    colors /= colors.max(axis=1, keepdims=True)  # bright, so that they stand out
    light = rng.normal([0, 0, 2.5])
    light /= np.linalg.norm(light)
    floor, air = 0.3 + 0.4 * rng.uniform(0, 1, 3), rng.uniform(0.65, 1, 3)
    ground = backdrop.picture(floor, air)
    bodies = [(video.other, play.other, colors[1])]
    bodies += [(video.thing, body, colors[0]) for body in play.pieces or [play.thing]]
    pictures = []
    for frame in range(frames):
        picture, depth = ground.copy(), np.full(ground.shape[:2], np.inf)
        for _, body, _ in bodies:
            height = np.clip(body.place[frame, 2], 0, None)
            picture *= backdrop.shadow(body.place[frame, :2], 0.4 * body.alpha[frame] / (1 + 2 * height))
        for name, body, color in bodies:
            draw(picture, depth, backdrop, name, body, frame, color, light)
        pictures.append(picture.astype(np.float32))
    return rendering.smooth(np.stack(pictures))


def _view(target, azimuth, elevation, distance):
    """The matrix that `Backdrop` takes, of a camera around ``target``; angles in radians."""
    back = np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])
    right = np.array([-np.sin(azimuth), np.cos(azimuth), 0])
    view = np.eye(4)
    view[:3, :3] = right, np.cross(back, right), back
    view[:3, 3] = -view[:3, :3] @ (np.asarray(target) + distance * back)
    return view
