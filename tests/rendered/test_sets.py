"""The built-in benchmark: folds of verbs, pairs that are held out, and videos that give no class away."""

from collections import Counter

import numpy as np
import pytest
from project import GLOVE

from aurl import text
from aurl.project import config
from aurl.rendered import sets
from aurl.rendered.motions import VERBS
from aurl.rendered.solids import THINGS

SEEN, PAIRS, UNSEEN, COLORS = sets.SETS
SMALL = {"seed": 0, "fold": 0, "size": 32, "frames": 6, "fps": 12, "videos": 10, "val_videos": 5, "test_videos": 5}


def section(**changes):
    """The section ``verbs`` of params.yaml, small."""
    return config.sections.Verbs(**SMALL | changes)


def firsts(classes):
    return {name.split()[0] for name in classes}


def test_every_verb_is_unseen_in_one_fold():
    folds = [firsts(sets.classes(number)[UNSEEN]) for number in range(config.FOLDS)]
    assert sorted(verb for own in folds for verb in own) == sorted(VERBS)
    assert {len(own) for own in folds} == {len(VERBS) // config.FOLDS}
    for number, own in enumerate(folds):
        assert firsts(sets.classes(number)[SEEN]) == firsts(sets.classes(number)[PAIRS]) == set(VERBS) - own


def test_pairs_share_no_class_and_all_words():
    for number in range(config.FOLDS):
        own = {name: set(classes) for name, classes in sets.classes(number).items()}
        assert not own[SEEN] & own[PAIRS] and len(own[SEEN]) == len(own[PAIRS]) == 120 * len(THINGS) // 2
        assert own[SEEN] | own[PAIRS] | own[UNSEEN] == {f"{verb} {thing}" for verb in VERBS for thing in THINGS}
        # A verb has three of six things in training, and every thing has about half of the verbs.
        assert set(Counter(name.split()[0] for name in own[SEEN]).values()) == {3}
        assert all(abs(count - 60) < 20 for count in Counter(name.split()[1] for name in own[SEEN]).values())


def test_what_is_held_out_depends_on_the_pair_alone():
    held = [{name for name in sets.classes(number)[PAIRS] if name.split()[0] == "bouncing"} for number in range(5)]
    assert len({frozenset(own) for own in held if own}) == 1


def test_every_word_has_a_vector_and_every_class_one_of_its_own():
    source = text.WordVectors.load(GLOVE)
    verbs = source.embed(sorted(VERBS))
    cosines = verbs @ verbs.T / np.outer(*[np.linalg.norm(verbs, axis=1)] * 2)
    assert len(VERBS) == 150 and np.triu(cosines, 1).max() < 0.99
    for names in sets.classes(0).values():
        assert len(np.unique(source.embed(names), axis=0)) == len(names)


def test_what_stands_by_gives_no_class_away():
    for name in (SEEN, PAIRS, UNSEEN):
        videos = sets.videos(section(), [name])
        assert {v.set for v in videos} == {name}
        beside = {label: Counter() for label in {v.name for v in videos}}
        for v in videos:
            assert v.name == f"{v.verb} {v.thing}" and v.color is None
            beside[v.name][v.other] += 1
        for label, own in beside.items():
            assert set(own) == {*THINGS} - {label.split()[1]} and len(set(own.values())) == 1


@pytest.mark.parametrize("number", [0, 2])
def test_videos_of_the_three_sets_of_pairs(number):
    everything = sets.videos(section(fold=number), sets.SETS[:3])
    assert len({v.id for v in everything}) == len(everything) == 360 * 10 + 360 * 5 + 180 * 5
    for v in everything:
        assert (v.set == UNSEEN) == (sets.fold(v.verb) == number)
        assert v.split == ("test" if v.set != SEEN else "train" if v.index < 5 else "val")


def test_colors_are_a_training_set_that_shows_no_unseen_verb():
    videos = sets.videos(section(fold=3), [COLORS])
    assert {v.name for v in videos} == {f"{color} {thing}" for color in sets.COLORS for thing in THINGS}
    assert {v.verb for v in videos} == {verb for verb in VERBS if sets.fold(verb) != 3}
    assert all(v.color == sets.COLORS[v.name.split()[0]] for v in videos)
    split = Counter(v.split for v in videos)
    assert set(split) == {"train", "val"} and split["val"] == pytest.approx(len(videos) / 2, rel=0.1)
    for label in {v.name for v in videos}:
        assert {v.split for v in videos if v.name == label} == {"train", "val"}
