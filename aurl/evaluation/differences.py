"""Inference on accuracies and their differences: an estimate, its 95 % interval and its p-value.

An accuracy depends on the sample of classes and on the sample of trainings. The variance of a mean is therefore
clustered two ways, over groups of classes and over trainings (Cameron, Gelbach and Miller 2011), and its degrees of
freedom are Satterthwaite's. A group is the classes of one verb in the built-in benchmark, and a single class elsewhere.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from aurl.project.config import BUILT_IN

LEVEL = 0.05  # a corrected p-value below this decides; intervals cover 1 - LEVEL
FEWEST = 3  # groups or trainings for an interval; with two, 95 % intervals cover the truth in 88 % of simulations


class Estimate(NamedTuple):
    """A mean with its interval [low, high]; ``p`` is two-sided, for the hypothesis that the mean is 0."""

    mean: float
    low: float
    high: float
    p: float


def estimate(values, groups, trainings):
    """`Estimate` of the mean of ``values`` over classes and trainings.

    The variance comes from `statsmodels`' two-way clustered covariance. By chance, it can be smaller than a one-way
    variance; the larger of the two one-way variances is then used. The interval is infinite where there are fewer than
    `FEWEST` groups or trainings. Raises ValueError for no rows or a value that is not finite.

    Args:
        values: (R,) accuracies, or differences of accuracies, one for each pair of a class and a training.
        groups: (R,) the group of classes of each; rows of a group vary together.
        trainings: (R,) the training of each; rows of a training vary together.
    """
    from statsmodels.regression.linear_model import OLS  # takes a second to import
    from statsmodels.stats.sandwich_covariance import cov_cluster_2groups

    values = np.asarray(values, float)
    if not len(values) or not np.isfinite(values).all():
        raise ValueError("An estimate needs one finite value or more.")
    clusters = [pd.factorize(np.asarray(cluster))[0] for cluster in (groups, trainings)]
    sizes = [int(cluster.max()) + 1 for cluster in clusters]
    mean = values.mean()
    if min(sizes) < FEWEST:
        return Estimate(mean, -np.inf, np.inf, 1.0)
    if np.ptp(values) == 0:  # no variance: a sign test over groups or trainings, whichever are fewer
        return Estimate(mean, mean, mean, 2 * 0.5 ** min(sizes) if mean else 1.0)
    model = OLS(values, np.ones(len(values))).fit()
    both, *single = (cov.item() for cov in cov_cluster_2groups(model, *clusters))
    variance = max(both, *single)
    freedom = variance**2 / sum(own**2 / (size - 1) for own, size in zip(single, sizes))
    freedom = max(freedom, min(sizes) - 1)
    half = stats.t.ppf(1 - LEVEL / 2, freedom) * np.sqrt(variance)
    return Estimate(mean, mean - half, mean + half, 2 * stats.t.sf(abs(mean) / np.sqrt(variance), freedom))


def group_of(name, classes):
    """The groups of the ``classes``, a Series, of the set ``name``: verbs in the built-in benchmark, else the classes.

    >>> group_of("pairs-unseen", pd.Series(["bouncing ball"])).tolist(), group_of("hmdb51", pd.Series(["hit"])).tolist()
    (['bouncing'], ['hit'])
    """
    return classes.str.partition(" ")[0] if name in BUILT_IN else classes


def accuracy(table, variant):
    """`Estimate` of a variant's top-1, in [0, 1]; ``table`` is that of `aurl.evaluation.folds.read`."""
    own = table[table["variant"] == variant]
    return estimate(own["top1"], own["group"], _trainings(own))


def difference(table, variant, baseline):
    """`Estimate` of variant - baseline in top-1, in [-1, 1], over the classes and trainings that both have."""
    paired = _paired(table, variant, baseline)
    return estimate(paired["top1"] - paired["top1_baseline"], paired["group"], _trainings(paired))


def gain(table, variant, baseline):
    """`Estimate` of the relative gain: the variant's mean top-1 divided by the baseline's, minus 1.

    The interval linearizes the ratio (delta method). All numbers are NaN if the baseline's accuracy is 0.
    """
    paired = _paired(table, variant, baseline)
    ours, theirs = paired["top1"], paired["top1_baseline"]
    if not theirs.any():
        return Estimate(*[np.nan] * 4)
    ratio = ours.mean() / theirs.mean()
    about = estimate((ours - ratio * theirs) / theirs.mean(), paired["group"], _trainings(paired))
    return Estimate(ratio - 1, ratio - 1 + about.low, ratio - 1 + about.high, difference(table, variant, baseline).p)


def _paired(table, variant, baseline):
    """The rows of classes and trainings that both variants have, with ``top1`` and ``top1_baseline``."""
    keys = ["fold", "seed", "class", "group"]
    ours, theirs = (table.loc[table["variant"] == name, [*keys, "top1"]] for name in (variant, baseline))
    return ours.merge(theirs, on=keys, suffixes=("", "_baseline"))


def differences(table, pairs):
    """`difference` of every (variant, baseline) in ``pairs``, with p-values corrected by Holm's method over the rows.

    Columns: ``variant, baseline, points`` in [-1, 1], ``low``, ``high`` (95 %, not corrected), ``p`` (corrected) and
    ``verdict``: "above", "below" or "undecided".
    """
    rows = [(variant, baseline, *difference(table, variant, baseline)) for variant, baseline in pairs]
    found = pd.DataFrame(rows, columns=["variant", "baseline", "points", "low", "high", "p"])
    found["p"] = holm(found["p"])
    sides = np.where(found["points"] > 0, "above", "below")
    return found.assign(verdict=np.where(found["p"] < LEVEL, sides, "undecided"))


def holm(p):
    """P-values (n,), corrected by Holm's step-down method."""
    from statsmodels.stats.multitest import multipletests

    return multipletests(p, method="holm")[1] if len(p) else np.asarray(p, float)


def p_text(p):
    """A p-value as text with three digits, never "0.000".

    >>> p_text(0.0312), p_text(1e-9)
    ('0.031', '< 0.001')
    """
    return f"{p:.3f}" if p >= 0.0005 else "< 0.001"


def _trainings(table):
    return table["fold"].astype(str) + "/" + table["seed"].astype(str)
