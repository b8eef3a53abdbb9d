"""The paper's claims as comparisons that can fail: each ends as "holds", "does not hold" or "undecided".

Claims about a part of the method compare two variants that differ in it alone, each with the learning rate that is best
for its loss (`aurl.evaluation.differences`). Claims about the two metrics ask whether variants with more dispersion or
less closeness are more accurate, among variants that learn class features: fixed word vectors have the same dispersion
in every training.
"""

import numpy as np
import pandas as pd
from scipy import stats

from aurl.evaluation import folds
from aurl.evaluation.differences import LEVEL, difference, holm, p_text
from aurl.losses import NAMELESS
from aurl.project.markdown import markdown_table

PARTS = [  # what is claimed, the variant that has it, and the one that lacks it
    ("uniformity helps", "contrastive", "alignment"),
    ("learning the class encoder helps", "contrastive", "frozen"),
    ("visual centers help", "visual_centers", "contrastive"),
    ("synthetic classes help, as released", "aurl", "visual_centers"),
    ("synthetic classes help, interpolated", "aurl_interpolate", "visual_centers"),
    ("synthetic classes help, extrapolated", "aurl_extrapolate", "visual_centers"),
    ("synthetic classes help, both", "aurl_both", "visual_centers"),
    ("the whole of AURL beats its first loss", "aurl", "contrastive"),
]
RIVALS = [  # the same of other methods, each on the clips and with the backbone that the first one sees
    ("AURL beats E2E", "aurl", "e2e"),
    ("AURL beats E2E, linear head", "aurl", "e2e_linear"),
    ("AURL beats a ranking loss", "aurl", "ranking"),
    ("AURL beats a center loss", "aurl", "center_loss"),
    ("AURL beats attributes before semantics", "aurl", "attributes"),
    ("AURL beats ER's descriptions", "aurl", "er"),
    ("AURL beats attention over clips", "aurl_segments", "attention"),
    ("AURL beats Action2Vec", "aurl_segments", "action2vec"),
    ("AURL beats URL", "aurl_segments", "url"),
    ("AURL beats TARN", "aurl_segments", "tarn"),
]
METRICS = [  # what is claimed, the metric, and the sign that its correlation with accuracy should have
    ("accuracy goes with dispersion", "dispersion", 1),
    ("accuracy goes with closeness", "closeness", -1),
]


def decide(classes, runs, learned, resamples=10_000, seed=0):
    """Every claim that the trained variants allow, a row each: ``claim``, ``evidence``, ``p`` and ``verdict``.

    ``classes`` is what `aurl.evaluation.folds.read` returns, ``runs`` has the columns ``variant, seed, top1, closeness,
    dispersion``, a row per training, and ``learned`` are variants as `learn_classes` finds them. P-values are corrected
    by Holm's method for the number of rows.
    """
    rows = []
    for claim, variant, baseline in PARTS + RIVALS:
        if folds.comparable(classes, variant, baseline):
            mean, low, high, p = difference(classes, variant, baseline)
            points = f"{100 * mean:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f})"
            evidence = f"{variant} − {baseline}: {points}"
            rows.append({"claim": claim, "evidence": evidence, "p": p, "agrees": mean > 0})
    means = runs.groupby("variant")[["top1", "closeness", "dispersion"]].mean()
    own = means[means.index.isin(learned)]
    if len(own) > 3:  # and ranks, which there are none of where all are equal
        ranked = [claim for claim in METRICS if own[["top1", claim[1]]].nunique().min() > 1]
        rows += [_correlated(means, own, *claim, resamples, seed) for claim in ranked]
    table = pd.DataFrame(rows, columns=["claim", "evidence", "p", "agrees"])
    table["p"] = holm(table["p"].to_numpy(float))
    agrees = table.pop("agrees").astype(bool)
    table["verdict"] = np.where(table["p"] < LEVEL, np.where(agrees, "holds", "does not hold"), "undecided")
    return table


def learn_classes(variants):
    """The names of those ``variants``, a mapping to their parameters, whose loss learns class features from words, to
    compare with videos by their cosine."""
    return {
        name
        for name, params in variants.items()
        if (params.model.semantic, params.model.score) == ("learned", "cosine")
        and not set(params.loss.terms) <= NAMELESS
    }


def _correlated(means, own, claim, metric, sign, resamples, seed):
    """Whether a metric's means over trainings rank the variants in ``own``, some of those in ``means``, as their
    accuracies do."""

    def correlation(values):
        return stats.spearmanr(values, own["top1"]).statistic

    rng = np.random.default_rng(seed)
    test = stats.permutation_test(
        (own[metric],), correlation, permutation_type="pairings", n_resamples=resamples, rng=rng
    )
    whole = stats.spearmanr(means[metric], means["top1"]).statistic
    evidence = (
        f"Spearman's ρ, {'above' if sign > 0 else 'below'} 0 if so, of {len(own)} variants that learn class features"
    )
    evidence += f": {test.statistic:+.2f}"
    evidence += f"; of all {len(means)}: {whole:+.2f}" if len(own) < len(means) else ""
    return {"claim": claim, "evidence": evidence, "p": test.pvalue, "agrees": sign * test.statistic > 0}


def markdown(table):
    """The claims of `decide` in Markdown: a sentence with the number of each verdict, and a table."""
    rows = [[row.claim, row.evidence, p_text(row.p), f"**{row.verdict}**"] for row in table.itertuples()]
    counted = f"{_count(table)}\n\n" if len(table) else ""
    return counted + markdown_table(["claim", "evidence", "p", "verdict"], rows)


def _count(table):
    """How many claims end in which way, in a sentence."""
    parts = []
    for verdict, one, several in (("holds", "holds", "hold"), ("does not hold", "is refuted", "are refuted")):
        own = table.loc[table["verdict"] == verdict, "claim"].tolist()
        named = f" ({'; '.join(own)})" if own else ""
        parts.append(f"{len(own) or 'none'} {several if len(own) > 1 else one}{named}")
    rest = (table["verdict"] == "undecided").sum()
    return f"Of {len(table)} claims, {', '.join(parts)}, and {rest} {'is' if rest == 1 else 'are'} undecided."
