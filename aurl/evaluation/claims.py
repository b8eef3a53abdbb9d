"""The paper's claims as comparisons that can fail: each ends as "holds", "refuted" or "undecided".

Claims about a part of the method compare two variants that differ in this part and in the learning rate that was
searched for the loss; fixed class features also have the word vectors' dimension. Observations about the two metrics
ask whether variants with a larger dispersion or a smaller closeness are more accurate, among variants that learn class
features: fixed word vectors have the same dispersion in every training.
"""

import numpy as np
import pandas as pd
from scipy import stats

from aurl.evaluation import folds
from aurl.evaluation.differences import FEWEST, LEVEL, difference, holm, p_text
from aurl.losses import NAMELESS
from aurl.project.markdown import markdown_table

CLAIMS = [  # of the paper, as (claim, variant, baseline); docs/protocol.md fixed them before the runs
    ("AURL beats E2E", "aurl", "e2e"),
    ("uniformity helps", "contrastive", "alignment"),
    ("learning the class encoder helps", "contrastive", "frozen"),
    ("visual centers help", "visual_centers", "contrastive"),
    ("synthetic classes help", "aurl", "visual_centers"),
    ("synthetic classes help, as released", "aurl_released", "visual_centers"),
    ("AURL beats a ranking loss", "aurl", "ranking"),
    ("AURL beats a center loss", "aurl", "center_loss"),
    ("AURL beats ER's descriptions", "aurl", "er"),
]
CONTROLS = [  # AURL against other methods, with the same clips, data and backbone for both
    ("AURL beats attributes before semantics", "aurl", "attributes"),
    ("AURL beats a classifier that ignores class names", "aurl", "classifier"),
    ("AURL beats attention over clips", "aurl_segments", "attention"),
    ("AURL beats Action2Vec", "aurl_segments", "action2vec"),
    ("AURL beats URL", "aurl_segments", "url"),
    ("AURL beats TARN", "aurl_segments", "tarn"),
    ("AURL beats MUFI", "aurl", "mufi"),
]
OBSERVATIONS = [  # chosen after results were seen
    ("full AURL beats its first loss", "aurl", "contrastive"),
    ("the paper's generator beats the released one", "aurl", "aurl_released"),
    ("synthetic classes help, interpolated", "interpolate", "visual_centers"),
    ("synthetic classes help, extrapolated", "extrapolate", "visual_centers"),
]
TABLES = {"claim": CLAIMS, "control": CONTROLS, "observation": OBSERVATIONS}
METRICS = [  # as (claim, metric, expected sign of its correlation with accuracy)
    ("accuracy rises with dispersion", "dispersion", 1),
    ("accuracy falls as closeness (a distance) grows", "closeness", -1),
]

UNTESTED = "not tested"
RESAMPLES = 10_000  # of a permutation test
EXPLORATORY = 0  # the fold whose results were seen before rules and variants were chosen


def decide(classes, runs, learned):
    """Every claim that the trained variants allow, a row each, decided on the folds other than `EXPLORATORY`.

    Args:
        classes: the table of `aurl.evaluation.folds.read`.
        runs: a row per training, with the columns ``fold, variant, seed, top1, closeness, dispersion``.
        learned: names of variants, from `learn_classes`.

    Returns:
        The columns ``kind``, a key of `TABLES`; ``claim``; ``before``, the difference on the exploratory fold in
        [-1, 1], NaN without one; ``evidence``; ``p``, corrected by Holm's method over the rows of one kind, NaN where
        there are too few trainings for a test; and ``verdict``: "holds", "refuted", "undecided" or "not tested".
    """
    rows, confirm = [], classes[classes["fold"] != EXPLORATORY]
    explored = classes[classes["fold"] == EXPLORATORY]
    for kind, claims in TABLES.items():
        for claim, variant, baseline in claims:
            if not folds.comparable(classes, variant, baseline):
                continue
            before = difference(explored, variant, baseline).mean if len(explored) else np.nan
            row = {"kind": kind, "claim": claim, "before": before}
            evidence = f"{variant} − {baseline}"
            if len(confirm):
                mean, low, high, p = difference(confirm, variant, baseline)
                evidence += f": {100 * mean:+z.1f} points"
                tested = low > -np.inf
                evidence += f" ({100 * low:+z.1f} to {100 * high:+z.1f})" if tested else " (too few trainings)"
                rows.append(row | {"evidence": evidence, "p": p if tested else np.nan, "agrees": mean > 0})
            else:
                rows.append(row | {"evidence": evidence, "p": np.nan, "agrees": False})
    means = runs[runs["fold"] != EXPLORATORY].groupby("variant")[["top1", "closeness", "dispersion"]].mean()
    own = means[means.index.isin(learned)]
    if len(own) > 3:  # ranks need values that differ
        ranked = [claim for claim in METRICS if own[["top1", claim[1]]].nunique().min() > 1]
        rows += [_correlated(means, own, *claim) for claim in ranked]
    table = pd.DataFrame(rows, columns=["kind", "claim", "before", "evidence", "p", "agrees"])
    corrected = table.fillna({"p": 1.0}).groupby("kind")["p"].transform(lambda p: holm(p.to_numpy(float)))
    table["p"] = corrected.where(table["p"].notna())
    agrees = table.pop("agrees").astype(bool)
    table["verdict"] = np.where(table["p"] < LEVEL, np.where(agrees, "holds", "refuted"), "undecided")
    table.loc[table["p"].isna(), "verdict"] = UNTESTED
    return table


def learn_classes(variants):
    """The names in ``variants``, name -> parameters, that learn class features and compare them by the cosine."""
    return {
        name
        for name, params in variants.items()
        if (params.model.semantic, params.model.score) == ("learned", "cosine")
        and not set(params.loss.terms) <= NAMELESS
    }


def _correlated(means, own, claim, metric, sign):
    """A row on the rank correlation of a metric with top-1, over the variants of ``own``; ``means`` has all."""

    ranks, accuracy = (stats.zscore(stats.rankdata(own[name])) for name in (metric, "top1"))

    def correlation(values, axis):
        return (values * accuracy).mean(axis)  # Spearman's, because a permutation keeps mean and variance

    test = stats.permutation_test(
        (ranks,), correlation, permutation_type="pairings", n_resamples=RESAMPLES, vectorized=True, rng=0
    )
    whole = stats.spearmanr(means[metric], means["top1"]).statistic
    evidence = (
        f"Spearman's ρ (claim: ρ {'>' if sign > 0 else '<'} 0) is {test.statistic:+.2f} over the {len(own)} variants "
        "that learn class features"
    )
    evidence += f" and {whole:+.2f} over all {len(means)}" if len(own) < len(means) else ""
    row = {"kind": "observation", "claim": claim, "before": np.nan, "evidence": evidence}
    return row | {"p": test.pvalue, "agrees": sign * test.statistic > 0}


def markdown(table):
    """The rows of `decide` in Markdown: a count of the verdicts on the paper's claims, and a table per kind."""
    parts = []
    for kind in TABLES:
        own = table[table["kind"] == kind]
        rows = [
            [
                row.claim,
                _points(row.before),
                row.evidence,
                "–" if row.verdict == UNTESTED else p_text(row.p),
                f"**{row.verdict}**",
            ]
            for row in own.itertuples()
        ]
        columns = [kind, f"fold {EXPLORATORY}, points", "other folds (95 %)", "p", "verdict"]
        parts += [markdown_table(columns, rows)] if rows else []
    return "\n".join([f"{_count(table)}\n", *parts]) if parts else "No two variants can be compared yet.\n"


def _points(difference):
    return f"{100 * difference:+z.1f}" if np.isfinite(difference) else "–"


def _count(table):
    """A sentence that counts the verdicts on the paper's claims."""
    table, parts = table[table["kind"] == next(iter(TABLES))], []
    if (table["verdict"] == UNTESTED).all():
        return f"No claim is tested: a test needs {FEWEST} trainings of each variant outside fold {EXPLORATORY}."
    for verdict, one, several in (("holds", "holds", "hold"), ("refuted", "is refuted", "are refuted")):
        own = table.loc[table["verdict"] == verdict, "claim"].tolist()
        named = f" ({'; '.join(own)})" if own else ""
        parts.append(f"{len(own) or 'none'} {several if len(own) > 1 else one}{named}")
    rest = [(verdict, (table["verdict"] == verdict).sum()) for verdict in ("undecided", UNTESTED)]
    parts += [
        f"{count} {'is' if count == 1 else 'are'} {verdict}" for verdict, count in rest if count or verdict != UNTESTED
    ]
    return f"Of {len(table)} claims, {', '.join(parts[:-1])}, and {parts[-1]}."
