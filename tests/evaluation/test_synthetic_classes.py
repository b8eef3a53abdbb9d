"""What chapter 5 shows of synthetic classes, against loops and closed forms."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from aurl.evaluation import synthetic_classes
from aurl.generator import MODES

GENERATOR = SimpleNamespace(num_classes=None, beta=1.0)


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)


def cosine(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def test_pairs_and_nearest_by_loops(features):
    tensor, others = torch.as_tensor(features), features[:3] + 1
    expected = [cosine(a, b) for i, a in enumerate(features) for b in features[i + 1 :]]
    assert synthetic_classes.pairs(tensor).numpy() == pytest.approx(np.array(expected), abs=1e-6)
    nearest = [max(cosine(a, b) for b in others) for a in features]
    assert synthetic_classes.nearest(tensor, torch.as_tensor(others)).numpy() == pytest.approx(nearest, abs=1e-6)


def test_mixes_are_those_of_the_generator_and_follow_the_seed(features):
    tensor = torch.as_tensor(features)
    found = synthetic_classes.mixes(tensor, SimpleNamespace(num_classes=4, beta=1.0), seed=3, steps=2)
    again = synthetic_classes.mixes(tensor, SimpleNamespace(num_classes=4, beta=1.0), seed=3, steps=2)
    assert tuple(found) == MODES and all(z.shape == (4, 5) for draws in found.values() for z in draws)
    assert all(torch.equal(a, b) for mode in MODES for a, b in zip(found[mode], again[mode]))
    assert not torch.equal(found["released"][0], found["released"][1])


def test_panels_begin_with_real_classes(features):
    unseen = {"t": features[:2] + 1, "u": features[:3] - 1}
    between, seen, nearest = synthetic_classes.panels({"s": features}, unseen, GENERATOR, seed=0).values()
    assert list(between) == ["s", *MODES] and list(seen) == ["t", "u", *MODES] and list(nearest) == ["s", *MODES]
    assert between["s"] == pytest.approx(synthetic_classes.pairs(torch.as_tensor(features)).numpy())
    assert [len(seen["t"]), len(seen["u"]), len(nearest["s"])] == [2, 3, 5]
    assert len(nearest["both"]) == 5 * synthetic_classes.STEPS
    expected = [max(cosine(a, b) for b in features) for a in unseen["t"]]
    assert seen["t"] == pytest.approx(expected, abs=1e-6)


def test_orthogonal_classes_mixed_as_released_have_cosine_three_quarters(features):
    table = synthetic_classes.mean_cosines(np.tile(features, (12, 1)), GENERATOR, seed=0)
    assert list(table) == ["length of the classes' mean", "seen", *MODES]
    row = table.loc["as many orthogonal classes"]
    assert row["released"] == pytest.approx(0.75, abs=0.02) and row["seen"] == 0
    assert row["length of the classes' mean"] == pytest.approx(84**-0.5)


def test_one_place_has_a_mean_of_length_one():
    row = synthetic_classes.mean_cosines(5 * np.ones((4, 3), np.float32), GENERATOR, seed=0).iloc[0]
    assert row["length of the classes' mean"] == pytest.approx(1) and row["seen"] == pytest.approx(1)
