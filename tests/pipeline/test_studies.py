"""A study's workspace is the project with some parameters changed and another `run`. test_pipeline runs one."""

import configparser
import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
import trees
import yaml
from project import ROOT, link_data

from aurl import UserError
from aurl.pipeline import studies as ablations
from aurl.pipeline.check import check
from aurl.project import config
from aurl.rendered import sets


@pytest.fixture
def project(tmp_path, monkeypatch):
    for name in ("aurl", "notebooks", "dvc.yaml", "params.yaml", ".dvc/config", ".dvcignore"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    link_data(tmp_path)
    (tmp_path / "data/local").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(project, **ablations):
    """params.yaml with other `ablations`."""
    file = project / "params.yaml"
    raw = yaml.safe_load(file.read_text())
    raw["ablations"] |= ablations
    file.write_text(yaml.safe_dump(raw, sort_keys=False))


def test_workspace_differs_in_what_it_runs_and_shares_the_cache(project):
    write(project, variants=["classifier", "center_loss"], seeds=[3, 4])
    ablations.make_workspace("pairs-0")
    ours, theirs = (config.load(folder / "params.yaml") for folder in (project, project / "build/ablations/pairs-0"))
    assert (theirs.run.variants, theirs.run.seeds, theirs.sphere.variants) == (
        ["classifier", "center_loss"],
        [3, 4],
        ["classifier"],
    )
    assert not theirs.ablations.studies  # whose mistakes are not its own
    others = ("run", "sphere", "heads", "ablations")
    assert theirs.model_copy(update={name: getattr(ours, name) for name in others}) == ours
    made = {path.name for path in (project / "build/ablations/pairs-0/build/cache").iterdir() if path.is_symlink()}
    assert {"trainings", "rendered"} <= made and "frames" not in made  # of other sets in each study
    settings = configparser.ConfigParser()
    settings.read(project / "build/ablations/pairs-0/.dvc/config.local")
    assert Path(settings["cache"]["dir"]) == project / ".dvc/cache"
    assert (project / "build/ablations/pairs-0/aurl/losses.py").read_bytes() == (
        project / "aurl/losses.py"
    ).read_bytes()


def test_a_study_changes_any_section(project):
    ablations.make_workspace("pairs-3")
    theirs = config.load(project / "build/ablations/pairs-3/params.yaml")
    assert (theirs.data.train, theirs.data.test) == (["pairs-seen"], ["pairs-unseen", "verbs-unseen"])
    assert theirs.verbs.fold == 3
    assert set(theirs.sphere.classes) <= set(sets.classes(3)["pairs-seen"])
    check(project / "build/ablations/pairs-3/params.yaml")


def test_a_study_with_a_run_of_its_own_adds_trainings(project):
    """It has other variants or seeds, and needs no backbone for heads, which it does not have."""
    more = {"verbs": {"fold": 1}, "run": {"variants": ["contrastive"], "seeds": [2, 3]}}
    write(project, variants=["aurl", "classifier"], seeds=[0], studies={"more": more, "seed": {"run": {"seeds": [4]}}})
    theirs = config.study("more")
    assert theirs["run"] == more["run"] and theirs["heads"]["backbone"] == "contrastive"
    ablations.make_workspace("more")
    check(project / "build/ablations/more/params.yaml")
    assert config.study("seed")["run"] == {"variants": ["aurl", "classifier"], "seeds": [4]}
    file = project / "params.yaml"
    file.write_text(file.read_text().replace("  variants: []\n", "  variants: [aurl, tarn]\n"))
    segments = {"run": {"variants": ["tarn", "attention"]}, "heads": {"seeds": 2}}
    write(project, variants=["aurl", "classifier"], studies={"segments": segments})
    ablations.make_workspace("segments")
    check(project / "build/ablations/segments/params.yaml")  # no inherited variant sees segments; tarn is never drawn
    assert config.study("segments")["heads"]["variants"] == ["tarn"]
    write(project, studies={"more": {"run": {"variants": ["contrastif"]}}})
    with pytest.raises(UserError, match=r"^params\.yaml: ablations\.studies\.more: run\.variants names 'contrastif'"):
        config.study("more")


def test_mistakes_in_any_study_are_said_before_the_first_begins(project):
    write(project, studies={"good": {}, "bad": {"verbs": {"fodl": 1}}})
    sentence = r"^params\.yaml: ablations\.studies\.bad\.verbs\.fodl is not a parameter; did you mean fold\?$"
    with pytest.raises(UserError, match=sentence):
        ablations.run()
    with pytest.raises(UserError, match=sentence):
        check("params.yaml")
    write(project, studies={"good": {}, "bad": {"data": {"test": ["nowhere"]}}})
    with pytest.raises(UserError, match=r"ablations\.studies\.bad: data\.test names 'nowhere'"):
        ablations.run()
    with pytest.raises(UserError, match=r"^there is no study 'god': ablations\.studies has good, bad\.$"):
        ablations.run("god")


def test_workspace_finds_what_the_parameters_name(project):
    file = project / "params.yaml"
    own = "own: {reader: hmdb51, root: sets/own, classes: names.txt, test_lists: splits}"
    folders = f"{own}, far: {{reader: folders, root: /far}}"
    sets = f"{{{folders}, fixed: {{reader: features, root: f.npy}}}}"
    proxies = "{folder: data/proxies, side: 128, keyframe: 16, crf: 20}"
    text = file.read_text().replace("datasets: {}", f"datasets: {sets}").replace("proxies:\n", f"proxies: {proxies}\n")
    text = text.replace("\n  encoder:\n", "\n  encoder: own:encode\n")
    file.write_text(text + "  pretrained: {model: {weights: weights/r.pth}}\n")
    (project / "f.csv").touch()
    (project / "own.py").write_text("def encode(texts):\n    return [[len(text), 1.0] for text in texts]\n")
    for name in ("names.txt", "splits/trainlist01.txt", "clip/model.bin"):
        trees.touch(project, name)
    for _ in range(2):
        ablations.make_workspace("pairs-1")
    named = {"f.npy", "f.csv", "own.py", "names.txt", "splits"}
    assert named <= set(os.listdir(project / "build/ablations/pairs-1"))
    file.write_text(file.read_text().replace("encoder: own:encode", "encoder: aurl.text.encoders:clip(clip)"))
    ablations.make_workspace("pairs-2")
    assert (project / "build/ablations/pairs-2/clip/model.bin").is_file()
    trees.touch(project, "weights/r.pth")
    assert (project / "build/ablations/pairs-1/weights/r.pth").is_file()
    (project / "sets/own/jump").mkdir(parents=True)
    (project / "build/ablations/pairs-1/data/proxies/made.mp4").touch()
    assert (project / "build/ablations/pairs-1/sets/own/jump").is_dir() and (project / "data/proxies/made.mp4").exists()


def test_results_stay_and_removed_files_go(project):
    (project / "dvc.lock").write_text("ours")
    ablations.make_workspace("pairs-1")
    lock = project / "build/ablations/pairs-1/dvc.lock"
    assert lock.read_text() == "ours"
    lock.write_text("theirs")
    made = project / "build/ablations/pairs-1/runs/aurl-0/model.json"
    trees.touch(made.parent, made.name)
    (project / "notebooks/06_paper.ipynb").unlink()
    ablations.make_workspace("pairs-1")
    assert made.exists() and lock.read_text() == "theirs"
    assert not (project / "build/ablations/pairs-1/notebooks/06_paper.ipynb").exists()


def test_an_added_study_has_heads_if_it_asks_for_them(project, monkeypatch):
    more = {"adds_to": "one", "run": {"variants": ["classifier"], "seeds": [2]}}
    studies = {"one": {"folds": [1]}, "more": more, "heads": more | {"heads": {"seeds": 4}}, "other": {}}
    write(project, variants=["aurl", "classifier"], studies=studies)
    asked = []

    class Done:
        """A job that leaves every table of heads and notes its name."""

        def __init__(self, workspace, *arguments, name, size=1):
            self.workspace, self.name = workspace, name

        def run(self):
            asked.append(self.name)
            trees.touch(self.workspace, *ablations.HEADS)

    monkeypatch.setattr(ablations, "Job", Done)
    monkeypatch.setattr(ablations.reproduce, "Job", Done)
    monkeypatch.setattr(ablations, "TABLES", {"runs.csv": lambda folder, own: pd.DataFrame({"seed": own.run.seeds})})
    ablations.run("one", "more", "one-1-heads")
    trained = {"one-1: 03_train@aurl-0", "one-1-more: 04_evaluate@classifier-2", "one-1-heads: 03_train@classifier-2"}
    assert trained <= set(asked)
    late = [name for name in asked if name.endswith(("05_ablations", "06_paper", "heads", "site"))]
    assert sorted(late) == ["one-1-heads: heads"]
    kept = {path.name: {file.name for file in path.iterdir()} for path in (project / "reports/studies").iterdir()}
    heads = {"heads_classes.csv", "heads_runs.csv", "heads_sweeps.csv"}
    assert kept == {"one-1": {"runs.csv"}, "one-1-more": {"runs.csv"}, "one-1-heads": heads | {"runs.csv"}}
    assert pd.read_csv(project / "reports/studies/one-1-more/runs.csv")["seed"].tolist() == [2]
