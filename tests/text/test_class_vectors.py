"""The class-overlap filter's table in text, and the messages about classes that cannot be used."""

import numpy as np
import pytest
from errors import error_message

from aurl import UserError, text


def test_distances_of_equal_classes_are_written_without_a_sign():
    vectors = np.random.default_rng(0).normal(size=(40, 300))
    names = [f"c{i}" for i in range(40)]
    (_, _), table = text.without_overlap((names, vectors), {"s": (names, vectors * 3)}, 0)
    written = table.to_csv(index=False, float_format="%.6f")
    assert written.count(",0.000000,") == 40 and "-0" not in written


def eye(*names):
    return list(names), np.eye(4)[: len(names)]


@pytest.mark.parametrize(
    "train, tests, threshold, expected",
    [
        (eye("a", "b"), {"s": eye("a", "x"), "t": eye("y")}, 0, 'the test set t has only the class "y": add'),
        (eye("a"), {"s": eye("x", "y")}, 0, 'the training sets have only the class "a": add videos'),
        (eye("a", "b", "c"), {"s": eye("x", "y")}, 0.1, "text.overlap 0.1 leaves one training class of 3: lower it."),
        (eye("a", "b"), {"s": eye("x", "y")}, 0.1, "text.overlap 0.1 leaves no training class of 2: lower it."),
    ],
)
def test_one_class_cannot_be_told_apart(train, tests, threshold, expected):
    with pytest.raises(UserError, match=f"^{expected}"):
        text.without_overlap(train, tests, threshold)


def test_classes_of_the_sphere_are_kept():
    train, tests = (["walk", "run", "jump", "roll"], np.eye(4)), {"s": (["stroll", "x"], np.eye(4)[[0, 0]] + 0.01)}
    _, table = text.without_overlap(train, tests, 0.05)
    text.check_sphere(["run", "jump", "roll"], table)
    for name, expected in {
        "rum": '"rum", which is not a training class; did you mean "run"?',
        "xyz": '"xyz", which is not a training class: name training classes.',
        "walk": '"walk", which text.overlap removes because it is 0.000 from "stroll" of s: name another class, or '
        "lower text.overlap.",
    }.items():
        assert error_message(text.check_sphere, ["run", name], table) == f"sphere.classes names {expected}"


def test_a_share_of_the_classes_depends_on_their_names_alone():
    names, vectors = [f"class {i}" for i in range(20)], np.arange(40.0).reshape(20, 2)
    half, own = text.share(names, vectors, 0.5)
    assert len(half) == 10 and half == [name for name in names if name in half]
    np.testing.assert_array_equal(own, vectors[[names.index(name) for name in half]])
    assert set(text.share(names, vectors, 0.25)[0]) < set(half)
    backward, _ = text.share(names[::-1], vectors[::-1], 0.5)
    assert backward == half[::-1]
    assert text.share(names, vectors, 1)[0] == names and len(text.share(names, vectors, 1e-9)[0]) == 2


def test_some_classes_are_always_in_a_share():
    names = [f"class {i}" for i in range(20)]
    always = names[5:8]
    kept, _ = text.share(names, np.eye(20), 0.25, always)
    assert len(kept) == 5 and set(always) < set(kept)
    assert text.share(names, np.eye(20), 0.1, [*always, "another"])[0] == always
