"""The classes and videos of the built-in benchmark of unseen actions.

A class is a pair of a verb and the thing that performs it, such as "bouncing ball". The SHA-256 of the verb puts
it into one of five folds. For the chosen fold there are four sets:

``pairs-seen``    the verbs of the other folds, each with half of the things, for training and validation
``pairs-unseen``  the same verbs with the other things: training has both words, but never together
``verbs-unseen``  the verbs of this fold with all things
``colors-seen``   a second training set: things named by their color, "red ball", that perform the seen verbs

A video depends on its class and number, not on the fold. Beside the thing that performs stands a distractor, a thing of
another kind. It does not move unless the verb involves both. Over the videos of a class, the other kinds take turns, so
the distractor tells nothing about the class.

`aurl.rendered.motions` has the motions, and `aurl.rendered.rendering` makes the files.
"""

import hashlib
from dataclasses import dataclass
from functools import cache

from aurl.project.config import BUILT_IN as SETS
from aurl.project.config import FOLDS
from aurl.rendered.motions import VERBS
from aurl.rendered.solids import THINGS

COLORS = {  # red, green and blue in [0, 1]
    "red": (1, 0.1, 0.1), "green": (0.1, 0.9, 0.15), "blue": (0.15, 0.3, 1),
    "yellow": (1, 0.95, 0.15), "orange": (1, 0.5, 0.05), "white": (1, 1, 1),
}  # fmt: skip


@dataclass(frozen=True)
class Video:
    """One video. Its pictures depend on ``name``, ``index`` and the seed only."""

    set: str
    split: str  # "train", "val" or "test"
    name: str  # the class: a verb's gerund or a color, and the thing
    index: int

    @property
    def id(self):
        return f"{self.set}/{self.name}/{self.index:03d}"

    @property
    def thing(self):
        """The thing that performs the verb."""
        return self.name.split()[1]

    @property
    def verb(self):
        """The verb's gerund. The index of a color's video is its verb's place in alphabetical order."""
        first = self.name.split()[0]
        return sorted(VERBS)[self.index] if first in COLORS else first

    @property
    def color(self):
        """The thing's color (3,) in [0, 1] if the class names it, else None."""
        return COLORS.get(self.name.split()[0])

    @property
    def other(self):
        """The thing beside it: each of the other kinds equally often."""
        others = [name for name in THINGS if name != self.thing]
        return others[self.index % len(others)]


@cache
def fold(verb):
    """The fold in which ``verb`` is unseen: verbs in the order of their SHA-256 are dealt out in turn."""
    return sorted(VERBS, key=_digest).index(verb) % FOLDS


@cache
def held_out(verb):
    """The half of the things that training never shows with ``verb``: the pairs whose names have the lowest SHA-256."""
    return sorted(THINGS, key=lambda thing: _digest(f"{verb} {thing}"))[: len(THINGS) // 2]


def _digest(name):
    return hashlib.sha256(name.encode()).hexdigest()


def classes(number):
    """The sorted classes of every set in the fold ``number``, as a dict."""
    seen = [verb for verb in VERBS if fold(verb) != number]
    parts = (
        [f"{verb} {thing}" for verb in seen for thing in THINGS if thing not in held_out(verb)],
        [f"{verb} {thing}" for verb in seen for thing in held_out(verb)],
        [f"{verb} {thing}" for verb in VERBS if verb not in seen for thing in THINGS],
        [f"{color} {thing}" for color in COLORS for thing in THINGS],
    )
    return {name: sorted(own) for name, own in zip(SETS, parts, strict=True)}


def videos(params, names=SETS, verbs=None):
    """The videos of the sets ``names`` in the fold ``params.fold``; ``params`` is the section ``verbs``.

    With ``verbs``, only videos of these verbs.
    """
    seen, _, _, colors = SETS
    found = []
    for name in names:
        for label in classes(params.fold)[name]:
            if name == colors:
                places = [place for place, verb in enumerate(sorted(VERBS)) if fold(verb) != params.fold]
                held = {place for place in places if place * params.val_videos % params.videos < params.val_videos}
            else:
                places = range(params.videos if name == seen else params.test_videos)
                held = set(places[params.videos - params.val_videos :])
            for place in places:
                split = "test" if name not in (seen, colors) else "val" if place in held else "train"
                found.append(Video(name, split, label, place))
    return [video for video in found if verbs is None or video.verb in verbs]
