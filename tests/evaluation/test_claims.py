"""Claims come out as the data say: for, against, or undecided; correlations are SciPy's."""

from itertools import chain

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from aurl.evaluation import claims
from aurl.evaluation.differences import difference
from aurl.project.config import VARIED, load, load_all


def trained(accuracy, seeds=8, classes=40, folds=4, first=1):
    """The tables of ``accuracy(variant)``, which is each variant's mean, with noise over classes and seeds."""
    rng = np.random.default_rng(0)
    rows = [
        {"fold": i % folds + first, "variant": v, "seed": s, "class": f"c{i}", "top1": mean + rng.normal(0, 0.05)}
        for v, mean in accuracy.items() for s in range(seeds) for i in range(classes)
    ]  # fmt: skip
    table = pd.DataFrame(rows).assign(chance=0.1)
    table["group"] = table["class"]
    runs = table.groupby(["fold", "variant", "seed"])["top1"].mean().reset_index()
    return table, runs.assign(dispersion=runs["top1"] ** 2, closeness=rng.uniform(size=len(runs)))


def verdicts(table):
    return dict(zip(table["claim"], table["verdict"]))


def test_for_against_and_undecided():
    accuracy = {"aurl": 0.6, "contrastive": 0.6, "visual_centers": 0.7, "alignment": 0.2, "e2e": 0.3, "own": 0.1}
    found = claims.decide(*trained(accuracy), accuracy)
    assert verdicts(found) == {
        "AURL beats E2E": "holds",
        "uniformity helps": "holds",
        "visual centers help": "holds",
        "synthetic classes help": "refuted",
        "full AURL beats its first loss": "undecided",
        "accuracy rises with dispersion": "holds",
        "accuracy falls as closeness (a distance) grows": "undecided",
    }
    assert found["kind"].tolist() == ["claim"] * 4 + ["observation"] * 3
    text = claims.markdown(found)
    assert text.startswith(
        "Of 4 claims, 3 hold (AURL beats E2E; uniformity helps; visual centers help), 1 is refuted (synthetic classes "
        "help), and 0 are undecided.\n\n| claim | "
    )
    assert "| AURL beats E2E | – | aurl − e2e: +" in text and "\n\n| observation | " in text
    assert "ρ (claim: ρ > 0) is +1.00 over the 6 variants that learn class features | " in text


def test_the_fold_that_was_explored_stands_beside_the_verdict_and_does_not_decide():
    table, runs = trained({"aurl": 0.6, "e2e": 0.3}, folds=5, first=0)
    other = table["fold"] != claims.EXPLORATORY
    table.loc[~other & (table["variant"] == "e2e"), "top1"] = 0.9
    found, alone = claims.decide(table, runs, {"aurl"}), claims.decide(table[other], runs, {"aurl"})
    assert verdicts(found) == {"AURL beats E2E": "holds"} and found["before"].item() == pytest.approx(-0.3, abs=0.05)
    assert found[["evidence", "p", "verdict"]].equals(alone[["evidence", "p", "verdict"]])
    assert "| AURL beats E2E | -3" in claims.markdown(found)
    only = claims.decide(table[~other], runs, {"aurl"})
    assert verdicts(only) == {"AURL beats E2E": "not tested"} and only["evidence"].item() == "aurl − e2e"
    text = claims.markdown(only)
    assert text.startswith("No claim is tested: ") and "| aurl − e2e | – | **not tested** |" in text


def test_too_few_trainings_are_not_a_test():
    found = claims.decide(*trained({"aurl": 0.6, "e2e": 0.3}, seeds=1, folds=2), {"aurl"})
    assert verdicts(found) == {"AURL beats E2E": "not tested"}
    assert found["evidence"].item().endswith("(too few trainings)")
    table, runs = trained({"aurl": 0.6, "e2e": 0.3, "visual_centers": 0.6})
    few = (table["variant"] == "visual_centers") & ((table["fold"] != 1) | (table["seed"] != 0))
    text = claims.markdown(claims.decide(table[~few], runs, {"aurl"}))
    assert "1 holds (AURL beats E2E), none is refuted, 0 are undecided, and 1 is not tested." in text


@pytest.mark.parametrize("sign", [1, -1])
def test_closeness_should_fall_and_dispersion_rise(sign):
    table, runs = trained({name: 0.1 * i for i, name in enumerate(["alignment", "e2e", "own", "aurl", "a", "b"])})
    runs = runs.assign(dispersion=sign * runs["top1"], closeness=-sign * runs["top1"])
    found = verdicts(claims.decide(table, runs, set(runs["variant"])))
    said = "holds" if sign > 0 else "refuted"
    assert found["accuracy rises with dispersion"] == found["accuracy falls as closeness (a distance) grows"] == said


def test_metrics_are_compared_where_class_features_are_learned():
    accuracy = {name: 0.1 * i for i, name in enumerate("abcdefgh", start=1)}
    table, runs = trained(accuracy)
    runs.loc[runs["variant"].isin(["a", "b"]), "dispersion"] = 0.9  # such as word vectors have
    found = claims.decide(table, runs, set("cdefgh")).set_index("claim").loc["accuracy rises with dispersion"]
    means = runs.groupby("variant")[["dispersion", "top1"]].mean()
    whole = stats.spearmanr(means["dispersion"], means["top1"]).statistic
    assert found["evidence"] == (
        "Spearman's ρ (claim: ρ > 0) is +1.00 over the 6 variants that learn class features "
        f"and {whole:+.2f} over all 8"
    )
    assert found["verdict"] == "holds" and claims.decide(table, runs, {"a", "b", "c"}).empty


def test_variants_that_learn_class_features_are_those_with_a_class_encoder_and_a_loss_of_its_cosines():
    learned = claims.learn_classes(load_all())
    assert {"aurl", "contrastive", "alignment", "center_loss", "ranking", "er", "url", "mufi"} <= learned
    assert not {"frozen", "e2e", "e2e_linear", "classifier", "attributes", "action2vec", "tarn"} & learned


def test_p_values_are_corrected_for_the_number_of_claims_of_a_kind():
    accuracy = {"aurl": 0.6, "e2e": 0.585, "ranking": 0.1, "center_loss": 0.2, "attributes": 0.59}
    table, runs = trained(accuracy, seeds=2)
    found = claims.decide(table, runs, set()).set_index("claim")["p"]
    pairs = [("aurl", name) for name in ("e2e", "ranking", "center_loss")]
    alone = np.array([difference(table, *pair).p for pair in pairs])
    assert len(found) == 4 and found["AURL beats a ranking loss"] == pytest.approx(3 * alone.min())
    assert found["AURL beats E2E"] == alone[0]  # the largest of three
    assert found["AURL beats attributes before semantics"] == difference(table, "aurl", "attributes").p


def test_where_all_are_equal_there_is_no_correlation_to_claim():
    accuracy = {name: 0.1 * i for i, name in enumerate("abcde")}
    table, runs = trained(accuracy)
    assert list(claims.decide(table, runs.assign(closeness=0.5), accuracy)["claim"]) == [
        "accuracy rises with dispersion"
    ]
    assert claims.decide(table, runs.assign(top1=0.5), accuracy).empty


def test_nothing_to_claim():
    found = claims.decide(*trained({"aurl": 0.6}), {"aurl"})
    assert found.empty and claims.markdown(found) == "No two variants can be compared yet.\n"


def test_variants_of_the_claims_are_those_of_the_parameters():
    known = set(load(sections=["variants"]).variants)
    assert {name for _, *pair in chain(*claims.TABLES.values()) for name in pair} <= known


def test_rivals_see_the_same_clips():
    for _, ours, theirs in claims.CONTROLS:
        assert load(variant=ours).clip == load(variant=theirs).clip


def test_parts_differ_in_what_is_claimed_only():
    """And in the learning rate that goes with the loss."""
    differing = {}
    for claim, *pair in claims.CLAIMS + claims.OBSERVATIONS:
        if "beats" in claim and "AURL" in claim and "first" not in claim:
            continue
        own, other = (load(variant=name).model_dump() for name in pair)
        values = {
            f"{section}.{key}": {str(own[section][key]), str(other[section][key])}
            for section in VARIED
            for key in own[section]
        }
        differing[claim] = {name for name, both in values.items() if len(both) > 1} - {"train.lr"}
    assert differing == {
        "uniformity helps": {"loss.terms"},
        "learning the class encoder helps": {"model.semantic"},
        "visual centers help": {"loss.terms"},
        "synthetic classes help": {"loss.terms"},
        "synthetic classes help, as released": {"loss.terms", "generator.mode"},
        "full AURL beats its first loss": {"loss.terms"},
        "the paper's generator beats the released one": {"generator.mode"},
        "synthetic classes help, interpolated": {"loss.terms", "generator.mode"},
        "synthetic classes help, extrapolated": {"loss.terms", "generator.mode"},
    }
