"""The command ``aurl features``, with networks and encoders that need no extra package."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
import trees
import yaml
from project import ended, write

from aurl.data import prepare
from aurl.project import config

pytestmark = pytest.mark.usefixtures("in_process")
UCF = ("ApplyEyeMakeup", "CleanAndJerk", "YoYo")
DATASETS = {
    "ucf101": {"reader": "ucf101", "root": "ucf", "classes": 3, "names": "ucf101", "test_lists": "lists"},
    "own": {"reader": "folders", "root": "own"},
    "done": {"reader": "features", "root": "done.npz"},
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    Path("mean_color.py").write_text("def encode(clips):\n    return clips.mean(axis=(1, 2, 3))\n")
    trees.ucf101("ucf", UCF)
    for name in ("train/run", "val/run", "train/null", "val/null"):
        trees.video(Path("own", name, "one.mp4"))
    data = {"train": ["own"], "test": ["ucf101"], "datasets": DATASETS}
    write(tmp_path, {"data": data, "compute": {"workers": 0}}, "params.paper.yaml")


def test_sets_become_files_and_entries_of_the_parameters(here, capsys):
    options = ["--encoder", "mean_color:encode", "--size", "32", "--pretraining", "kinetics400, my videos"]
    assert ended("features", "ucf101", "own", *options) == 0
    shown = capsys.readouterr()
    assert "data/features/ucf101.npz has the features of 6 videos" in shown.out
    assert "features of ucf101:" in shown.err and "features of own:" in shown.err  # progress
    added = yaml.safe_load(shown.out.partition("In params.yaml:")[2])
    assert added["model"] == {"backbone": "features"}
    assert added["data"]["datasets"]["ucf101"] == DATASETS["ucf101"] | {
        "reader": "features", "root": "data/features/ucf101.npz",
    }  # fmt: skip
    assert shown.err.count("aurl: ") == 1  # of the test set
    assert "aurl: ucf101: the encoder was trained on kinetics400, which has 2 of the 3 classes, and on my " in shown.err
    params = config.load(sections=["data", "prepare"])
    videos = prepare.usable_videos("own", params.data.datasets["own"], params.prepare, "rejected.csv")
    listed = prepare.READERS["features"]("data/features/own.npz")
    assert listed[["id", "class", "split"]].equals(videos[["id", "class", "split"]])
    assert ended("features", "ucf101", *options) == 0
    assert "ucf101.npz is up to date, with the features of 6 videos" in capsys.readouterr().out


def test_a_network_of_torchvision(here, capsys):
    torch.manual_seed(0)
    torch.save(torchvision.models.get_model("r3d_18", weights=None).state_dict(), "r3d.pth")
    options = ["--weights", "r3d.pth", "--pretraining", "none", "--frames", "2", "--size", "32", "--dtype", "float16"]
    assert ended("features", "own", "--encoder", "r3d_18", *options, "--out", "elsewhere") == 0
    with np.load("elsewhere/own.npz") as arrays:
        assert arrays["features"].shape == (4, 512) and arrays["features"].dtype == np.float16
        assert arrays["pretraining"].tolist() == []
        assert str(arrays["encoder"]) == "r3d_18 r3d.pth (1 x 2 frames, stride 2, 32 pixels, crop)"


def test_mistakes_are_one_sentence(here, capsys):
    options = ["--encoder", "mean_color:encode", "--pretraining", "none"]
    assert ended("features", "ufc101", *options) == (
        "aurl: params.yaml: data.datasets has no ufc101; there are ucf101, own, done; did you mean ucf101?"
    )
    assert "data.datasets.done has features already: name a set of videos." in ended("features", "done", *options)
    small = [*options, "--size", "8"]
    assert ended("features", "own", *small) == "aurl: clips of 8 pixels are too small: set --size to 16 or more."
    assert "there is no encoder nowhere" in ended("features", "own", "--encoder", "nowhere", "--pretraining", "none")
    for wrong in (["own", *options[:2]], ["own", *options, "--segments", "0"], ["own", *options, "--stride", "wide"]):
        assert ended("features", *wrong) == 2
    assert "1 or more" in capsys.readouterr().err
