"""Published protocols, against loops over the videos."""

import numpy as np
import pytest

from aurl import UserError
from aurl.data import names
from aurl.evaluation import protocols, published

RNG = np.random.default_rng(0)


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def features():
    classes, labels = unit(RNG.normal(size=(7, 4))), np.arange(42) % 7
    return {"video": unit(classes[labels] + RNG.normal(size=(42, 4))), "classes": classes, "labels": labels}


def test_official_lists(features):
    ids = [f"ucf101/class/v_{i}" for i in range(42)]
    lists = [{f"v_{i}" for i in range(start, 42, 3)} | {"not on this disk"} for start in range(3)]
    found = published.over_lists(features, ids, lists)
    best = (features["video"] @ features["classes"].T).argmax(axis=1)
    right = [np.mean([best[i] == features["labels"][i] for i in range(start, 42, 3)]) for start in range(3)]
    assert found["lists_top1"] == pytest.approx(np.mean(right), abs=1e-4) and len(found) == 6
    assert found["lists_top1_std"] == pytest.approx(np.std(right), abs=1e-4) and found["lists_top1_std"] > 0
    assert found["lists_mean_per_class"] == found["lists_top1"] <= found["lists_top5"]  # classes are equally large


def test_a_list_of_other_videos_is_refused(features):
    with pytest.raises(UserError, match="no video of the official split 1 is in the data set, whose first is a/v_0"):
        published.over_lists(features, [f"a/v_{i}" for i in range(42)], [{"w_0"}])


def test_draws_of_kinetics600():
    known, new = (set(names.load(f"kinetics{edition}")[0]) for edition in (400, 600))
    classes = sorted(names.read(published.NEW))
    assert len(classes) == len(set(classes)) == 220 and set(classes) <= new - known
    draws = published.kinetics600_draws(classes)
    assert [len({*draw}) for draw in draws] == [160] * 3 and len({*map(tuple, draws)}) == 3
    first = [classes[place] for place in draws[0]]
    assert "acting in play" in first  # 400 of the source's list, which does not validate
    assert "archaeological excavation" not in first  # 403, which does
    assert published.kinetics600_draws(classes[1:]) == []


def test_only_the_classes_of_a_draw_compete(features):
    draws = [[0, 2, 4], [1, 2, 3, 6]]
    found = published.over_draws(features, draws)
    right = []
    for draw in draws:
        own = np.flatnonzero(np.isin(features["labels"], draw))
        best = np.array(draw)[protocols.scores(features)[np.ix_(own, draw)].argmax(axis=1)]
        right.append(np.mean(best == features["labels"][own]))
    assert found["draws_top1"] == pytest.approx(np.mean(right), abs=1e-4)
    assert found["draws_top1_std"] == pytest.approx(np.std(right), abs=1e-4)
