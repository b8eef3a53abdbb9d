"""Which test classes an encoder had seen, and what tables say of it."""

from types import SimpleNamespace

import numpy as np
import pytest

from aurl import UserError
from aurl.data import names, pretraining


def entry(root, stated=None, reader="features"):
    return SimpleNamespace(reader=reader, root=str(root), pretraining=stated)


def data(**datasets):
    return SimpleNamespace(train=[*datasets][:1], test=[*datasets][1:], datasets=datasets)


@pytest.fixture
def file(tmp_path):
    def write(name, **arrays):
        np.savez(tmp_path / name, features=np.zeros((1, 2)), **arrays)
        return tmp_path / name

    return write


def test_a_class_is_seen_by_its_words_or_by_truze():
    classes = names.load("hmdb51")[0]
    seen = pretraining.seen_classes("kinetics400", classes, "hmdb51")
    assert {*names.truze("hmdb51")["seen"]} <= {*seen} and "ride_bike" in seen
    assert pretraining.seen_classes("ucf101", names.load("ucf101")[0], "ucf101") == names.load("ucf101")[0]
    assert pretraining.seen_classes("kinetics400", ["Playing drums", "brewing mead"], None) == ["Playing drums"]
    assert pretraining.seen_classes("image-text pairs", classes, "hmdb51") is None
    new = names.read(names.FOLDER / "kinetics600_new.txt")
    assert not pretraining.seen_classes("kinetics400", new, "kinetics600")


def test_tables_and_warnings_say_it():
    classes = ["abseiling", "brewing mead"]
    both = ["kinetics400", "web videos"]
    assert pretraining.summary(both, classes, None) == (
        "kinetics400 (1 of 2 test classes in it); web videos (test classes in it unknown)"
    )
    assert pretraining.warning(both, classes, None, "own") == (
        "own: the encoder was trained on kinetics400, which has 1 of the 2 classes, and on web videos, whose classes "
        "are not known: these are not unseen."
    )
    assert pretraining.summary(None, classes, None) == "not stated"
    assert pretraining.summary([], classes, None) == "none"
    assert pretraining.warning([], classes, None, "own") == ""
    assert pretraining.warning(["kinetics400"], classes[1:], None, "own") == ""
    assert "nothing says what the encoder was trained on" in pretraining.warning(None, classes, None, "own")


def test_the_file_says_it_or_the_parameters_do(file):
    told, silent = file("told.npz", pretraining=["kinetics400"]), file("silent.npz")
    assert (
        pretraining.of_set("a", entry(told)) == pretraining.of_set("a", entry(told, ["kinetics400"])) == ["kinetics400"]
    )
    assert pretraining.of_set("a", entry(silent)) is None and pretraining.of_set("a", entry(silent, [])) == []
    assert pretraining.of_set("a", entry("features.h5", ["x"])) == ["x"]
    with pytest.raises(UserError, match="data.datasets.a.pretraining is empty, but .*told.npz says kinetics400: leave"):
        pretraining.of_set("a", entry(told, []))


def test_all_sets_of_a_model_and_its_weights(file):
    one, two = file("one.npz", pretraining=["kinetics400", "web"]), file("two.npz", pretraining=["web", "ucf101"])
    both = data(a=entry(one), b=entry(two))
    assert pretraining.of_model(both, None) == ["kinetics400", "web", "ucf101"]
    assert pretraining.of_model(data(a=entry(one), b=entry(file("three.npz"))), None) is None
    videos = data(a=entry("a", reader="ucf101"), b=entry("b", reader="folders"))
    assert pretraining.of_model(videos, None) == []
    assert pretraining.of_model(videos, "/data/mc3_18.pth") == ["the data behind mc3_18.pth"]
