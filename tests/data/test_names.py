"""Every class of the paper's data sets becomes words that have vectors, and every rule is needed."""

import numpy as np
import pytest
import yaml
from project import GLOVE

from aurl import UserError, text
from aurl.data import names

COUNTS = {"kinetics400": 400, "kinetics600": 600, "kinetics700": 700, "ucf101": 101, "hmdb51": 51, "activitynet": 200}
RULES = yaml.safe_load((names.FOLDER / "rules.yaml").read_text())


@pytest.fixture(scope="module")
def vectors():
    return text.WordVectors.load(GLOVE)


def said(name):
    """A data set's classes as the text that they are embedded by."""
    classes, rules = names.load(name)
    return {label: " ".join(text.words(label, rules)) for label in classes}


@pytest.mark.parametrize("name", COUNTS)
def test_every_class_has_a_vector_and_words_of_its_own(name, vectors):
    found = said(name)
    assert len(found) == COUNTS[name] == len(set(found.values()))
    assert np.isfinite(vectors.embed(list(found.values()))).all()


@pytest.mark.parametrize(
    ("name", "label", "words"),
    [("ucf101", "ApplyEyeMakeup", "apply eye makeup"), ("ucf101", "CleanAndJerk", "weight lift"),
     ("ucf101", "YoYo", "yoyo"), ("hmdb51", "shoot_bow", "shoot bow"), ("hmdb51", "fencing", "fence"),
     ("kinetics700", "passing American football (not in game)", "pass american football park"),
     ("kinetics700", "using a microscope", "microscope"), ("kinetics700", "putting on lipstick", "put lipstick"),
     ("kinetics700", "sawing wood", "saw wood"), ("activitynet", "Blow-drying hair", "dry hair"),
     ("activitynet", "Getting a piercing", "get pierce")],
)  # fmt: skip
def test_words_of_a_class(name, label, words):
    assert said(name)[label] == words


def test_every_rule_is_needed():
    for family, rules in RULES.items():
        lists = [names.load(name)[0] for name in COUNTS if names.FAMILIES[name] == family]
        labels = set().union(*lists)
        assert set(rules["substitutions"]) <= labels, set(rules["substitutions"]) - labels
        spoken = {
            word for label in labels - set(rules["substitutions"]) for word in label.lower().replace("-", " ").split()
        }
        assert not rules.get("cut") or any(rules["cut"] in label for label in labels)
        assert len(spoken & set(rules.get("drop", ()))) >= 5 or not rules.get("drop")


@pytest.mark.parametrize(("name", "seen", "unseen"), [("ucf101", 70, 31), ("hmdb51", 29, 22)])
def test_truze_has_every_class_once(name, seen, unseen):
    split = names.truze(name)
    assert (len(split["seen"]), len(split["unseen"])) == (seen, unseen)
    assert sorted(split["seen"] + split["unseen"]) == sorted(names.load(name)[0])


def test_unknown_names():
    with pytest.raises(UserError, match="no class names of 'ucf11', only of kinetics400, .*; did you mean ucf101"):
        names.load("ucf11")


def test_overlap_of_kinetics_with_the_test_sets(vectors):
    sets = {
        name: (list(said(name)), vectors.embed(list(said(name).values())))
        for name in ("kinetics700", "ucf101", "hmdb51")
    }
    tests = {name: sets[name] for name in ("ucf101", "hmdb51")}
    (kept, _), table = text.without_overlap(sets["kinetics700"], tests, 0.05)
    removed = table[table["removed"]].set_index("class")["nearest"]
    expected = {"archery": "Archery", "clean and jerk": "CleanAndJerk", "brushing hair": "brush_hair"}
    assert removed[list(expected)].to_dict() == expected
    assert 640 <= len(kept) <= 680 and len(kept) + len(removed) == 700
    assert len(text.without_overlap(sets["kinetics700"], tests, 0)[0][0]) == 700
