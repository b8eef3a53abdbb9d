"""The benchmark of verbs: folds, and things that give no verb away."""

from collections import Counter
from pathlib import Path

import numpy as np

from aurl import text
from aurl.project import config
from aurl.rendered import verbs
from aurl.rendered.motions import VERBS
from aurl.rendered.solids import THINGS

VECTORS = Path(__file__).parents[2] / "data" / "vectors" / "glove-6b-100d-actions.bin"


def section(**changes):
    """The section ``verbs`` of params.yaml, small."""
    small = {"seed": 0, "fold": 0, "size": 32, "frames": 6, "fps": 12, "videos": 12, "val_videos": 4}
    return config.sections.Verbs(**small | changes)


def test_every_verb_is_unseen_in_one_fold():
    folds = [verbs.classes(number) for number in range(config.FOLDS)]
    assert sorted(name for own in folds for name in own["verbs-unseen"]) == sorted(VERBS)
    for own in folds:
        assert not set(own["verbs-seen"]) & set(own["verbs-unseen"])
        assert len(own["verbs-seen"]) + len(own["verbs-unseen"]) == len(VERBS)
    assert {len(own["verbs-unseen"]) for own in folds} == {len(VERBS) // config.FOLDS}


def test_every_verb_has_a_vector_of_its_own():
    vectors = text.WordVectors.load(VECTORS).embed(sorted(VERBS))
    cosines = vectors @ vectors.T / np.outer(*[np.linalg.norm(vectors, axis=1)] * 2)
    assert len(VERBS) == 150 and np.triu(cosines, 1).max() < 0.99


def test_what_does_it_and_what_stands_by_give_no_verb_away():
    everything = verbs.videos(section())
    pairs = {name: Counter((v.thing, v.other) for v in everything if v.name == name) for name in VERBS}
    assert all(own == pairs["bouncing"] for own in pairs.values())
    assert set(pairs["bouncing"].values()) == {1} and len(pairs["bouncing"]) == len(THINGS) * (len(THINGS) - 1)
    for split in ("train", "val"):
        assert {v.thing for v in everything if v.split == split} == set(THINGS)


def test_videos_of_both_sets():
    everything = verbs.videos(section(fold=2))
    assert len({v.id for v in everything}) == len(everything) == 12 * len(VERBS)
    for v in everything:
        unseen = verbs.fold(v.name) == 2
        assert v.set == ("verbs-unseen" if unseen else "verbs-seen")
        assert v.split == ("test" if unseen else "train" if v.index < 8 else "val")
