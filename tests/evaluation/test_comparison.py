"""Runs are found, brought together over seeds, and compared in words."""

import json

import numpy as np
import pandas as pd
import pytest

from aurl import UserError, figures, text
from aurl.evaluation import comparison, differences, protocols
from aurl.project import paths
from aurl.project.files import write_bytes


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Two variants and two seeds of one test set, with features that name a given share of 40 videos right."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reports/metrics").mkdir(parents=True)
    for variant, shares in {"aurl": (0.75, 0.5), "e2e": (0.5, 0.25)}.items():
        for seed, share in enumerate(shares):
            labels = np.repeat(np.arange(4), 10)
            named = np.where(np.tile(np.arange(10), 4) < 10 * share, labels, (labels + 1) % 4)
            features = {
                "video": np.eye(4, dtype=np.float32)[named],
                "classes": np.eye(4, dtype=np.float32),
                "labels": labels,
            }
            protocols.save(tmp_path / f"build/features/{variant}-{seed}/s.npz", features)
            text.save_classes(paths.CLASS_VECTORS, {"s": (list("abcd"), np.eye(4, dtype=np.float32))})
            report = protocols.report(features, 100) | {"gzsl_harmonic": share / 2}
            (tmp_path / f"reports/metrics/{variant}-{seed}.json").write_text(json.dumps({"s": report}))
    return tmp_path


def test_summary_is_the_mean_over_seeds_with_an_interval_over_videos(project):
    runs = comparison.collect(["aurl", "e2e"], [0, 1], ["s"])
    table = comparison.summary(runs, 2000).set_index("variant")
    shares = [np.ceil(10 * share) / 10 for share in (0.75, 0.5)]
    assert table.loc["aurl", "top1"] == pytest.approx(np.mean(shares), abs=1e-4)
    assert table.loc["aurl", "top1_std"] == pytest.approx(np.std(shares, ddof=1), abs=1e-4)
    assert table.loc["aurl", "gzsl_harmonic"] == pytest.approx((0.75 + 0.5) / 4, abs=1e-4)
    assert (table["seeds"] == 2).all() and (table["chance"] == 0.25).all()
    assert (table["top1_low"] < table["top1"]).all() and (table["top1"] < table["top1_high"]).all()
    assert (table["top1_classes_low"] <= table["top1"]).all() and (table["top1"] <= table["top1_classes_high"]).all()


def test_one_seed_has_no_deviation(project):
    table = comparison.summary(comparison.collect(["e2e"], [1], ["s"]), 200)
    assert np.isnan(table["top1_std"].item())
    row = comparison.markdown(table).splitlines()[-1]
    assert row.startswith("| s | e2e | 30.0 (") and ") | – | 1.2 | 12.5 | " in row


def test_markdown_is_a_whole_table_in_percent(project):
    head, rule, *rows = comparison.markdown(
        comparison.summary(comparison.collect(["aurl", "e2e"], [0, 1], ["s"]), 200)
    ).splitlines()
    assert len(rows) == 2 and {line.count("|") for line in (head, rule, *rows)} == {9}
    assert "| s | aurl | 65.0 (" in rows[0] and "| 21.2 |" in rows[0]


def test_pretraining_has_a_column_where_there_is_any(project):
    file = project / "reports/metrics/aurl-0.json"
    report = json.loads(file.read_text())
    report["s"]["pretraining"] = "kinetics400 (3 of 4 test classes in it)"
    file.write_text(json.dumps(report))
    table = comparison.summary(comparison.collect(["aurl", "e2e"], [0], ["s"]), 200)
    head, _, one, other = comparison.markdown(table).splitlines()
    assert head.endswith("| pre-training data |") and other.endswith("| none |")
    assert one.endswith("| kinetics400 (3 of 4 test classes in it) |")


def runs_of(name, classes=20, **gains):
    """Runs of variants with accuracies per class that differ by a gain, with noise over classes and runs."""
    rng, labels = np.random.default_rng(0), np.repeat(np.arange(classes), 2)
    shared = rng.uniform(0.2, 0.5, classes)
    rows = [
        (name, variant, seed, (shared + gain + rng.normal(0, 0.02, classes) + rng.normal(0, 0.01))[labels], labels)
        for variant, own in gains.items()
        for seed, gain in enumerate(own)
    ]
    table = pd.DataFrame(rows, columns=["set", "variant", "seed", "hits", "labels"])
    return table.assign(names=[[f"c{i}" for i in range(classes)]] * len(table))


def test_verdicts_are_those_of_the_one_inference():
    first = runs_of("s", aurl=[0.1] * 4, e2e=[0.0] * 4, frozen=[0.1] * 4, both=[0.2] * 4)
    runs = pd.concat([first, runs_of("t", aurl=[0.1] * 4, e2e=[0.1] * 4)])
    sentences = comparison.verdicts(runs)
    pairs = ["s: `e2e` − `aurl`", "s: `frozen` − `aurl`", "s: `both` − `aurl`", "t: `e2e` − `aurl`"]
    assert [own.partition(" is ")[0] for own in sentences] == pairs
    ends = ["below.", "undecided.", "above.", "undecided."]
    assert [own.rpartition(", ")[2] for own in sentences] == ends
    table = pd.concat(
        pd.DataFrame({"class": row.labels, "top1": row.hits, "variant": row.variant, "seed": row.seed, "fold": 0})
        for row in first.itertuples()
    ).assign(group=lambda table: table["class"])
    own = differences.differences(table, [("e2e", "aurl"), ("frozen", "aurl"), ("both", "aurl")]).iloc[0]
    assert f"is {100 * own.points:+.1f} points (95 %: {100 * own.low:+.1f} to {100 * own.high:+.1f}), " in sentences[0]
    assert comparison.verdicts(first[first["variant"] == "e2e"]) == [
        "`e2e` is the only variant here: there is nothing to compare it with."
    ]


def test_one_run_each_decides_nothing():
    (sentence,) = comparison.verdicts(runs_of("s", aurl=[0.3], e2e=[0.0]))
    assert sentence.endswith(" points, undecided: fewer than three trainings of each tell nothing about others.")


def test_changes_are_told_whole():
    variants = {
        "aurl": {},
        "center_loss": {"loss": {"terms": ["alignment", "center"]}, "train": {"lr": 0.003, "steps": None}},
        "fixed": {"model": {"semantic": "fixed"}},
    }
    assert comparison.changes(variants)["what it changes"].to_dict() == {
        "aurl": "nothing, it is the base",
        "center_loss": "loss.terms: alignment + center; train.lr: 0.003; train.steps: null",
        "fixed": "model.semantic: fixed",
    }
    shown = figures.table(comparison.changes({"long": {f"section{i}": {"name": "x" * 40} for i in range(20)}})).data
    assert "..." not in shown and shown.count("x" * 40) == 20


def test_markdown_has_no_negative_zero_and_no_nan():
    row = {"set": "s", "variant": "v", "seeds": 2, "chance": 0.1, "top1": 0.0, "top1_low": 0.0, "top1_high": 0.1}
    row |= {"top1_std": 0.0, "gzsl_harmonic": np.nan, "closeness": -1e-5, "dispersion": -0.0}
    assert comparison.markdown(pd.DataFrame([row])).splitlines()[-1] == (
        "| s | v | 0.0 (0.0–10.0) | 0.0 | 0.0 | – | 0.000 | 0.000 |"
    )


def test_gains_are_relative_to_the_first_variant(project):
    write_bytes(
        paths.SUMMARY, comparison.summary(comparison.collect(["aurl", "e2e"], [0], ["s"]), 200).to_csv().encode()
    )
    table = comparison.gains(["e2e", "aurl"], ["s"])
    assert list(table) == ["e2e top1", "aurl top1", "relative gain"]
    assert table.loc["s"].to_list() == pytest.approx([0.5, 0.8, 0.6])
    assert list(comparison.gains(["aurl"], ["s"])) == ["aurl top1"]
    with pytest.raises(UserError, match=r"ablations.csv lacks one of the variants aurl, e2e on s, t: run `dvc repro`"):
        comparison.gains(["aurl", "e2e"], ["s", "t"])


def test_a_baseline_that_names_nothing_right_has_no_gain(project):
    write_bytes(paths.SUMMARY, b"set,variant,top1,top1_std\ns,null,0.0,\ns,aurl,0.5,\n")
    assert np.isnan(comparison.gains(["null", "aurl"], ["s"]).loc["s", "relative gain"])
    paths.SUMMARY.unlink()
    with pytest.raises(UserError, match="ablations.csv is missing"):
        comparison.gains(["aurl"], ["s"])


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"s": '])
def test_metrics_that_are_not_whole_are_one_sentence(project, content):
    (project / "reports/metrics/e2e-1.json").write_text(content)
    with pytest.raises(UserError, match=r"reports/metrics/e2e-1.json has no figures of s: .* `dvc repro`\.$"):
        comparison.collect(["e2e"], [1], ["s"])


def test_missing_run_is_one_sentence(project):
    with pytest.raises(UserError, match="reports/metrics/e2e-2.json is missing: evaluate the variant first"):
        comparison.collect(["e2e"], [2], ["s"])
