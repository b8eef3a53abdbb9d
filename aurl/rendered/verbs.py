"""The built-in benchmark of unseen actions: which verbs and which videos it has.

A class is a verb, such as "bouncing". Every verb is performed by each thing beside each other thing, so that neither
gives a verb away. The verbs are dealt into five folds. For the chosen fold there are two sets:

``verbs-seen``    the verbs of the other folds, with some videos of each held out for validation
``verbs-unseen``  the verbs of this fold

Every verb is unseen in one fold, and its videos are the same in all folds. `aurl.rendered.motions` has the motions,
`aurl.rendered.rendering` makes the files.
"""

import hashlib
from dataclasses import dataclass
from functools import cache

from aurl.project.config import FOLDS
from aurl.project.config import VERBS as SETS
from aurl.rendered.motions import VERBS
from aurl.rendered.solids import THINGS


@dataclass(frozen=True)
class Video:
    """One video. Its pictures depend on ``name``, ``index`` and the seed only."""

    set: str
    split: str  # "train", "val" or "test"
    name: str  # the class: a verb's gerund
    index: int

    @property
    def id(self):
        return f"{self.set}/{self.name}/{self.index:03d}"

    @property
    def thing(self):
        """The thing that performs the verb."""
        return list(THINGS)[self.index % len(THINGS)]

    @property
    def other(self):
        """The thing beside it: each of the other kinds equally often."""
        others = [name for name in THINGS if name != self.thing]
        return others[self.index // len(THINGS) % len(others)]


@cache
def fold(verb):
    """The fold in which ``verb`` is unseen: verbs in the order of their SHA-256 are dealt out in turn."""
    order = sorted(VERBS, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    return order.index(verb) % FOLDS


def classes(number):
    """The sorted verbs of both sets in a fold, as a dict."""
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
