"""The cost of the losses, measured at two sizes."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured with what Linux reports")
def test_time_and_memory_are_measured_and_tabulated(benchmark, monkeypatch):
    cost = benchmark("cost")
    monkeypatch.setattr(cost, "CLASSES", [40, 80])
    monkeypatch.setattr(cost, "LARGE", 40)
    monkeypatch.setattr(cost, "SETTINGS", {"released, U = C": ("released", None, 80)})
    cost.main()
    table = pd.read_csv("reports/tables/cost.csv")
    assert list(table["classes"]) == [40, 80] and (table["ms"] > 0).all() and (table["mb"] >= 0).all()
    assert "| 80 | " in Path("reports/tables/cost.md").read_text()
    assert Path("reports/figures/cost.png").is_file()


def test_exponent_is_the_power_of_c(benchmark):
    classes = np.array([1_000, 3_000, 10_000, 30_000])
    rows = pd.DataFrame({"classes": classes, "ms": np.where(classes < 3_000, 7.0, 0.01 * classes**2.0)})
    assert benchmark("cost").exponent(rows, "ms") == pytest.approx(2)
