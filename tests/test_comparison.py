"""Runs are found, brought together over seeds, and compared in words."""

import json

import numpy as np
import pandas as pd
import pytest

from aurl import UserError, comparison, evaluation


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
            evaluation.save(tmp_path / f"build/features/{variant}-{seed}/s.npz", features)
            report = evaluation.report(features, 100) | {"gzsl_harmonic": share / 2}
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


def test_verdicts_count_pairs_of_runs():
    rows = [
        ("s", "aurl", 0.5),
        ("s", "aurl", 0.4),
        ("s", "e2e", 0.3),
        ("s", "e2e", 0.45),
        ("t", "aurl", 0.2),
        ("t", "e2e", 0.25),
    ]
    runs = pd.DataFrame(rows, columns=["set", "variant", "top1"])
    assert comparison.verdicts(runs) == [
        "s: `aurl` is 7.5 points above `e2e`, in 3 of 4 pairs of runs.",
        "t: `aurl` is 5.0 points below `e2e`, one run each.",
    ]
    assert comparison.verdicts(runs[runs["variant"] == "e2e"]) == []


def test_missing_run_is_one_sentence(project):
    with pytest.raises(UserError, match="reports/metrics/e2e-2.json is missing: evaluate the variant first"):
        comparison.collect(["e2e"], [2], ["s"])
