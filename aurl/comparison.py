"""The variants side by side: every run's figures, brought together over seeds."""

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd

from aurl import UserError, evaluation, metrics


def collect(variants, seeds, sets):
    """What `04_evaluate` left of every run, a row per set, variant and seed: its report's figures, and ``hits`` and ``labels``.

    ``hits`` (N,) says which videos were named right, ``labels`` (N,) their classes. Raises UserError for a run that is missing.
    """
    rows = []
    for name, variant, seed in itertools.product(sets, variants, seeds):
        file = Path(f"reports/metrics/{variant}-{seed}.json")
        if not file.is_file():
            raise UserError(f"{file} is missing: evaluate the variant first, with `dvc repro`.")
        found = evaluation.load(f"build/features/{variant}-{seed}/{name}.npz")
        hits = metrics.hits(evaluation.scores(found), found["labels"])
        rows.append(
            {"set": name, "variant": variant, "seed": seed}
            | json.loads(file.read_text())[name]
            | {"hits": hits, "labels": found["labels"]}
        )
    return pd.DataFrame(rows)


def summary(runs, bootstrap, seed=0):
    """`collect`'s rows brought together over seeds: a row per set and variant.

    Columns: ``set, variant, seeds`` (their number), ``chance``, ``top1`` in [0, 1] with ``top1_low, top1_high`` (95 % bootstrap
    interval over videos, of the mean over seeds) and ``top1_std`` (standard deviation over seeds; NaN for one), ``gzsl_harmonic``,
    ``closeness`` and ``dispersion``; all but the interval and the deviation are means over seeds.
    """
    rows = []
    for (name, variant), own in runs.groupby(["set", "variant"], sort=False):
        low, high = metrics.bootstrap_interval(
            np.mean([*own["hits"]], axis=0), own["labels"].iloc[0], np.random.default_rng(seed), bootstrap
        )
        means = dict(own[["chance", "top1", "gzsl_harmonic", "closeness", "dispersion"]].mean())
        spread = {"top1_low": low, "top1_high": high, "top1_std": own["top1"].std()}
        rows.append({"set": name, "variant": variant, "seeds": len(own)} | evaluation.rounded(means | spread))
    return pd.DataFrame(rows)


def markdown(table):
    """What `summary` returns as a Markdown table, accuracies in percent."""
    lines = [
        "| test set | variant | top-1 % (95 % interval) | ± over seeds | times chance | seen and unseen, harmonic % | closeness ↓ | dispersion ↑ |",
        "|---" * 8 + "|",
    ]
    for row in table.itertuples():
        spread = f"{100 * row.top1_std:.1f}" if row.seeds > 1 else "–"
        lines.append(
            f"| {row.set} | {row.variant} | {100 * row.top1:.1f} ({100 * row.top1_low:.1f}–{100 * row.top1_high:.1f}) | {spread} "
            f"| {row.top1 / row.chance:.1f} | {100 * row.gzsl_harmonic:.1f} | {row.closeness:.3f} | {row.dispersion:.3f} |"
        )
    return "\n".join(lines) + "\n"


def verdicts(runs, method="aurl"):
    """One sentence per test set and other variant in `collect`'s rows: is ``method`` above it, and in how many pairs of runs?"""
    sentences = []
    for name, rows in runs.groupby("set", sort=False):
        top1 = {variant: own["top1"].to_numpy() for variant, own in rows.groupby("variant", sort=False)}
        ours = top1.pop(method, ())
        for variant, theirs in top1.items() if len(ours) else ():
            points = 100 * (ours.mean() - theirs.mean())
            pairs = np.subtract.outer(ours, theirs) * np.sign(points)
            side, agree = (
                "above" if points > 0 else "below",
                f", in {(pairs > 0).sum()} of {pairs.size} pairs of runs" if pairs.size > 1 else ", one run each",
            )
            sentences.append(f"{name}: `{method}` is {abs(points):.1f} points {side} `{variant}`{agree}.")
    return sentences
