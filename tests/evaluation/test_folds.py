"""The folds of a study: tables that fit together, means by hand, and verdicts."""

import numpy as np
import pandas as pd
import pytest

from aurl import UserError
from aurl.evaluation import folds
from aurl.evaluation.differences import accuracy as accuracy_of
from aurl.evaluation.differences import differences


def study(path, classes, accuracy, variants=("aurl", "e2e"), seeds=(0, 1)):
    """A study's table, in which a class has the accuracy ``accuracy(variant, seed, class)``."""
    rows = [
        {"set": "s", "variant": v, "seed": s, "class": c, "videos": 4, "top1": accuracy(v, s, c), "top5": 0.5}
        for v in variants for s in seeds for c in classes
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_means_are_over_classes_of_means_over_seeds(tmp_path):
    one = study(tmp_path / "1.csv", ["a", "b"], lambda v, s, c: 0.5 + 0.5 * s if c == "a" else 0.0)
    two = study(tmp_path / "2.csv", ["c", "d", "e", "f"], lambda v, s, c: 0.25)
    table = folds.read({0: [one], 1: [two]}, "s")
    row = folds.summary(table).iloc[0]
    assert (row["seeds"], row["classes"]) == (2, 6)
    assert row["top1"] == pytest.approx((0.75 + 0 + 4 * 0.25) / 6)
    assert row["chance"] == pytest.approx((2 * 0.5 + 4 * 0.25) / 6) and row["times"] == pytest.approx(
        row["top1"] / row["chance"]
    )
    assert row["low"] <= row["top1"] <= row["high"]
    assert folds.per_class(table, "aurl").to_dict() == {"a": 0.75, "c": 0.25, "d": 0.25, "e": 0.25, "f": 0.25, "b": 0}


def test_variants_without_a_common_seed_are_not_compared(tmp_path):
    one = study(tmp_path / "1.csv", ["a", "b"], lambda *_: 0.5)
    more = study(tmp_path / "2.csv", ["a", "b"], lambda *_: 0.25, variants=("tarn",), seeds=(2,))
    table = folds.read({0: [one, more]}, "s")
    assert folds.comparable(table, "aurl", "e2e") and not folds.comparable(table, "aurl", "tarn")
    text = folds.markdown(table, "aurl", table)
    assert "| tarn | 1 | 25.0 | 0.5 | 50.0 | – |" in text and "| 50.0 | +0.0 " in text


def test_a_table_with_a_class_that_has_no_accuracy(tmp_path):
    file = study(tmp_path / "1.csv", ["a", "b"], lambda v, s, c: 0.5 if c == "a" else "")
    with pytest.raises(UserError, match=r"1\.csv is no table of the classes of s: delete it and run"):
        folds.read({0: [file]}, "s")


def test_a_class_without_videos_counts_nowhere(tmp_path):
    file = study(tmp_path / "1.csv", ["a", "b", "c"], lambda v, s, c: 0.5)
    rows = pd.read_csv(file)
    rows.loc[rows["class"] == "c", ["videos", "top1", "top5"]] = 0, np.nan, np.nan
    rows.to_csv(file, index=False)
    row = folds.summary(folds.read({0: [file]}, "s")).iloc[0]
    assert (row["classes"], row["chance"], row["top1"]) == (2, 0.5, 0.5)


def test_the_table_has_the_means_of_what_every_training_found(tmp_path):
    table = folds.read({0: [study(tmp_path / "1.csv", ["a", "b"], lambda *_: 0.5)]}, "s")
    trainings = pd.DataFrame(
        {"variant": ["e2e", "e2e", "aurl"], "gzsl_harmonic": [0.25, 0.5, 0.75], "first_word_top1": np.nan}
    )
    head, _, *rows = folds.markdown(table, "aurl", trainings).splitlines()
    assert "| seen and unseen, harmonic % |" in head and "word" not in head
    assert [row.split(" | ")[5] for row in rows] == ["75.0", "37.5"]


def test_a_variant_alone_is_compared_with_nothing(tmp_path):
    table = folds.read({0: [study(tmp_path / "1.csv", ["a", "b", "c"], lambda *_: 0.5, ("aurl",), range(3))]}, "s")
    assert "| aurl | 3 | 50.0 (50.0 to 50.0) | 1.5 (1.5 to 1.5) | 50.0 | – |" in folds.markdown(table, "aurl", table)


@pytest.mark.parametrize(("gain", "verdict"), [(0.2, "above"), (-0.2, "below"), (0.0, "undecided")])
def test_verdicts(tmp_path, gain, verdict):
    names = [f"c{i}" for i in range(30)]
    noise = dict(zip(names, np.random.default_rng(1).normal(0, 0.1, 30)))

    def accuracy(v, s, c):
        return 0.5 + (v == "aurl") * (gain + noise[c] * (gain != 0))

    table = folds.read({0: [study(tmp_path / "1.csv", names, accuracy, seeds=range(8))]}, "s")
    found = differences(table, [("e2e", "aurl"), ("aurl", "e2e")])
    assert found["verdict"][1] == verdict
    text = folds.markdown(table, "aurl", table)
    assert f"| {100 * found['points'][0]:+z.1f} (" in text and text.count("\n") == 4  # e2e - aurl


def test_added_trainings_count_with_their_study(tmp_path):
    """A variant may have more seeds, in tables of their own; a pair is compared by the seeds that both have."""

    def accuracy(v, s, c):
        return (0.5 if v == "aurl" else 0.4) + 0.1 * s * (v == "aurl")

    studies = {
        place: [
            study(tmp_path / f"{own}.csv", [own, own * 2], accuracy),
            study(tmp_path / f"{own}-more.csv", [own, own * 2], accuracy, variants=("aurl",), seeds=(2, 3)),
        ]
        for place, own in enumerate("ab")
    }
    table = folds.read(studies, "s")
    means = folds.summary(table).set_index("variant")
    assert means["seeds"].to_dict() == {"aurl": 4, "e2e": 2}
    assert means["top1"].to_dict() == pytest.approx({"aurl": 0.65, "e2e": 0.4})
    assert set(means["chance"]) == {0.5}
    assert differences(table, [("aurl", "e2e")])["points"].tolist() == pytest.approx([0.15])
    whole = folds.read(
        {i: [study(tmp_path / f"{own}.csv", [own, own * 2], accuracy, seeds=range(4))] for i, own in enumerate("ab")},
        "s",
    )
    assert accuracy_of(table, "aurl") == pytest.approx(accuracy_of(whole, "aurl"))


def test_a_class_may_be_in_the_test_of_several_folds(tmp_path):
    """The built-in benchmark's pairs are; their groups are verbs."""
    for fold in (0, 1):
        rows = pd.read_csv(
            study(tmp_path / f"{fold}.csv", ["rolling ball", "rolling box"], lambda *_, fold=fold: 0.2 + fold / 10)
        )
        rows.assign(set="pairs-unseen").to_csv(tmp_path / f"{fold}.csv", index=False)
    table = folds.read({fold: [tmp_path / f"{fold}.csv"] for fold in (0, 1)}, "pairs-unseen")
    assert set(table["group"]) == {"rolling"} and len(table) == 16
    assert folds.summary(table)["top1"].tolist() == pytest.approx([0.25, 0.25])


def test_tables_that_do_not_fit_are_refused(tmp_path):
    one = study(tmp_path / "1.csv", ["a", "b"], lambda *_: 0.5)
    with pytest.raises(UserError, match=r"^e2e with the seed 1 has the class 'a' in two tables of a fold: give seeds"):
        folds.read({0: [one, study(tmp_path / "2.csv", ["a", "b"], lambda *_: 0.5, ("e2e",), (1, 2))]}, "s")
    other = study(tmp_path / "3.csv", ["c", "d"], lambda *_: 0.5, seeds=(2,))
    with pytest.raises(UserError, match=r"^the folds do not have the same variants and seeds"):
        folds.read({0: [one], 1: [other]}, "s")
    with pytest.raises(UserError, match=r"4\.csv is missing: run `make ablations`\.$"):
        folds.read({0: [tmp_path / "4.csv"]}, "s")
    with pytest.raises(UserError, match=r"1\.csv is no table of the classes of other: "):
        folds.read({0: [one]}, "other")
    (tmp_path / "5.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match=r"5\.csv is no table of the classes of s: "):
        folds.read({0: [tmp_path / "5.csv"]}, "s")
