"""The ablations' workspace is the project with another `run`. test_pipeline runs it."""

import configparser
import shutil
from pathlib import Path

import pytest

from aurl import UserError, config
from aurl.pipeline import ablations
from aurl.pipeline.reproduce import Job

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path, monkeypatch):
    for name in ("aurl", "notebooks", "dvc.yaml", "params.yaml", ".dvc/config", ".dvcignore"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    (tmp_path / "data/vectors").mkdir(parents=True)
    (tmp_path / "data/descriptions.yaml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_workspace_differs_in_what_it_runs_and_shares_the_cache(project):
    ablations.lay_out(["frozen", "center_loss"], [3, 4])
    ours, theirs = (config.load(folder / "params.yaml") for folder in (project, project / "build/ablations"))
    assert (theirs.run.variants, theirs.run.seeds, theirs.sphere.variants) == (
        ["frozen", "center_loss"],
        [3, 4],
        ["frozen"],
    )
    assert theirs.model_copy(update={"run": ours.run, "sphere": ours.sphere}) == ours
    settings = configparser.ConfigParser()
    settings.read(project / "build/ablations/.dvc/config.local")
    assert Path(settings["cache"]["dir"]) == project / ".dvc/cache"
    assert (project / "build/ablations/aurl/losses.py").read_bytes() == (project / "aurl/losses.py").read_bytes()


def test_workspace_finds_what_the_parameters_name(project):
    file = project / "params.yaml"
    sets = "{own: {reader: folders, root: sets/own}, far: {reader: folders, root: /far}}"
    proxies = "{folder: data/proxies, side: 128, keyframe: 16, crf: 20}"
    text = file.read_text().replace("datasets: {}", f"datasets: {sets}").replace("proxies: null", f"proxies: {proxies}")
    file.write_text(text)
    for _ in range(2):
        ablations.lay_out(["aurl"], [0])
    (project / "sets/own/jump").mkdir(parents=True)
    (project / "build/ablations/data/proxies/made.mp4").touch()
    assert (project / "build/ablations/sets/own/jump").is_dir() and (project / "data/proxies/made.mp4").exists()


def test_results_stay_and_removed_files_go(project):
    (project / "dvc.lock").write_text("ours")
    ablations.lay_out(["aurl"], [0])
    lock = project / "build/ablations/dvc.lock"
    assert lock.read_text() == "ours"
    lock.write_text("theirs")
    made = project / "build/ablations/runs/aurl-0/model.json"
    made.parent.mkdir(parents=True)
    made.touch()
    (project / "notebooks/06_paper.ipynb").unlink()
    ablations.lay_out(["aurl"], [0])
    assert made.exists() and lock.read_text() == "theirs"
    assert not (project / "build/ablations/notebooks/06_paper.ipynb").exists()


def test_failing_stage_gives_its_own_sentence(project, capfd):
    ablations.lay_out(["aurl"], [0])
    file = project / "build/ablations/params.yaml"
    file.write_text(file.read_text().replace("epochs: 7", "epochs: -1"))
    with pytest.raises(UserError, match=r"^params\.yaml: train\.epochs is -1: "):
        Job(ablations.WORKSPACE, "repro", "check", name="check").run()
    with pytest.raises(UserError, match=r"`dvc repro no_such_stage` failed in \S*build/ablations, as shown above\.$"):
        Job(ablations.WORKSPACE, "repro", "no_such_stage", name="none").run()
    assert "no_such_stage" in capfd.readouterr().err
