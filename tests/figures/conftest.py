"""The folder that figures are tested in."""

import matplotlib.pyplot as plt
import pytest


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working directory. All figures are closed afterwards."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    plt.close("all")
