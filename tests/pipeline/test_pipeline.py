"""dvc.yaml is true to the notebooks, and the whole pipeline runs, stays as it is, and fails in one sentence."""

import ast
import json
import shutil
import signal
import subprocess
import sys
from contextlib import chdir

import nbformat
import pandas as pd
import pytest
import yaml
from dvc.repo import Repo
from project import ROOT, commit, copy_project, dvc, environment, write

from aurl.pipeline import studies
from aurl.pipeline.reproduce import main, run_as_command
from aurl.project import config, paths

PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
SMOKE = {
    "verbs": {"size": 16, "frames": 8, "videos": 2, "val_videos": 1, "test_videos": 1},
    "clip": {"frames": 4, "stride": 2, "size": 16}, "model": {"width": 4, "hidden": 8, "word_hidden": 8, "dim": 8},
    "train": {"epochs": 2, "batch": 16}, "evaluate": {"bootstrap": 100},
    "text": {"embeddings": "data/embeddings/all-minilm-l6-v2.npz"},  # word vectors are in test_paper.py
    "variants": {"e2e": {"model": {"semantic": "fixed"}, "loss": {"terms": ["regression"]},
                         "compute": {"precision": "bf16"}}},
    "sphere": {"variants": ["aurl"], "epochs": 1, "batch": 8},
    "heads": {"backbone": "aurl", "variants": ["aurl"], "seeds": 1, "rates": [0.01], "sweeps": {"loss.scale": [5]}},
    "run": {"variants": ["aurl", "e2e"], "seeds": [0]},
    "ablations": {"variants": ["alignment"], "seeds": [0], "studies": {"small": {}}},
}  # fmt: skip


def code(name):
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")


def stage(name):
    return PIPELINE[name].get("do", PIPELINE[name])


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_stage_declares_the_sections_its_notebook_reads(name):
    calls = [
        node
        for node in ast.walk(ast.parse(code(name)))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "config.load"
    ]
    assert calls
    read = set()
    for call in calls:
        arguments = {keyword.arg: keyword.value for keyword in call.keywords}
        read |= set(ast.literal_eval(arguments["sections"]))
        if "variant" in arguments:
            read.add("variants")
    declared = {parameter.split(".")[0] for parameter in stage(name)["params"]}
    assert declared == read


def test_a_stage_depends_on_its_code_and_no_other():
    """`aurl.pipeline.code` writes it; tests/pipeline/test_code.py shows that it is complete."""
    own = dict.fromkeys(("check", "code", "site"), "aurl") | {
        name: f"build/code/{name}" for name in ("sphere", "heads")
    }
    for name in PIPELINE:
        deps = [dep for dep in stage(name)["deps"] if dep.startswith(("aurl", "build/code", "build/notebooks"))]
        assert deps == [own.get(name, f"build/notebooks/{name}.ipynb")]
    assert len((ROOT / "dvc.yaml").read_text().splitlines()) <= 220
    locked = yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"]
    assert {name.partition("@")[0] for name in locked} == set(PIPELINE)


def test_files_that_stages_hand_on_are_the_pipelines():
    """The names in aurl.project.paths and the outs in dvc.yaml."""
    outs = set()
    for about in PIPELINE.values():
        about = about.get("do", about)
        for out in [*about.get("outs", []), *about.get("metrics", []), *about.get("plots", [])]:
            outs.add(out if isinstance(out, str) else next(iter(out)))
    run, one = ("${item.variant}", "${item.seed}"), "${item.variant}"
    handed = [
        paths.MANIFEST, paths.CLASS_VECTORS, paths.VERBS, paths.REJECTED, paths.OVERLAP, paths.KINETICS_OVERLAP,
        paths.SUMMARY, paths.SUMMARY_MARKDOWN, paths.CLAIMS, paths.SCORES, paths.STAGE_CODE,
        paths.HEADS, paths.HEADS_RUNS, paths.HEADS_SWEEPS, paths.heads("set").parent, paths.SITE / ".nojekyll",
        paths.run(*run), paths.history(*run), paths.metrics(*run), paths.sphere(one),
        paths.features(*run, "set").parent, paths.predictions(*run, "set").parent,
    ]  # fmt: skip
    assert {path.as_posix() for path in handed} <= outs


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_is_committed_without_outputs_and_is_a_stage(name):
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    assert all(not cell.outputs and cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")
    prose = sum(cell.cell_type == "markdown" for cell in notebook.cells)
    assert prose >= 3 and notebook.cells[0].source.startswith("# ")
    code = [line for cell in notebook.cells if cell.cell_type == "code" for line in cell.source.splitlines()]
    assert not [line for line in code if len(line) > 88]  # wider ones are read by scrolling
    for place, cell in enumerate(notebook.cells):
        if "figures.save(" in cell.source:
            after = notebook.cells[place + 1]  # says what the figure shows
            assert after.cell_type == "markdown" and not after.source.startswith("#"), cell.source


# --- the whole of it, on a smoke-sized parameter file --------------------------------------------------


def reproduce(folder):
    command = [sys.executable, "-m", "aurl.pipeline.reproduce"]
    return subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, text=True)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The project on smoke-sized parameters, its pipeline run once, with stages side by side."""
    folder = tmp_path_factory.mktemp("project")
    copy_project(folder, SMOKE)
    done = reproduce(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    commit(folder)
    return folder


@pytest.fixture
def restored(project):
    """The project, whose parameters and notebooks a test may change."""
    yield project
    subprocess.run(["git", "checkout", "-q", "params.yaml", "notebooks", "aurl", "dvc.lock"], cwd=project, check=True)


def stale(project):
    with chdir(project), Repo() as repo:  # what `dvc status` does, without its start
        return {name.split(" ")[0] for name in repo.status()}


def checkout(project):
    with chdir(project), Repo() as repo:
        repo.checkout(force=True)


def test_pipeline_leaves_its_reports(project):
    for variant in ("aurl", "e2e"):
        metrics = json.loads((project / f"reports/metrics/{variant}-0.json").read_text())
        assert set(metrics) == {"pairs-seen", "pairs-unseen", "verbs-unseen"}
        assert all(0 <= report["top1_low"] <= report["top1"] <= report["top1_high"] <= 1 for report in metrics.values())
        model = json.loads((project / f"runs/{variant}-0/model.json").read_text())
        assert model["text"]["embeddings"] == SMOKE["text"]["embeddings"]
    assert (project / "reports/figures/figure1.png").stat().st_size > 10_000
    assert (project / "reports/tables/ablations.md").read_text().count("\n| verbs-unseen") == 2
    assert stale(project) == set()


def test_executed_notebooks_carry_no_times_paths_or_warnings(project):
    for path in (project / "reports/notebooks").glob("*.ipynb"):
        text = path.read_text()
        assert str(project) not in text and "papermill" not in text.replace('"papermill"', "")
        outputs = [output for cell in nbformat.read(path, as_version=4).cells for output in cell.get("outputs", [])]
        assert outputs and not [output for output in outputs if output.output_type in ("stream", "error")], path


def test_forced_stages_give_the_same_bytes(project):
    """In processes with other hash seeds. .ci/run forces the others, at full size."""
    before = (project / "dvc.lock").read_bytes()
    for kept in sorted((project / paths.RENDERED).rglob("*.mp4"))[::4]:  # all verbs and things are among them
        kept.unlink()
    for kept in (project / paths.TRAININGS).glob("e2e-0-*"):  # so as not to be taken over
        shutil.rmtree(kept)
    stages = ["01_prepare_data", "03_train@e2e-0"]
    done = dvc("repro", "--force", "--single-item", *stages, cwd=project, PYTHONHASHSEED="1")
    assert all(f"Running stage '{name}'" in done.stdout for name in stages)
    assert (project / "dvc.lock").read_bytes() == before


def test_scale_reruns_training_and_what_follows_only(restored):
    write(restored, SMOKE | {"loss": {"scale": 5.0}})
    behind = stale(restored)
    assert {"03_train@aurl-0", "03_train@e2e-0", "sphere@aurl"} <= behind
    assert not {"01_prepare_data", "02_embed_class_names"} & behind


def test_folders_of_this_machine_are_watched(project):
    local = project / "data/local/params.yaml"
    local.write_text("{}\n")
    assert stale(project) == {"check", "01_prepare_data", "04_evaluate@aurl-0", "04_evaluate@e2e-0"}
    local.unlink()
    assert stale(project) == set()


def test_nothing_to_do_is_said(project):
    done = reproduce(project)
    assert (done.returncode, done.stdout, done.stderr) == (0, "Everything is up to date.\n", "")


def test_a_second_clone_pulls_what_the_first_pushed_and_trains_nothing(project, tmp_path):
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(project), str(clone)], check=True)
    remote = f"[core]\n    remote = storage\n['remote \"storage\"']\n    url = {tmp_path / 'storage'}\n"
    for folder in (project, clone):
        (folder / ".dvc/config.local").write_text(remote)  # so that the files in git stay as they are
    dvc("push", "-q", cwd=project)
    dvc("pull", "-q", cwd=clone)
    assert stale(clone) <= {"code"}  # which takes a second
    done = reproduce(clone)
    assert done.returncode == 0, done.stderr
    weights = "runs/aurl-0/model.safetensors"
    assert (clone / weights).read_bytes() == (project / weights).read_bytes()
    assert not (clone / paths.CACHE).exists()  # nothing was rendered, decoded or trained


def test_change_that_no_weight_depends_on_trains_nothing_anew(restored):
    """By DVC's own means where the stage's code is the same, and from the cache where its prose is another."""
    kept = (restored / "runs/aurl-0/model.safetensors").read_bytes()
    for name in ("aurl/figures/__init__.py", "aurl/project/progress.py", "aurl/rendered/motions.py"):
        with (restored / name).open("a") as file:
            file.write("\n\ndef another():\n    return 1\n")
    with (restored / "aurl/losses.py").open("a") as file:
        file.write("# A comment.\n")
    executed = nbformat.read(restored / "reports/notebooks/04_evaluate-aurl-0.ipynb", as_version=4)
    nbformat.write(executed, restored / "notebooks/04_evaluate.ipynb")  # as Jupyter saves it, with another cell
    notebook = nbformat.read(restored / "notebooks/06_paper.ipynb", as_version=4)
    notebook.cells[0].source += "\n\nAnother sentence."
    nbformat.write(notebook, restored / "notebooks/06_paper.ipynb")
    assert stale(restored) == {"check", "code"}
    dvc("repro", "-q", "code", cwd=restored)
    assert not {name for name in stale(restored) if name.startswith(("03", "sphere", "heads"))}
    notebook = nbformat.read(restored / "notebooks/03_train.ipynb", as_version=4)
    notebook.cells[0].source += "\n\nAnother sentence."
    nbformat.write(notebook, restored / "notebooks/03_train.ipynb")
    done = dvc("repro", "--single-item", "code", "03_train@aurl-0", cwd=restored)
    assert "Running stage '03_train@aurl-0'" in done.stdout and "epoch 1/" not in done.stderr
    assert "Another sentence." in (restored / "reports/notebooks/03_train-aurl-0.ipynb").read_text()
    assert (restored / "runs/aurl-0/model.safetensors").read_bytes() == kept
    subprocess.run(["git", "checkout", "-q", "."], cwd=restored, check=True)
    checkout(restored)


def test_what_is_compared_fits_a_terminal(project):
    """Of all figures in reports/metrics, DVC shows those of chapter 5's table."""
    with chdir(project), Repo() as repo:
        (found,) = repo.metrics.show()[""]["data"].items()
    assert found[0] == paths.SCORES.as_posix()
    assert set(found[1]["data"]["verbs-unseen"]["aurl"]) == {"top1", "closeness", "dispersion"}
    default = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert 3 * len(default["run"]["variants"]) * len(default["data"]["test"]) <= 25


def test_experiment_with_another_parameter(restored):
    dvc("exp", "run", "-q", "-S", "train.epochs=1", "03_train@aurl-0", cwd=restored)
    assert len((restored / "reports/history/aurl-0.csv").read_text().splitlines()) == 2
    subprocess.run(["git", "checkout", "-q", "."], cwd=restored, check=True)
    checkout(restored)


def test_tables_of_a_study_are_those_of_its_evaluations(project, monkeypatch):
    monkeypatch.chdir(project)
    params = config.load(sections=["run", "data"])
    runs, classes = (studies.TABLES[name](project, params) for name in ("runs.csv", "classes.csv"))
    runs = runs.set_index(["set", "variant"])
    assert runs.loc["pairs-seen", "top1"].notna().all() and runs["first_word_top1"].notna().all()
    assert runs["synthetic"].notna().groupby("variant").all().to_dict() == {"aurl": True, "e2e": False}
    assert classes.groupby(["set", "variant", "seed"]).size().to_dict() == {
        (name, variant, 0): count
        for name, count in (("pairs-unseen", 360), ("verbs-unseen", 180))
        for variant in ("aurl", "e2e")
    }
    report = json.loads((project / "reports/metrics/aurl-0.json").read_text())
    ours = classes[(classes["variant"] == "aurl") & (classes["set"] == "verbs-unseen")]
    assert ours["top1"].mean() == pytest.approx(report["verbs-unseen"]["mean_per_class"], abs=1e-4)


def test_a_study_trains_in_a_workspace_and_keeps_its_tables(restored):
    command = [sys.executable, "-m", "aurl.pipeline.studies"]
    alone = environment(restored) | {"LOKY_MAX_CPU_COUNT": "1"}  # as in `project.dvc`
    options = {"cwd": restored, "capture_output": True, "text": True, "env": alone}
    done = subprocess.run(command, **options)
    assert done.returncode == 0, done.stderr
    for name in ("pairs-unseen", "verbs-unseen"):
        _, _, *rows = (restored / f"reports/studies/small/{name}.md").read_text().splitlines()
        assert [row.split(" | ")[0] for row in rows] == ["| alignment"]
    (kept,) = (restored / paths.TRAININGS).glob("alignment-0-*")  # the workspace shares the cache
    own = restored / "build/ablations/small/runs/alignment-0/model.safetensors"
    assert (kept / "model.safetensors").read_bytes() == own.read_bytes()
    assert stale(restored) == set() and not (restored / "runs/alignment-0").exists()
    runs = pd.read_csv(restored / "reports/studies/small/runs.csv").set_index("set")
    assert runs["synthetic"].isna().all()  # it has no L_US

    write(restored, SMOKE | {"train": {"batch": 5000}})
    done = subprocess.run(command, **options)
    assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith(
        "aurl: build/ablations/small/params.yaml: train.batch is 5000"
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [({"train": {"epocks": 3}}, "params.yaml: train.epocks is not a parameter; did you mean epochs?"),
     ({"variants": {"a;touch pwned": {}}}, "a;touch pwned")],
)  # fmt: skip
def test_slip_in_the_parameters_stops_before_anything_runs(restored, monkeypatch, change, sentence):
    write(restored, SMOKE | change)
    if "train" not in change:  # DVC itself reads the names of variants
        done = dvc("repro", cwd=restored, check=False)
        assert done.returncode != 0
        said = [line for line in done.stderr.splitlines() if line.startswith("aurl: ")]
        assert len(said) == 1 and sentence in said[0]
        assert "Traceback" not in done.stderr and "01_prepare_data" not in done.stdout.split("Running stage", 1)[-1]
    monkeypatch.chdir(restored)
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # pytest keeps its handlers
    with pytest.raises(SystemExit) as ended:
        run_as_command(main)
    assert "\n" not in ended.value.code and sentence in ended.value.code
    assert ended.value.code.startswith("aurl: params.yaml: ")


def test_video_that_cannot_be_decoded_is_named_and_leaves_no_output(restored):
    video = next((restored / "data/verbs/pairs-seen/bouncing duck").glob("*.mp4"))
    kept = video.read_bytes()
    video.chmod(0o644)
    video.write_bytes(kept[: len(kept) // 2])
    shutil.rmtree(restored / "runs/aurl-0")
    shutil.rmtree(restored / paths.FRAMES)  # so that the video is decoded again
    command = [sys.executable, "-m", "aurl.pipeline.notebook", "03_train", "-p", "variant", "aurl", "-p", "seed", "0"]
    done = subprocess.run(command, cwd=restored, env=environment(restored), capture_output=True, text=True)
    video.write_bytes(kept)
    assert done.returncode == 1
    said = "aurl: cannot read the video data/verbs/pairs-seen/bouncing duck/"
    assert [line for line in done.stderr.splitlines() if line.startswith(said)]
    assert "Traceback" not in done.stderr and not (restored / "runs/aurl-0").exists()
    checkout(restored)
