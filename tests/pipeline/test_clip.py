"""The three commands of docs/clip.md, as printed, with a tiny CLIP on small trees; they need the extra `encoders`."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import tiny
import trees
import yaml
from project import ROOT, copy_project, environment, write

PAGE = (ROOT / "docs/clip.md").read_text()
MODEL = "/data/clip-vit-base-patch32"
SETS = {  # the page's sets in small
    "kinetics700": ("abseiling", "archery", "clean and jerk", "zumba"),
    "ucf101": ("ApplyLipstick", "CleanAndJerk", "BabyCrawling"),
    "hmdb51": ("brush_hair", "wave"),
}
SMALL = {
    "run": {"variants": ["aurl"]}, "model": {"backbone": "features", "hidden": 8, "word_hidden": 8, "dim": 8},
    "train": {"epochs": 1, "steps": 2, "batch": 4}, "text": {"overlap": 0.0},
    "sphere": {"variants": ["aurl"], "classes": ["abseiling", "archery", "zumba"], "batch": 4},
    "heads": {"variants": ["aurl"], "seeds": 1, "rates": [0.01]}, "prepare": {"val_videos": 1, "broken": 0},
    "evaluate": {"bootstrap": 100, "clips": [1]},
}  # fmt: skip
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, flags=re.S) for line in block.splitlines()]
VALUES = yaml.safe_load(re.search(r"```yaml\n(.*?)```", PAGE, flags=re.S)[1])


def run(line, folder, model):
    """Run a command of the page in ``folder``."""
    program, *rest = shlex.split(line.replace(MODEL, str(model)))
    modules = {"aurl": ["aurl.classify.command"], "python": rest[1:2], "dvc": ["dvc"]}
    rest = rest[2:] if program == "python" else rest
    done = subprocess.run(
        [sys.executable, "-m", *modules[program], *rest],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done


def small(name, about):
    """An entry of the page for the set in small: it has fewer classes."""
    return about | {"names": name, "classes": len(SETS[name])}


@tiny.needs_extra
def test_the_three_commands(tmp_path):
    folder, model = tmp_path / "project", tmp_path / "clip"
    tiny.clip(model)
    trees.kinetics(tmp_path / "kinetics700", SETS["kinetics700"], videos=3)
    trees.ucf101(tmp_path / "ucf101", SETS["ucf101"])
    trees.hmdb51(tmp_path / "hmdb51", SETS["hmdb51"])
    for k in (1, 2, 3):
        lists = tmp_path / "lists"
        lists.mkdir(exist_ok=True)
        (lists / f"testlist0{k}.txt").write_text(f"CleanAndJerk/v_CleanAndJerk_g01_c0{1 + k % 2}.avi\n")
    datasets = {
        name: small(name, {"reader": name.rstrip("0123456789") if name == "kinetics700" else name}) for name in SETS
    }
    datasets = {name: about | {"root": str(tmp_path / name)} for name, about in datasets.items()}
    copy_project(folder, {"data": {"datasets": datasets}}, "params.paper.yaml")
    (folder / "params.yaml").rename(folder / "params.paper.yaml")

    features, check, reproduce = COMMANDS
    made = run(features, folder, model)
    assert "the encoder was trained on image-text pairs, whose classes are not known" in made.stderr
    printed = yaml.safe_load(made.stdout.partition("In params.yaml:")[2])["data"]["datasets"]
    assert printed == {name: small(name, about) for name, about in VALUES["data"]["datasets"].items()}
    assert all(np.load(folder / about["root"])["features"].shape[1] == 6 for about in printed.values())

    printed["ucf101"]["test_lists"] = str(lists)
    change = {section: VALUES.get(section, {}) | SMALL.get(section, {}) for section in {*VALUES, *SMALL}}
    change["text"]["encoder"] = change["text"]["encoder"].replace(MODEL, str(model))
    write(folder, change | {"data": {"datasets": printed}}, "params.paper.yaml")
    run(check, folder, model)
    run(reproduce, folder, model)
    metrics = json.loads((folder / "reports/metrics/aurl-0.json").read_text())
    assert metrics["ucf101"]["pretraining"] == "image-text pairs (test classes in it unknown)"
    assert 0 <= metrics["ucf101"]["lists_top1"] <= 1 and "lists_top1" not in metrics["hmdb51"]
    table = pd.read_csv(folder / "reports/tables/ablations.csv")
    assert (table["pretraining"] == "image-text pairs (test classes in it unknown)").all() and len(table) == 2
    shown = Path(folder, "reports/notebooks/04_evaluate-aurl-0.ipynb").read_text()
    assert "**aurl, ours**" in shown and "VAPNet" in shown
