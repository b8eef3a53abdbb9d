"""The time of heads at Kinetics' size, at a tiny size."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

pytestmark = pytest.mark.usefixtures("one_thread")
ROOT = Path(__file__).parents[2]


def test_reading_and_training_are_timed(benchmark, monkeypatch):
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    module = benchmark("heads")
    for name, value in {"VIDEOS": 60, "CLASSES": 4, "HELD_BACK": 2, "DIM": 8, "BATCH": 16, "WORDS": 6}.items():
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr("sys.argv", ["heads"])
    module.main()
    table = pd.read_csv("reports/tables/heads_speed.csv")
    assert len(table) == 4 and (table["minutes"] >= 0).all() and table["step"].iloc[-1] == "all"
    assert Path("reports/tables/heads_speed.md").read_text().count("\n") == 6
