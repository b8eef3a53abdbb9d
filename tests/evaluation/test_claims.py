"""Claims come out as the data say: for, against, or undecided; correlations are SciPy's."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from aurl.evaluation import claims
from aurl.evaluation.differences import difference
from aurl.project.config import VARIED, load, load_all


def trained(accuracy, seeds=8, classes=40):
    """The tables of ``accuracy(variant)``, which is each variant's mean, with noise over classes and seeds."""
    rng = np.random.default_rng(0)
    rows = [
        {"study": i % 4, "variant": v, "seed": s, "class": f"c{i}", "top1": mean + rng.normal(0, 0.05), "chance": 0.1}
        for v, mean in accuracy.items() for s in range(seeds) for i in range(classes)
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    runs = table.groupby(["variant", "seed"])["top1"].mean().reset_index()
    return table, runs.assign(dispersion=runs["top1"] ** 2, closeness=rng.uniform(size=len(runs)))


def verdicts(table):
    return dict(zip(table["claim"], table["verdict"]))


def test_for_against_and_undecided():
    accuracy = {"aurl": 0.6, "contrastive": 0.6, "visual_centers": 0.7, "alignment": 0.2, "e2e": 0.3, "own": 0.1}
    found = claims.decide(*trained(accuracy), accuracy)
    assert verdicts(found) == {
        "uniformity helps": "holds",
        "visual centers help": "holds",
        "synthetic classes help, as released": "does not hold",
        "the whole of AURL beats its first loss": "undecided",
        "AURL beats E2E": "holds",
        "accuracy goes with dispersion": "holds",
        "accuracy goes with closeness": "undecided",
    }
    text = claims.markdown(found)
    assert text.startswith(
        "Of 7 claims, 4 hold (uniformity helps; visual centers help; AURL beats E2E; accuracy goes with dispersion), "
        "1 is refuted (synthetic classes help, as released), and 2 are undecided.\n\n| claim | "
    )
    assert "| AURL beats E2E | aurl − e2e: +" in text
    assert "ρ, above 0 if so, of 6 variants that learn class features: +1.00 | " in text
    assert text.count("\n") == 4 + len(found)


@pytest.mark.parametrize("sign", [1, -1])
def test_closeness_should_fall_and_dispersion_rise(sign):
    table, runs = trained({name: 0.1 * i for i, name in enumerate(["alignment", "e2e", "own", "aurl", "a", "b", "c"])})
    runs = runs.assign(dispersion=sign * runs["top1"], closeness=-sign * runs["top1"])
    found = verdicts(claims.decide(table, runs, set(runs["variant"])))
    said = "holds" if sign > 0 else "does not hold"
    assert found["accuracy goes with dispersion"] == found["accuracy goes with closeness"] == said


def test_metrics_are_compared_where_class_features_are_learned():
    accuracy = {name: 0.1 * i for i, name in enumerate("abcdefgh", start=1)}
    table, runs = trained(accuracy)
    runs.loc[runs["variant"].isin(["a", "b"]), "dispersion"] = 0.9  # such as word vectors have
    found = claims.decide(table, runs, set("cdefgh")).set_index("claim").loc["accuracy goes with dispersion"]
    means = runs.groupby("variant")[["dispersion", "top1"]].mean()
    whole = stats.spearmanr(means["dispersion"], means["top1"]).statistic
    assert found["evidence"] == (
        f"Spearman's ρ, above 0 if so, of 6 variants that learn class features: +1.00; of all 8: {whole:+.2f}"
    )
    assert found["verdict"] == "holds" and claims.decide(table, runs, {"a", "b", "c"}).empty


def test_variants_that_learn_class_features_are_those_with_a_class_encoder_and_a_loss_of_its_cosines():
    learned = claims.learn_classes(load_all())
    assert {"aurl", "contrastive", "alignment", "center_loss", "ranking", "er", "url", "mufi"} <= learned
    assert not {"frozen", "e2e", "e2e_linear", "classifier", "attributes", "action2vec", "tarn"} & learned


def test_p_values_are_corrected_for_the_number_of_claims():
    accuracy = {"aurl": 0.6, "e2e": 0.585, "ranking": 0.1, "center_loss": 0.2}
    table, runs = trained(accuracy, seeds=2)
    found = claims.decide(table, runs, accuracy).set_index("claim")["p"]
    pairs = [("aurl", name) for name in ("e2e", "ranking", "center_loss")]
    alone = np.array([difference(table, *pair).p for pair in pairs])
    others = found.filter(like="accuracy goes").to_numpy()
    assert len(found) == 5 and found["AURL beats a ranking loss"] == pytest.approx(5 * alone.min())
    assert (found[["AURL beats E2E", "AURL beats a ranking loss"]] > alone[:2]).all() and (others > 0.05).all()


def test_one_training_decides_nothing():
    table, runs = trained({"aurl": 0.6, "e2e": 0.3}, seeds=1)
    found = claims.decide(table.assign(study=0), runs, {"aurl"})
    assert verdicts(found) == {"AURL beats E2E": "undecided"}


def test_where_all_are_equal_there_is_no_correlation_to_claim():
    accuracy = {name: 0.1 * i for i, name in enumerate("abcde")}
    table, runs = trained(accuracy)
    assert list(claims.decide(table, runs.assign(closeness=0.5), accuracy)["claim"]) == [
        "accuracy goes with dispersion"
    ]
    assert claims.decide(table, runs.assign(top1=0.5), accuracy).empty


def test_nothing_to_claim():
    found = claims.decide(*trained({"aurl": 0.6}), {"aurl"})
    assert found.empty and claims.markdown(found).startswith("| claim |")


def test_variants_of_the_claims_are_those_of_the_parameters():
    known = set(load(sections=["variants"]).variants)
    assert {name for _, *pair in claims.PARTS + claims.RIVALS for name in pair} <= known


def test_rivals_see_the_same_clips():
    for _, ours, theirs in claims.RIVALS:
        assert load(variant=ours).clip == load(variant=theirs).clip


def test_parts_differ_in_what_is_claimed_only():
    """And in the learning rate that goes with the loss."""
    differing = {}
    for claim, *pair in claims.PARTS:
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
        "synthetic classes help, as released": {"loss.terms"},
        "synthetic classes help, interpolated": {"loss.terms", "generator.mode"},
        "synthetic classes help, extrapolated": {"loss.terms", "generator.mode"},
        "synthetic classes help, both": {"loss.terms", "generator.mode"},
        "the whole of AURL beats its first loss": {"loss.terms"},
    }
