"""Estimates, intervals and p-values of accuracies and differences: against statsmodels, by hand, and by simulation."""

import numpy as np
import pandas as pd
import pytest

from aurl.evaluation import differences
from aurl.evaluation.differences import estimate

FOLDS, SEEDS, CLASSES = 5, 3, 30  # as in the studies


def design(seeds=SEEDS):
    """The class and the training of every row: each class is unseen in one fold, and trained on with every seed."""
    classes = np.repeat(np.arange(FOLDS * CLASSES), seeds)
    return classes, classes // CLASSES * seeds + np.tile(np.arange(seeds), FOLDS * CLASSES)


def draw(rng, effect, over_classes, over_trainings, rest, seeds=SEEDS):
    classes, trainings = design(seeds)
    values = effect + over_classes * rng.standard_normal(FOLDS * CLASSES)[classes]
    values += over_trainings * rng.standard_normal(FOLDS * seeds)[trainings]
    return values + rest * rng.standard_normal(len(classes)), classes, trainings


@pytest.mark.parametrize("effect", [0.0, 0.05])
@pytest.mark.parametrize(
    ("over_classes", "over_trainings", "seeds"), [(0.15, 0.03, 3), (0.15, 0.03, 2), (0.15, 0.0, 3), (0.05, 0.06, 3)]
)
def test_intervals_cover_the_truth_as_often_as_they_say(effect, over_classes, over_trainings, seeds):
    rng = np.random.default_rng(0)
    found = [estimate(*draw(rng, effect, over_classes, over_trainings, 0.1, seeds)) for _ in range(400)]
    assert 0.93 <= np.mean([own.low <= effect <= own.high for own in found]) <= 0.975
    decided = np.mean([own.p < 0.05 for own in found])
    assert decided > 0.25 if effect else 0.025 <= decided <= 0.07


@pytest.mark.parametrize(("folds", "seeds"), [(3, 1), (4, 1), (4, 3), (5, 2)])
def test_intervals_cover_the_truth_where_groups_cross_folds(folds, seeds):
    """In `pairs-unseen`, a verb is in the test of all folds but one, with three classes."""
    rng, verbs = np.random.default_rng(0), np.arange(FOLDS * CLASSES)
    parts = [(fold, seed) for fold in range(folds) for seed in range(seeds)]
    groups = np.concatenate([np.repeat(verbs[verbs % FOLDS != fold], 3) for fold, _ in parts])
    trainings = np.repeat(np.arange(len(parts)), 3 * (FOLDS - 1) * CLASSES)
    pairs = groups * 3 + np.tile(np.arange(3), len(groups) // 3)
    covered = []
    for _ in range(300):
        values = 0.02 + 0.1 * rng.standard_normal(len(verbs))[groups] + 0.1 * rng.standard_normal(3 * len(verbs))[pairs]
        values += 0.02 * rng.standard_normal(len(parts))[trainings] + 0.1 * rng.standard_normal(len(groups))
        own = estimate(values, groups, trainings)
        covered.append(own.low <= 0.02 <= own.high)
    assert 0.93 <= np.mean(covered) <= 0.98


def test_p_and_interval_agree():
    rng = np.random.default_rng(1)
    for _ in range(50):
        own = estimate(*draw(rng, 0.03, 0.15, 0.03, 0.1))
        assert (own.p < 0.05) == (own.low > 0 or own.high < 0)
        assert own.low < own.mean < own.high


def test_variance_by_hand():
    """The two-way formula: sums over classes, plus sums over trainings, less what both count."""
    values, classes, trainings = draw(np.random.default_rng(2), 0.1, 0.2, 0.2, 0.1)
    rest = values - values.mean()

    def clustered(groups):
        sums = np.bincount(groups, rest)
        return (sums**2).sum() * len(sums) / (len(sums) - 1) / len(rest) ** 2

    over_classes, over_trainings = clustered(classes), clustered(trainings)
    variance = over_classes + over_trainings - clustered(np.arange(len(rest)))
    freedom = variance**2 / (over_classes**2 / 149 + over_trainings**2 / 14)
    from scipy import stats

    half = stats.t.ppf(0.975, freedom) * np.sqrt(variance)
    own = estimate(values, classes, trainings)
    assert own == pytest.approx((values.mean(), values.mean() - half, values.mean() + half, own.p), rel=1e-6)


def test_two_classes_or_trainings_decide_nothing():
    """With two trainings that vary, intervals would cover the truth in less than 93 % of cases."""
    many, few = np.repeat(np.arange(3), 3), np.tile([0, 1, 0], 3)
    for groups, trainings in ((many, few), (few, many), (few, np.zeros(9))):
        assert estimate(np.linspace(0.5, 0.6, 9), groups, trainings)[1:] == (-np.inf, np.inf, 1.0)
    three = np.tile(np.arange(3), 3)
    assert estimate([0.2] * 9, many, three) == (0.2, 0.2, 0.2, 0.25)  # the sign test of three
    assert estimate([0.0] * 9, many, three).p == 1
    for wrong in ([], [np.nan, 1.0]):
        with pytest.raises(ValueError, match="finite value"):
            estimate(wrong, range(len(wrong)), range(len(wrong)))


def table(rng, **effects):
    """As `aurl.evaluation.folds.read` returns it: classes differ, and every variant adds its effect."""
    rows = []
    classes, trainings = design()
    shared = rng.uniform(0.2, 0.6, FOLDS * CLASSES)
    for variant, effect in effects.items():
        own = shared[classes] + effect + 0.02 * rng.standard_normal(len(classes))
        rows.append(
            pd.DataFrame(
                {
                    "variant": variant,
                    "fold": classes // CLASSES,
                    "seed": trainings % SEEDS,
                    "class": [f"c{c}" for c in classes],
                    "group": classes,
                    "top1": own,
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


def test_differences_are_variant_minus_baseline_and_corrected():
    found = differences.differences(
        table(np.random.default_rng(3), aurl=0.1, e2e=0.0, same=0.1),
        [("aurl", "e2e"), ("e2e", "aurl"), ("aurl", "same")],
    )
    assert found["points"].tolist() == pytest.approx([0.1, -0.1, 0.0], abs=0.01)
    assert found["verdict"].tolist() == ["above", "below", "undecided"]
    assert (
        found["p"].iloc[2]
        == differences.difference(table(np.random.default_rng(3), aurl=0.1, e2e=0.0, same=0.1), "aurl", "same").p
    )


def test_a_difference_is_over_the_trainings_that_both_have():
    rows = table(np.random.default_rng(4), aurl=0.1, e2e=0.0)
    fewer = rows[(rows["variant"] == "aurl") | (rows["seed"] < 2)]
    both = rows[rows["seed"] < 2]
    assert differences.difference(fewer, "aurl", "e2e") == differences.difference(both, "aurl", "e2e")


def test_pairing_makes_a_difference_surer_than_either_accuracy():
    rows = table(np.random.default_rng(5), aurl=0.05, e2e=0.0)
    own, ours = differences.difference(rows, "aurl", "e2e"), differences.accuracy(rows, "aurl")
    assert own.high - own.low < (ours.high - ours.low) / 3


def test_holm_by_hand():
    assert differences.holm(np.array([0.01, 0.04, 0.03])).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert len(differences.holm(np.array([]))) == 0


def test_gain_is_the_ratio_of_means_and_its_interval_that_of_a_bootstrap_over_classes():
    """The trainings are alike here, so that classes are the only source of variation."""
    rng, classes = np.random.default_rng(0), np.arange(400)
    accuracy = {"aurl": rng.uniform(0.3, 0.7, 400), "e2e": rng.uniform(0.1, 0.3, 400)}
    table = pd.concat(
        pd.DataFrame({"variant": name, "fold": 1, "seed": seed, "class": classes, "group": classes, "top1": own})
        for name, own in accuracy.items()
        for seed in range(3)
    )
    found = differences.gain(table, "aurl", "e2e")
    assert found.mean == pytest.approx(accuracy["aurl"].mean() / accuracy["e2e"].mean() - 1)
    drawn = rng.integers(0, 400, (4000, 400))
    ratios = accuracy["aurl"][drawn].mean(axis=1) / accuracy["e2e"][drawn].mean(axis=1) - 1
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(ratios, [0.025, 0.975])), abs=0.02)
    nothing = table.assign(top1=table["top1"].where(table["variant"] == "aurl", 0))
    assert np.isnan(differences.gain(nothing, "aurl", "e2e")).all()
