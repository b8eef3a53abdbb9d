"""The speed of the loader, on tiny videos, and the numbers that params.paper.yaml takes from its table."""

import math
import re

import pandas as pd
import pytest
from project import ROOT

from aurl.project import config

TABLE = ROOT / "reports/tables/loader.csv"
PARAMS = ROOT / "params.paper.yaml"


@pytest.fixture
def loader(benchmark, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")  # of what it imports
    return benchmark("loader")


@pytest.fixture(scope="module")
def committed():
    return pd.read_csv(TABLE)


def test_every_setting_is_measured_and_tabulated(loader, tmp_path, monkeypatch, in_process):
    monkeypatch.setattr(loader, "KINDS", {loader.KIND: ("mp4", "libx264", {"crf": "23", "g": "250"}, 48, 32)})
    params = config.load(PARAMS, sections=["prepare", "clip", "compute"]).replace(clip={"frames": 4, "size": 16})
    proxies = params.prepare.proxies.model_copy(update={"side": 16})
    manifests = loader.make(tmp_path, count=2, frames=8, settings=proxies)
    assert list(manifests["proxy"]["height"]) == [16, 16] and list(manifests["original"]["height"]) == [32, 32]
    table = loader.measure(
        manifests, params, {"original": 4, "proxy": 6}, batch=2, crops=["squash"], workers=[1, 2], repeats=2
    )
    assert table[["video", "workers"]].values.tolist() == [
        ["original", 1], ["original", 2], ["proxy", 1], ["proxy", 2],
    ]  # fmt: skip
    sane(table)
    assert len(loader.markdown(table).splitlines()) == 2 + 4 + 2


def test_ratios_are_to_originals_with_as_many_processes(loader):
    rows = [("original", 1, 20.0), ("original", 2, 30.0), ("proxy", 1, 80.0), ("proxy", 2, 150.0)]
    table = pd.DataFrame(rows, columns=["video", "workers", "clips_per_second"]).assign(crop="squash")
    table = loader.compared(table)
    assert table["times_original"].tolist() == [1, 1, 4, 5]
    assert table["per_core"].tolist() == [20, 15, 80, 75]
    assert loader.fed(table) == 75 and loader.fed(table, "original") == 15  # with all cores at work


def sane(table):
    """Rates are positive and in their order."""
    assert (table[["clips_per_second", "per_core", "times_original", "kilobytes"]] > 0).all(axis=None)
    assert (table["lowest"] <= table["clips_per_second"]).all() and (
        table["clips_per_second"] <= table["highest"]
    ).all()


def test_committed_table_has_every_setting(loader, committed):
    sane(committed)
    settings = committed[["video", "crop", "workers"]]
    assert set(settings["video"]) == set(loader.CLIPS) and set(settings["crop"]) == set(loader.CROPS)
    workers = set(settings["workers"])
    assert 1 in workers and len(workers) == 2
    assert len(settings.drop_duplicates()) == len(settings) == len(loader.CLIPS) * len(loader.CROPS) * len(workers)
    again = loader.compared(committed)
    pd.testing.assert_frame_equal(again, committed, atol=0.01, rtol=0)
    assert TABLE.with_suffix(".md").read_text() == loader.markdown(committed)


def test_parameters_state_how_many_cores_an_accelerator_needs(loader, committed):
    """The table and the parameters, in which no number is typed unchecked."""
    header = " ".join(line.lstrip("# ") for line in PARAMS.read_text().splitlines() if line.startswith("#"))
    stated = re.search(
        r"One core decodes (\d+) clips a second from proxies, or (\d+) from videos of (\w+) pixels .*? M / (\d+) "
        r"cores, for example (\d+) cores for ([\d,]+) clips\. The authors' (\d+) hours are (\d+) clips a second",
        header,
    )
    proxy, original, size, divisor, cores, target, hours, authors = stated.groups()
    per_core, target = loader.fed(committed), int(target.replace(",", ""))
    assert int(proxy) == int(divisor) == round(per_core)
    assert int(original) == round(loader.fed(committed, "original")) and size in loader.KIND
    assert int(cores) == math.ceil(target / per_core)
    assert f"The authors: {hours} hours" in header
    train = config.load(PARAMS, sections=["train"]).train
    assert int(authors) == round(train.epochs * train.steps * train.batch / int(hours) / 3600)
