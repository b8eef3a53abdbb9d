"""Curves are there while a training runs, go on where it goes on, and never stop it."""

import math
from pathlib import Path

import pytest
import torch
import yaml
from project import ROOT

from aurl.project import progress
from aurl.training.curves import Watch

BATCHES, EPOCH = range(10, 130, 10), 40  # steps with a point, and steps in an epoch


@pytest.fixture(autouse=True)
def on_the_terminal(monkeypatch):
    monkeypatch.delenv(progress.ENVIRONMENT, raising=False)


@pytest.fixture
def place(tmp_path):
    return tmp_path / "live" / "aurl-0"


def train(place, first=0, last=BATCHES[-1]):
    """A training that goes on after step ``first``, with curves that depend on the step only."""
    with Watch(place, first) as watch:
        for step in (step for step in BATCHES if first < step <= last):
            watch.log(step, {"train/total": math.exp(-step / 50), "train/lr": 1 / step})
            if step % EPOCH == 0:
                watch.log(step, {"val/top1": step / 1000})


def written(place):
    """path -> bytes of all curves."""
    paths = (path for path in place.parent.rglob("*") if path.is_file())
    return {path.relative_to(place.parent).as_posix(): path.read_bytes() for path in paths}


def curve(place, name):
    return place.parent / "plots" / place.name / "metrics" / f"{name}.tsv"


# --- what is written -------------------------------------------------------------------------------


def test_every_point_is_in_a_file_at_once(place):
    watch = Watch(place)
    for step, loss in ((10, 2.5), (20, 0.1)):
        watch.log(step, {"train/total": loss, "train/clips_per_second": 1e6 / 3})
    watch.log(20, {"val/top1": 0.75})
    assert curve(place, "train/total").read_text() == "step\ttotal\n10\t2.5\n20\t0.1\n"
    assert curve(place, "train/clips_per_second").read_text().splitlines()[1] == "10\t333333.3333333333"
    assert curve(place, "val/top1").read_text() == "step\ttop1\n20\t0.75\n"
    names = ("train/total", "train/clips_per_second", "val/top1")
    assert set(written(place)) == {f"plots/aurl-0/metrics/{name}.tsv" for name in names}


def test_nothing_is_written_without_a_place_or_after_the_end(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train(None)
    assert not any(tmp_path.iterdir())
    watch = Watch(place)
    watch.log(10, {"train/total": 1.0})
    watch.close()
    before = written(place)
    watch.log(20, {"train/total": 2.0})
    assert written(place) == before


# --- resuming --------------------------------------------------------------------------------------


def test_a_new_training_removes_the_curves_before_it(place):
    train(place)
    again = place.with_name("again-0")
    train(again, last=20)
    expected = {name.replace("again", "aurl"): data for name, data in written(again).items() if "again" in name}
    train(place, last=20)
    assert {name: data for name, data in written(place).items() if "aurl" in name} == expected


@pytest.mark.parametrize(
    ("kept", "stopped"), [(5, 30), (10, 10), (30, 40), (39, 120), (40, 40), (55, 55), (55, 120), (120, 120)]
)
def test_a_resumed_training_has_the_curves_of_an_undisturbed_one(place, tmp_path, kept, stopped):
    """It was killed while it wrote a point, some steps after its last state."""
    whole = tmp_path / "whole" / "aurl-0"
    train(whole)
    train(place, last=stopped)
    for path in place.parent.rglob("*.tsv"):
        path.write_bytes(path.read_bytes() + b"130\t0.0")
    train(place, first=kept)
    points = {name: data for name, data in written(whole).items() if name.endswith(".tsv")}
    assert {name: data for name, data in written(place).items() if name.endswith(".tsv")} == points
    assert len(points) == 3


@pytest.mark.parametrize("tail", [b"80\t0.", b"8", b"\0" * 100, b"80\t\n", b"\xff\n"])
def test_what_a_crash_left_of_a_line_is_cut(place, tail):
    train(place, last=70)
    before = curve(place, "train/total").read_bytes()
    curve(place, "train/total").write_bytes(before + tail)
    with Watch(place, step=120):
        pass
    assert curve(place, "train/total").read_bytes() == before


@pytest.mark.parametrize("left", [b"", b"st", b"step\ttotal\n"])
def test_a_crash_at_the_first_point_leaves_no_file(place, left):
    train(place, last=10)
    curve(place, "train/total").write_bytes(left)
    train(place, first=10, last=20)
    assert curve(place, "train/total").read_text() == f"step\ttotal\n20\t{math.exp(-20 / 50)}\n"


# --- it never stops a training ---------------------------------------------------------------------


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk(place, capsys):
    with Watch(place) as watch:
        watch.log(10, {"train/total": torch.tensor(1.0)})
        (path,) = place.parent.rglob("total.tsv")
        path.unlink()
        path.symlink_to("/dev/full")
        for step in (20, 30):
            watch.log(step, {"train/total": 1.0})
    said = (
        f"aurl: the curves in {place} cannot be written (No space left on device); the training goes on without them.\n"
    )
    assert capsys.readouterr() == ("", said)


def test_a_disk_too_full_even_for_the_line_about_it(place, monkeypatch, tmp_path):
    monkeypatch.setenv(progress.ENVIRONMENT, str(tmp_path))  # a folder cannot be written to
    place.parent.write_text("a file where the folder should be")
    train(place)


# --- DVC ---------------------------------------------------------------------------------------------


def test_dvc_draws_what_is_written(tmp_path, monkeypatch):
    """From the folders that dvc.yaml names, while it is written, and nothing where they are empty."""
    from dvc.repo import Repo

    plots = yaml.safe_load((ROOT / "dvc.yaml").read_bytes())["plots"]
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"plots": plots}))
    monkeypatch.chdir(tmp_path)
    (names,) = plots
    for folder in names:
        Path(folder).mkdir(parents=True)

    def shown():
        with Repo.init(no_scm=True, force=True) as repo:
            plots = repo.plots.show()["workspace"]
        curves = {path: about["data"] for path, about in plots.get("sources", {}).get("data", {}).items()}
        drawn = plots.get("definitions", {}).get("data", {}).get("dvc.yaml", {}).get("data", {})
        assert all(about == {"x": "step"} for about in drawn.values()) and drawn.keys() == curves.keys()
        return curves

    assert shown() == {}
    with Watch(Path("build/live/aurl-0")) as watch:
        watch.log(10, {"train/total": 0.5, "val/top1": 0.25})
        curves = shown()
    assert curves["build/live/plots/aurl-0/metrics/train/total.tsv"] == [{"step": "10", "total": "0.5"}]
    assert len(curves) == 2
