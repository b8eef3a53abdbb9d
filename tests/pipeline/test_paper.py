"""params.paper.yaml end to end, smoke-sized, on small trees in the layouts of the paper's data sets."""

import json

import nbformat
import pandas as pd
import pytest
import trees
from project import ROOT, copy_project, dvc

from aurl.data import names
from aurl.project import config

SMALL = {
    "train": {"epochs": 1, "steps": 2, "batch": 4, "lr": 0.005},
    "model": {"width": 4, "depth": 1, "hidden": 8, "word_hidden": 8, "dim": 8},
    "clip": {"frames": 4, "size": 16},
    "evaluate": {"bootstrap": 100, "clips": [1, 3]},
    "compute": {"threads": 1, "precision": "float32"},
    "text": {"vectors": "data/vectors/glove-6b-100d-actions.bin"},
}
NASTY = "=<kick> $\\ball{$ *"  # a class that reads as a formula of a spreadsheet, as markup, and as mathematics


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder, data = tmp_path_factory.mktemp("paper"), tmp_path_factory.mktemp("datasets")
    csv = trees.kinetics(data / "k700", ("abseiling", "archery", "clean and jerk", "zumba"), videos=3)
    cut = next((data / "k700/train/zumba").glob("*.mp4"))
    cut.write_bytes(cut.read_bytes()[:200])
    next((data / "k700/val/abseiling").glob("*.mp4")).write_bytes(b"")
    segments = trees.activitynet(data / "anet", ("Archery", "Walking the dog"), videos=3)
    trees.ucf101(data / "ucf", ("ApplyLipstick", "CleanAndJerk", "BabyCrawling"))
    trees.hmdb51(data / "hmdb", ("brush_hair", NASTY))
    change = SMALL | {
        "run": {"variants": ["aurl"], "seeds": [0]},
        "data": {
            "train": ["kinetics700", "activitynet"],
            "test": ["ucf101", "hmdb51"],
            "datasets": {
                "kinetics700": {
                    "reader": "kinetics", "root": str(data / "k700"), "annotations": [str(path) for path in csv],
                    "classes": 4, "names": "kinetics700",
                },
                "activitynet": {
                    "reader": "activitynet", "root": str(data / "anet"), "annotations": str(segments),
                    "classes": 2, "names": "activitynet",
                },
                "ucf101": {"reader": "ucf101", "root": str(data / "ucf"), "classes": 3, "names": "ucf101"},
                "hmdb51": {"reader": "hmdb51", "root": str(data / "hmdb"), "classes": 2, "names": "hmdb51"},
            },
        },
        "prepare": {
            "broken": 0.2, "damaged": "refuse", "min_frames": 4, "val_videos": 1,
            "proxies": {"folder": "data/proxies", "side": 32, "keyframe": 4, "crf": 20},
        },
        "heads": {"backbone": "aurl"},
        "sphere": {"variants": ["aurl"], "epochs": 1, "batch": 4, "classes": ["abseiling", "archery", "zumba"]},
    }  # fmt: skip
    copy_project(folder, change, "params.paper.yaml")
    dvc("repro", "-q", "05_ablations", "07_your_own_video", cwd=folder)
    return folder


def test_parameters_are_valid_and_the_papers():
    params = config.load(ROOT / "params.paper.yaml", "aurl_released")
    assert params.train.epochs * params.train.steps == 58_500 and params.train.batch == 256
    assert (params.train.optimizer, params.train.lr, params.train.weight_decay) == ("sgd", 0.05, 1e-4)
    assert (params.clip.frames, params.clip.stride, params.clip.size, params.clip.crop) == (16, 1, 112, "squash")
    model, loss = params.model, params.loss
    assert (model.width, model.depth, model.hidden, model.word_hidden, model.dim) == (64, 2, 2048, 512, 2048)
    assert loss.terms == ["semantic", "visual", "synthetic"]
    assert params.generator.mode == "released" and params.text.overlap == 0.05
    assert params.evaluate.clips == [1, 25]
    assert set(params.sphere.classes) <= set(names.load("kinetics700")[0])


def test_whole_pipeline_reports_every_set(project):
    metrics = json.loads((project / "reports/metrics/aurl-0.json").read_text())
    assert set(metrics) == {"kinetics700+activitynet", "ucf101", "hmdb51"} and metrics["hmdb51"]["chance"] == 0.5
    assert metrics["ucf101"]["truze_top1"] == 1
    assert "truze_top1" not in metrics["kinetics700+activitynet"]  # one of its classes is here
    assert metrics["ucf101"]["clips3"].keys() == metrics["ucf101"].keys() - {"clips3"}
    assert (project / "build/features/aurl-0/clips3/ucf101.npz").is_file()
    assert (project / "reports/tables/ablations.md").read_text().count("\n| ") == 2  # test sets
    for path in (project / "reports/notebooks").glob("*.ipynb"):
        outputs = [output for cell in nbformat.read(path, as_version=4).cells for output in cell.get("outputs", [])]
        assert outputs and not [output for output in outputs if output.output_type in ("stream", "error")], path


def test_manifest_has_what_is_whole_and_the_report_what_is_not(project):
    manifest = pd.read_csv(project / "data/manifest.csv")
    kinetics = manifest[manifest["set"] == "kinetics700"]
    assert (manifest["status"] == "ok").all() and manifest["path"].str.startswith("data/proxies/").all()
    # 12 and 4 a class at most 1, less the broken
    assert kinetics.groupby("split").size().to_dict() == {"train": 11, "val": 4}
    rejected = pd.read_csv(project / "reports/tables/rejected.csv")
    assert rejected["set"].tolist() == ["kinetics700"] * 2 and rejected["reason"].str.len().gt(5).all()
    anet = manifest[manifest["set"] == "activitynet"]
    assert anet["frames"].eq(10).all() and set(anet["first"]) == {0, 10} and set(anet["split"]) == {"train", "val"}
    assert (manifest.loc[manifest["set"].isin(["ucf101", "hmdb51"]), "split"] == "test").all()


def test_an_odd_spelling_of_an_official_class_becomes_its_official_name(project):
    """And no name is taken for markup or a formula."""
    shown = 0
    for path in (project / "reports/notebooks").glob("*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            for output in cell.get("outputs", []):
                for kind in ("text/html", "text/markdown"):
                    text = "".join(output.get("data", {}).get(kind, ""))
                    shown += "kick" in text
                    assert "<kick" not in text, path
    assert shown > 3
    assert pd.read_csv(project / "data/manifest.csv")["class"].eq("kick_ball").sum() == 2
    assert ",=<kick>" not in (project / "build/predictions/aurl-0/hmdb51.csv").read_text()  # ids keep the folder's name


def test_classes_of_two_training_sets_are_merged_and_overlapping_ones_left_out(project):
    manifest = pd.read_csv(project / "data/manifest.csv").set_index("set")
    assert all("archery" in set(manifest.loc[name, "class"]) for name in ("activitynet", "kinetics700"))
    overlap = pd.read_csv(project / "reports/tables/overlap.csv").set_index("class")
    assert overlap.loc["clean and jerk", ["removed", "nearest", "set"]].tolist() == [True, "CleanAndJerk", "ucf101"]
    assert not overlap.loc[["abseiling", "archery"], "removed"].any()
