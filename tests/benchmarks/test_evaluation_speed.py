"""The time of every protocol, at a tiny size."""

from pathlib import Path

import pandas as pd


def test_every_step_is_timed(benchmark, monkeypatch):
    module = benchmark("evaluation")
    monkeypatch.setattr(module, "SETS", {"a": (60, 6, 2), "b": (30, 5, 3)})
    monkeypatch.setattr(module, "SEEN", 8)
    monkeypatch.setattr(module, "DIM", 16)
    monkeypatch.setattr(module, "BOOTSTRAP", 100)
    monkeypatch.setattr("sys.argv", ["evaluation"])
    module.main()
    table = pd.read_csv("reports/tables/evaluation.csv")
    assert len(table) == 6 and (table["seconds"] >= 0).all() and table["step"].iloc[-1] == "all"
    assert Path("reports/tables/evaluation.md").read_text().count("\n") == 8
