"""A stage that was killed, or that found the disk full, is finished by its next run, to the same bytes.

Stages run as DVC runs them, but each in a fork of this process and without papermill. So a fault can strike at a write.
"""

import os
import shutil
import signal
from pathlib import Path

import IPython.display
import matplotlib.pyplot as plt
import nbformat
import pytest
import trees
import yaml
from disk import full
from forked import forked
from project import ROOT, link_data

from aurl import UserError, figures
from aurl.pipeline import heads, sphere
from aurl.project import files

pytestmark = pytest.mark.usefixtures("in_process")
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
ITEM = {"item.variant": "aurl", "item.seed": "0", "run.variants[0]": "aurl", "run.seeds[0]": "0"}
SEEN, UNSEEN = ["jump", "run", "walk"], ["dance", "swim"]
CHANGE = {
    "run": {"variants": ["aurl"], "seeds": [0]},
    "data": {
        "train": ["seen"],
        "test": ["unseen"],
        "datasets": {name: {"reader": "folders", "root": f"sets/{name}"} for name in ("seen", "unseen")},
    },
    "prepare": {"min_frames": 4, "val_videos": 1, "proxies": {"folder": "small", "side": 16, "keyframe": 4, "crf": 20}},
    "clip": {"frames": 4, "size": 16},
    "model": {"width": 4, "hidden": 8, "word_hidden": 8, "dim": 8},
    "train": {"epochs": 2, "batch": 3},
    "compute": {"precision": "float32", "channels_last": "never"},
    "evaluate": {"bootstrap": 100},
    "ablations": {"variants": ["aurl"], "seeds": [0], "studies": {"one": {}}},
    "sphere": {"variants": ["aurl"], "classes": SEEN, "epochs": 1, "batch": 3},
    "heads": {"backbone": "aurl", "variants": ["aurl"], "seeds": 1, "rates": [0.01], "sweeps": {}, "sweep_seeds": 1},
    "variants": {"aurl": {}},
}  # fmt: skip
KILLED, REFUSED = -signal.SIGKILL, 100
ORDER = [
    "01_prepare_data", "02_embed_class_names", "03_train", "04_evaluate", "sphere", "heads", "05_ablations", "06_paper",
]  # fmt: skip


def write_project(folder):
    """A project of five small videos for each class, in a folder of its own."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    for section, own in CHANGE.items():
        known = values[section]
        values[section] = own if section == "variants" else known | {key: own[key] for key in own.keys() & known.keys()}
    link_data(folder)
    (folder / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    for name, classes in (("seen", SEEN), ("unseen", UNSEEN)):
        for color, label in enumerate(classes):
            for number in range(3):
                trees.video(folder / f"sets/{name}/{label}/{number}.mp4", color, frames=8)


def outs(name):
    """The files and folders that DVC removes before a stage runs."""
    about = STAGES[name]
    listed = [*about.get("outs", []), *about.get("metrics", []), *about.get("plots", [])]
    found = [out if isinstance(out, str) else next(iter(out)) for out in listed]
    for key, value in ITEM.items():
        found = [out.replace(f"${{{key}}}", value) for out in found]
    return [Path(out) for out in found if not out.startswith("reports/notebooks")]  # which papermill's process writes


def code(name):
    """What a stage does, once DVC has removed what it made before."""
    if name in ("sphere", "heads"):
        return {"sphere": lambda: sphere.run("aurl"), "heads": heads.run}[name]
    cells = nbformat.read(ROOT / f"notebooks/{name}.ipynb", as_version=4).cells
    source = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    return lambda: exec(compile(source, name, "exec"), {"display": lambda *_: None})  # variant and seed are aurl and 0


def run(folder, name, strike=None, fault=None):
    """Run a stage in a process of its own and return how many files it wrote, or its exit status if that is not 0.

    ``fault`` is called in place of giving the file of number ``strike`` its name. A UserError is the status `REFUSED`.
    """

    def stage():
        os.chdir(folder)
        replace, written = os.replace, []

        def counting(*names):
            written.append(names)
            (fault if len(written) == strike else replace)(*names)

        files.os.replace = counting
        for out in outs(name):
            shutil.rmtree(out) if out.is_dir() and not out.is_symlink() else out.unlink(missing_ok=True)
        try:
            code(name)()
        except UserError:
            return REFUSED
        Path("written").write_text(str(len(written)))

    status, said = forked(stage)
    print(said)
    return status or int((folder / "written").read_text())


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def made(folder, name):
    """The bytes of all that a stage leaves."""
    whole = [
        path
        for out in outs(name)
        for path in ((folder / out).rglob("*") if (folder / out).is_dir() else [folder / out])
    ]
    return {path.relative_to(folder): path.read_bytes() for path in whole if path.is_file()}


def test_every_stage_outlives_kills_and_a_full_disk(tmp_path, monkeypatch):
    """Each is killed in the middle of its writes, and those that train or encode once more when they go on. Then its
    second write finds no room, which is one sentence. Nothing is ever written where the videos are."""
    monkeypatch.setattr(figures, "picture", lambda figure: plt.close(figure) or IPython.display.Image(b"\x89PNG"))
    whole, hurt = tmp_path / "whole", tmp_path / "hurt"
    for folder in (whole, hurt):
        write_project(folder)
    videos = {path: path.stat().st_mtime_ns for path in [hurt / "sets", *hurt.glob("sets/**/*")]}
    for name in ORDER:
        count = run(whole, name)
        for place in [(count + 1) // 2] + [2] * (name in ("03_train", "04_evaluate", "sphere")):
            assert run(hurt, name, place, die) == KILLED, name
        # A training goes on where a state of it finds no room.
        assert run(hurt, name, 2, full) == REFUSED or name in ("03_train", "sphere"), name
        assert run(hurt, name) > 0, name
        assert made(hurt, name) == made(whole, name) != {}, name
    assert videos == {path: path.stat().st_mtime_ns for path in [hurt / "sets", *hurt.glob("sets/**/*")]}
