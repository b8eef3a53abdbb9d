"""A study's workspace is the project with some parameters changed and another `run`. test_pipeline runs one."""

import configparser
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from aurl import UserError, text
from aurl.pipeline import studies as ablations
from aurl.pipeline.check import check
from aurl.pipeline.reproduce import Job
from aurl.project import config
from aurl.rendered import verbs
from aurl.text import WordVectors

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path, monkeypatch):
    for name in ("aurl", "notebooks", "dvc.yaml", "params.yaml", ".dvc/config", ".dvcignore"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    (tmp_path / "data").mkdir()
    for name in ("data/vectors", "data/descriptions.yaml"):
        (tmp_path / name).symlink_to(ROOT / name)
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
    ablations.lay_out("verbs-0")
    ours, theirs = (config.load(folder / "params.yaml") for folder in (project, project / "build/ablations/verbs-0"))
    assert (theirs.run.variants, theirs.run.seeds, theirs.sphere.variants) == (
        ["classifier", "center_loss"],
        [3, 4],
        ["classifier"],
    )
    assert not theirs.ablations.studies  # whose mistakes are not its own
    others = ("run", "sphere", "heads", "ablations")
    assert theirs.model_copy(update={name: getattr(ours, name) for name in others}) == ours
    made = {path.name for path in (project / "build/ablations/verbs-0/build/cache").iterdir() if path.is_symlink()}
    assert {"trainings", "rendered"} <= made and "frames" not in made  # of other sets in each study
    settings = configparser.ConfigParser()
    settings.read(project / "build/ablations/verbs-0/.dvc/config.local")
    assert Path(settings["cache"]["dir"]) == project / ".dvc/cache"
    assert (project / "build/ablations/verbs-0/aurl/losses.py").read_bytes() == (
        project / "aurl/losses.py"
    ).read_bytes()


def test_a_study_changes_any_section(project):
    ablations.lay_out("verbs-3")
    theirs = config.load(project / "build/ablations/verbs-3/params.yaml")
    assert (theirs.data.train, theirs.data.test, theirs.verbs.fold) == (["verbs-seen"], ["verbs-unseen"], 3)
    assert set(theirs.sphere.classes) <= set(verbs.classes(3)["verbs-seen"])
    check(project / "build/ablations/verbs-3/params.yaml")


def test_a_study_with_a_run_of_its_own_adds_trainings(project):
    """It has other variants or seeds, and needs no backbone for heads, which it does not have."""
    more = {"verbs": {"fold": 1}, "run": {"variants": ["contrastive"], "seeds": [2, 3]}}
    write(project, variants=["aurl", "classifier"], seeds=[0], studies={"more": more, "seed": {"run": {"seeds": [4]}}})
    theirs = config.study("more")
    assert theirs["run"] == more["run"] and theirs["heads"]["backbone"] == "contrastive"
    ablations.lay_out("more")
    check(project / "build/ablations/more/params.yaml")
    assert config.study("seed")["run"] == {"variants": ["aurl", "classifier"], "seeds": [4]}
    segments = {"run": {"variants": ["tarn", "attention"]}, "heads": {"seeds": 2}}
    write(project, variants=["aurl", "classifier"], studies={"segments": segments})
    ablations.lay_out("segments")
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
    folders = "own: {reader: folders, root: sets/own}, far: {reader: folders, root: /far}"
    sets = f"{{{folders}, fixed: {{reader: features, root: f.npy}}}}"
    proxies = "{folder: data/proxies, side: 128, keyframe: 16, crf: 20}"
    text = file.read_text().replace("datasets: {}", f"datasets: {sets}").replace("proxies:\n", f"proxies: {proxies}\n")
    file.write_text(text + "  pretrained: {model: {weights: weights/r.pth}}\n")
    (project / "f.csv").touch()
    for _ in range(2):
        ablations.lay_out("verbs-1")
    assert {"f.npy", "f.csv"} <= set(os.listdir(project / "build/ablations/verbs-1"))
    (project / "weights").mkdir()
    (project / "weights/r.pth").touch()
    assert (project / "build/ablations/verbs-1/weights/r.pth").is_file()
    (project / "sets/own/jump").mkdir(parents=True)
    (project / "build/ablations/verbs-1/data/proxies/made.mp4").touch()
    assert (project / "build/ablations/verbs-1/sets/own/jump").is_dir() and (project / "data/proxies/made.mp4").exists()


def test_results_stay_and_removed_files_go(project):
    (project / "dvc.lock").write_text("ours")
    ablations.lay_out("verbs-1")
    lock = project / "build/ablations/verbs-1/dvc.lock"
    assert lock.read_text() == "ours"
    lock.write_text("theirs")
    made = project / "build/ablations/verbs-1/runs/aurl-0/model.json"
    made.parent.mkdir(parents=True)
    made.touch()
    (project / "notebooks/06_paper.ipynb").unlink()
    ablations.lay_out("verbs-1")
    assert made.exists() and lock.read_text() == "theirs"
    assert not (project / "build/ablations/verbs-1/notebooks/06_paper.ipynb").exists()


def test_failing_stage_gives_its_own_sentence(project, capfd):
    ablations.lay_out("verbs-1")
    file = project / "build/ablations/verbs-1/params.yaml"
    file.write_text(file.read_text().replace("epochs: 7", "epochs: -1"))
    with pytest.raises(UserError, match=r"^params\.yaml: train\.epochs is -1: "):
        Job(ablations.WORKSPACES / "verbs-1", "repro", "check", name="check").run()
    with pytest.raises(
        UserError, match=r"`dvc repro no_such_stage` failed in \S*build/ablations/verbs-1, as shown above\.$"
    ):
        Job(ablations.WORKSPACES / "verbs-1", "repro", "no_such_stage", name="none").run()
    assert "no_such_stage" in capfd.readouterr().err


def test_studies_of_one_test_set_are_brought_together(project):
    write(project, studies={name: {"data": {"test": ["verbs-unseen"]}} for name in ("one", "two")} | {"three": {}})
    for name, label in (("one", "a"), ("two", "b")):
        rows = [
            {
                "set": "verbs-unseen",
                "variant": v,
                "seed": 0,
                "class": f"{label}{i}",
                "videos": 4,
                "top1": t,
                "top5": 1.0,
            }
            for v, t in (("aurl", 0.75), ("e2e", 0.25))
            for i in range(8)
        ]
        (project / f"reports/ablations/{name}").mkdir(parents=True)
        if name == "two":  # one study is not enough
            ablations.bring_together()
            assert not (project / "reports/ablations/verbs-unseen.md").exists()
        pd.DataFrame(rows).to_csv(project / f"reports/ablations/{name}/classes.csv", index=False)
        figures = {"top5": 1.0, "gzsl_harmonic": 0.1, "closeness": 0.5, "dispersion": 0.2, "seconds": 90}
        runs = [rows[0] | figures, rows[-1] | figures]
        pd.DataFrame(runs).to_csv(project / f"reports/ablations/{name}/runs.csv", index=False)
        pd.DataFrame(rows).to_csv(project / f"reports/ablations/{name}/heads_classes.csv", index=False)
        heads = pd.DataFrame(runs).drop(columns="seconds")
        heads.to_csv(project / f"reports/ablations/{name}/heads_runs.csv", index=False)
        swept = heads.assign(parameter="loss.scale", value=10, chosen=True)
        swept.to_csv(project / f"reports/ablations/{name}/heads_sweeps.csv", index=False)
    write(project, studies={name: {"data": {"test": ["verbs-unseen"]}} for name in ("one", "two")})
    ablations.bring_together()
    table = (project / "reports/ablations/verbs-unseen.md").read_text()
    assert "| aurl | 1 | 75.0 (75.0 to 75.0) | 6.0 (6.0 to 6.0) | 100.0 | 1.5 | –" in table
    assert "| +50.0 (+50.0 to +50.0) | 0.500 | undecided |" in table  # two trainings cannot decide
    claims = (project / "reports/ablations/verbs-unseen-claims.md").read_text()
    assert "| AURL beats E2E | aurl − e2e: +50.0 points (+50.0 to +50.0) |" in claims
    heads = (project / "reports/ablations/verbs-unseen-heads.md").read_text()
    assert "| aurl | 1 | 75.0 (75.0 to 75.0) | 6.0 (6.0 to 6.0) | 100.0 | – | – |" in heads
    assert "minutes" in table and "minutes" not in heads  # no cost, as bytes must repeat
    assert (project / "reports/ablations/verbs-unseen-heads-claims.md").read_text() == claims
    for picture in (".png", "-metrics.png", "-heads-metrics.png", "-heads-sweeps.png"):
        assert (project / f"reports/ablations/verbs-unseen{picture}").stat().st_size > 1000

    # Trainings that a study adds count with those of the study that has else the same parameters.
    both = {name: {"data": {"test": ["verbs-unseen"]}, "verbs": {"fold": i}} for i, name in enumerate(("one", "two"))}
    added = {f"{name}more": {"adds_to": name, "run": {"seeds": [1]}} for name in both}
    write(project, studies=both | added)
    ablations.bring_together()  # which is for when all have been run
    assert (project / "reports/ablations/verbs-unseen.md").read_text() == table
    for file in ("classes.csv", "runs.csv"):
        for name in both:
            more = pd.read_csv(project / f"reports/ablations/{name}/{file}")
            more = more[more["variant"] == "aurl"].assign(seed=1, top1=0.25, seconds=150)
            (project / f"reports/ablations/{name}-{name}more").mkdir(exist_ok=True)
            more.to_csv(project / f"reports/ablations/{name}-{name}more/{file}", index=False)
        ablations.bring_together()
        written = (project / "reports/ablations/verbs-unseen.md").read_text()
        assert (written == table) == (file == "classes.csv")  # one of two tables is not enough, either
    write(project, studies=added | both)  # in whatever order
    ablations.bring_together()
    table = (project / "reports/ablations/verbs-unseen.md").read_text()
    assert re.search(r"\| aurl \| 2 \| 50\.0 \(.*\) \| 4\.0 \(.*\) \| 100\.0 \| 2\.0 \| –", table)
    assert "| e2e | 1 | 25.0 " in table and "| +50.0 (+50.0 to +50.0) | 0.500 | undecided |" in table  # by seed 0
    assert (project / "reports/ablations/verbs-unseen-heads.md").read_text() == heads

    # It may add heads, too.
    for name in both:
        added[f"{name}more"]["heads"] = {"seeds": 1}
        for file in ("heads_classes.csv", "heads_runs.csv", "heads_sweeps.csv"):
            own = pd.read_csv(project / f"reports/ablations/{name}/{file}")
            own = own[own["variant"] == "aurl"].assign(variant="tarn", top1=0.5)
            own.to_csv(project / f"reports/ablations/{name}-{name}more/{file}", index=False)
    write(project, studies=both | added)
    ablations.bring_together()
    assert (project / "reports/ablations/verbs-unseen.md").read_text() == table
    heads = (project / "reports/ablations/verbs-unseen-heads.md").read_text()
    for row in ("aurl | 1 | 75.0", "e2e | 1 | 25.0", "tarn | 1 | 50.0"):
        assert f"| {row} (" in heads


@pytest.mark.parametrize("overlap", [0.0, 0.6])
def test_accuracy_is_set_against_the_distance_to_the_nearest_seen_class(project, monkeypatch, overlap):
    write(project, studies={f"{k}": {"verbs": {"fold": k}, "text": {"overlap": overlap}} for k in range(2)})
    rng, accuracy, shown = np.random.default_rng(0), {}, []
    for k in range(2):
        names = verbs.classes(k)["verbs-unseen"]
        accuracy |= dict(zip(names, rng.random(len(names)).round(3)))
        rows = [{"set": "verbs-unseen", "variant": "aurl", "seed": 0, "class": name} for name in names]
        rows = [row | {"videos": 4, "top1": accuracy[row["class"]], "top5": 1.0} for row in rows]
        (project / f"reports/ablations/{k}").mkdir(parents=True)
        pd.DataFrame(rows).to_csv(project / f"reports/ablations/{k}/classes.csv", index=False)
        run = rows[0] | {"gzsl_harmonic": 0.1, "closeness": 0.5, "dispersion": 0.2, "seconds": 90}
        pd.DataFrame([run]).to_csv(project / f"reports/ablations/{k}/runs.csv", index=False)
    draw = ablations.evaluation.semantic_distance
    monkeypatch.setattr(
        ablations.evaluation, "semantic_distance", lambda *given: shown.append(given[0]) or draw(*given)
    )
    ablations.bring_together()
    assert (project / "reports/ablations/verbs-unseen-distance.png").stat().st_size > 1000
    table = shown[0]["aurl on verbs-unseen"].set_index("class")
    assert table["top1"].to_dict() == pytest.approx(accuracy) and table["distance"].between(overlap, 1).all()
    vectors = WordVectors.load(config.load().text.vectors)
    for name, near, distance in zip(table.index[::9], table["nearest"][::9], table["distance"][::9]):
        fold = 0 if name in verbs.classes(0)["verbs-unseen"] else 1
        seen, unseen = (verbs.classes(fold)[name] for name in ("verbs-seen", "verbs-unseen"))
        near_some = text.overlapping((seen, vectors.embed(seen)), (unseen, vectors.embed(unseen)), overlap)
        seen = near_some.loc[~near_some["removed"], "class"].tolist()
        one, rest = vectors.embed([name])[0], vectors.embed(seen)
        cosines = rest @ one / np.linalg.norm(rest, axis=1) / np.linalg.norm(one)
        assert near == seen[cosines.argmax()] and distance == pytest.approx(1 - cosines.max(), abs=1e-6)


def test_an_added_study_has_heads_if_it_asks_for_them(project, monkeypatch):
    more = {"adds_to": "one", "run": {"variants": ["classifier"], "seeds": [2]}}
    studies = {"one": {"folds": [1]}, "more": more, "heads": more | {"heads": {"seeds": 4}}, "other": {}}
    write(project, variants=["aurl", "classifier"], studies=studies)
    asked = []

    class Done:
        """A job that leaves every file of the chapter and notes its name."""

        def __init__(self, workspace, *arguments, name, size=1):
            self.workspace, self.name = workspace, name

        def run(self):
            asked.append(self.name)
            for path in ablations.CHAPTER:
                (self.workspace / path).parent.mkdir(parents=True, exist_ok=True)
                (self.workspace / path).touch()

    monkeypatch.setattr(ablations, "Job", Done)
    monkeypatch.setattr(ablations.reproduce, "Job", Done)
    monkeypatch.setattr(ablations, "TABLES", {"runs.csv": lambda folder, own: pd.DataFrame({"seed": own.run.seeds})})
    ablations.run("one", "more", "one-1-heads")
    trained = {"one-1: 03_train@aurl-0", "one-1-more: 04_evaluate@classifier-2", "one-1-heads: 03_train@classifier-2"}
    assert trained <= set(asked)
    late = [name for name in asked if name.endswith(("05_ablations", "06_paper", "heads", "site"))]
    assert sorted(late) == ["one-1-heads: heads", "one-1: 05_ablations", "one-1: heads"]
    kept = {path.name: {file.name for file in path.iterdir()} for path in (project / "reports/ablations").iterdir()}
    heads = {"heads_classes.csv", "heads_runs.csv", "heads_sweeps.csv"}
    assert kept == {
        "one-1": {*ablations.CHAPTER.values(), "runs.csv"},
        "one-1-more": {"runs.csv"},
        "one-1-heads": heads | {"runs.csv"},
    }
    assert pd.read_csv(project / "reports/ablations/one-1-more/runs.csv")["seed"].tolist() == [2]


def test_studies_of_the_same_classes_are_not_brought_together(project, capsys):
    """Such as the same set with other word vectors; nor are folds that were run with other variants."""
    write(project, studies={name: {"data": {"test": ["verbs-unseen"]}} for name in ("one", "two")})

    def classes(name, labels, variant="aurl"):
        row = {"set": "verbs-unseen", "variant": variant, "seed": 0, "videos": 4, "top1": 0.5, "top5": 1.0}
        (project / f"reports/ablations/{name}").mkdir(parents=True, exist_ok=True)
        table = pd.DataFrame([row | {"class": label} for label in labels])
        for file in ("classes.csv", "runs.csv"):
            table.to_csv(project / f"reports/ablations/{name}/{file}", index=False)

    classes("one", "abc")
    classes("two", "abc")
    ablations.bring_together()
    assert capsys.readouterr().err == ""
    classes("two", "def", variant="e2e")
    ablations.bring_together()
    assert "no table of verbs-unseen over all studies: the studies do not have the same" in capsys.readouterr().err
    assert not (project / "reports/ablations/verbs-unseen.md").exists()
