"""Stages side by side: each once, trainings before their users; a failure is one sentence. test_pipeline runs it."""

import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from project import ROOT

from aurl import UserError
from aurl.pipeline import reproduce
from aurl.training import devices

RUNS = [f"{variant}-{seed}" for seed in (0, 1) for variant in ("aurl", "e2e", "frozen")]


def graph(runs):
    """A pipeline as `reproduce._graph` has it: every stage with all that it needs."""
    found = {"check": set(), "code": {"check"}, "data": {"check", "code"}}
    shared = {*found}
    found |= {f"03_train@{run}": shared for run in runs}
    found |= {f"04_evaluate@{run}": shared | {f"03_train@{run}"} for run in runs}
    found |= {"heads": shared | {f"03_train@{runs[-1]}"}, "sphere": shared | {f"03_train@{runs[0]}"}}
    found["05_ablations"] = {*found} - {"sphere"}
    found["06_paper"] = {*found}
    return found


@pytest.fixture
def calls(monkeypatch):
    """The stages that were run, as (begin or end, name); a stage named in ``calls.failing`` fails."""
    log, lock = [], threading.Lock()

    class Job:
        failing = ()

        def __init__(self, folder, *arguments, name, size=1):
            self.name = name

        def run(self):
            with lock:
                log.append(("begin", self.name))
            time.sleep(0.5 if self.failing and self.name not in self.failing else 0.01)  # what fails ends first
            with lock:
                log.append(("end", self.name))
            if self.name in self.failing:
                raise UserError(f"{self.name} failed")

    monkeypatch.setattr(reproduce, "Job", Job)
    monkeypatch.setattr(reproduce, "_graph", lambda folder: graph(RUNS))
    monkeypatch.setattr(reproduce.joblib, "cpu_count", lambda: 4)
    return SimpleNamespace(log=log, job=Job)


def test_every_stage_runs_once_and_after_what_it_needs(calls):
    reproduce.run_parallel(reproduce.jobs_of(Path(), 2), 2)
    begun, needs = [name for what, name in calls.log if what == "begin"], graph(RUNS)
    assert sorted(begun) == sorted({*needs} - {"check", "code"}) and len(calls.log) == 2 * len(begun)
    assert begun[:3] == ["data", f"03_train@{RUNS[0]}", f"03_train@{RUNS[-1]}"]  # those that most stages need
    for name in begun:
        for needed in needs[name] - {"check", "code"}:
            assert calls.log.index(("end", needed)) < calls.log.index(("begin", name))


def test_wanted_stages_run_with_what_they_need(calls):
    names = list(reproduce.jobs_of(Path("study"), 2, ["heads"], needs={"made"}).items())
    assert [name for name, _ in names] == ["study: data", f"study: 03_train@{RUNS[-1]}", "study: heads"]
    jobs = reproduce.jobs_of(Path("study"), 2, ["heads", "04_evaluate"])
    assert len(jobs) == 2 + 2 * len(RUNS) and not [name for name in jobs if "05" in name or "sphere" in name]
    assert jobs["study: heads"][1] == {"study: data", f"study: 03_train@{RUNS[-1]}"}


def test_projects_run_side_by_side_and_are_prepared_one_after_the_other(calls, monkeypatch):
    monkeypatch.setattr(reproduce, "_graph", lambda folder: graph(RUNS[:2]))
    begun, run = threading.Event(), calls.job.run

    def wait_for_the_other_project(job):
        if job.name == "b: data":
            begun.set()
        elif job.name.startswith("a: 03_train"):
            assert begun.wait(60)  # all three run at the same time
        run(job)

    monkeypatch.setattr(calls.job, "run", wait_for_the_other_project)
    wanted = ["04_evaluate"]
    one, two = (reproduce.jobs_of(Path(name), 4, wanted, needs) for name, needs in (("a", ()), ("b", {"a: data"})))
    reproduce.run_parallel(one | two, 4)
    assert calls.log[:2] == [("begin", "a: data"), ("end", "a: data")]
    assert calls.log.index(("end", "b: data")) < calls.log.index(("begin", "b: 03_train@aurl-0"))
    assert len(calls.log) == 2 * 2 * 5


def test_the_projects_own_stages_run_as_soon_as_they_can():
    jobs = reproduce.jobs_of(ROOT, 2)
    first, *rest = ({name.removeprefix(f"{ROOT.name}: "): needs for name, (_, needs) in jobs.items()}).items()
    assert first == ("02_embed_class_names", set())
    needs = {name: {need.removeprefix(f"{ROOT.name}: ") for need in own} - {first[0]} for name, own in rest}
    stages = [name.partition("@")[0] for name in needs]
    assert stages == sorted(stages, key=lambda name: name != "03_train")  # trainings come first
    (backbone,) = needs["heads"]
    assert backbone.startswith("03_train@")
    run = stages and next(name for name in needs["07_your_own_video"] if name.startswith("04_evaluate@"))
    assert needs["07_your_own_video"] == {run, run.replace("04_evaluate", "03_train")}
    assert "heads" not in needs["05_ablations"] and "05_ablations" in needs["06_paper"]
    assert not {"05_ablations", "heads"} & needs["07_your_own_video"]


def test_only_what_is_out_of_date_after_the_first_job_runs(calls, monkeypatch, capsys):
    answers = [{"code", "data"}, {"heads"}]
    monkeypatch.setattr(reproduce, "stale", lambda folder: answers.pop(0))
    monkeypatch.setattr(reproduce.config, "load_all", dict)
    monkeypatch.setattr(reproduce, "work_without_git", lambda folder: None)
    monkeypatch.setattr(reproduce.config, "load", lambda sections: parameters(2))
    reproduce.main()
    assert [name for what, name in calls.log if what == "begin"] == ["data", "heads", "05_ablations", "06_paper"]


def test_a_download_without_git_works(tmp_path):
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").touch()
    (tmp_path / "dvc.yaml").write_text("stages: {one: {cmd: 'true', outs: [made]}}")
    reproduce.work_without_git(tmp_path)
    assert reproduce.stale(tmp_path) == {"one"}
    (tmp_path / ".dvc/config.local").unlink()
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    reproduce.work_without_git(tmp_path)
    assert not (tmp_path / ".dvc/config.local").exists() and reproduce.stale(tmp_path) == {"one"}


def parameters(threads, processes=1):
    return SimpleNamespace(compute=SimpleNamespace(threads=threads), train=SimpleNamespace(processes=processes))


@pytest.mark.parametrize(
    ("threads", "processes", "most"), [(1, 1, 4), (2, 1, 2), (3, 1, 1), (8, 1, 1), (None, 1, 1), (1, 2, 2), (2, 2, 1)]
)
def test_as_many_at_a_time_as_there_are_cores_for(calls, threads, processes, most):
    size = reproduce.jobs_at_a_time(parameters(threads, processes))
    reproduce.run_parallel(reproduce.jobs_of(Path(), size), size)
    running, peak = 0, 0
    for what, _ in calls.log:
        running += 1 if what == "begin" else -1
        peak = max(peak, running)
    assert peak == most


def test_after_a_failure_no_other_stage_is_begun(calls, capfd):
    calls.job.failing = ("03_train@aurl-0",)
    with pytest.raises(UserError, match=r"^03_train@aurl-0 failed$"):
        reproduce.run_parallel(reproduce.jobs_of(Path(), 2), 2)
    begun = [name for what, name in calls.log if what == "begin"]
    assert begun == ["data", "03_train@aurl-0", f"03_train@{RUNS[-1]}"]
    assert len(begun) == len(calls.log) / 2  # the one beside it was waited for
    assert not [name for name in begun if name.startswith("04")]


def test_one_at_a_time_on_an_accelerator(calls, monkeypatch):
    monkeypatch.setattr(devices, "best_device", lambda: torch.device("cuda"))
    assert reproduce.jobs_at_a_time(parameters(threads=1)) == 1


PROJECT = """
stages:
  quick: {cmd: "echo 'aurl: too large: lower it.' >&2; exit 1"}
  broken: {cmd: "echo some trouble; exit 3"}
  slow: {cmd: "python slow.py"}
  made: {cmd: "python made.py", outs: [made]}
"""
# One process, as every stage is: a shell that is interrupted between two commands may go on with the second.
SLOW = """
import pathlib, time
pathlib.Path("begun").touch()
time.sleep(30)
pathlib.Path("ended").touch()
"""

# Goes on once there is a file "go", and leaves half of its output until then.
MADE = """
import pathlib, time
with open("log", "a") as log:
    log.write("begun ")
pathlib.Path("made").write_text("half")
pathlib.Path("begun").touch()
while not pathlib.Path("go").exists():
    time.sleep(0.05)
time.sleep(0.5)
with open("log", "a") as log:
    log.write("ended ")
pathlib.Path("made").write_text("whole")
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").write_text(PROJECT)
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "made.py").write_text(MADE)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    no_scm = true\n")
    return tmp_path


def test_a_stages_sentence_is_the_error(project, capfd):
    with pytest.raises(UserError, match=r"^too large: lower it\.$"):
        reproduce.Job(project, "repro", "quick", name="quick").run()
    assert "trouble" not in capfd.readouterr().err
    with pytest.raises(UserError, match=r"^`dvc repro broken` failed in .*, as shown above\.$"):
        reproduce.Job(project, "repro", "broken", name="broken").run()
    assert "some trouble" in capfd.readouterr().err


def test_a_killed_run_is_finished_by_two_at_once(project, capfd):
    """SIGKILL ends DVC with its stage. Of two runs that follow, one runs the stage again; the other waits for it, or is
    told to."""
    command = [sys.executable, "-m", "dvc", "repro", "made"]
    killed = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not Path("begun").exists():
        time.sleep(0.05)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert Path("made").read_text() == "half"
    Path("go").touch()
    with ThreadPoolExecutor(2) as pool:
        done = [pool.submit(reproduce.Job(project, "repro", "made", name="made").run) for _ in range(2)]
    said = [str(one.exception()) for one in done if one.exception()]
    busy = "another DVC command is at work on what made needs or makes: wait until it ends, then run this again."
    assert said in ([], [busy])
    assert Path("log").read_text() == "begun begun ended " and Path("made").read_text() == "whole"
    assert "blocked" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("stages", "sent"), [(["slow"], signal.SIGINT), (["slow"], signal.SIGTERM), (["slow", "quick"], signal.SIGINT)]
)
def test_an_interruption_stops_what_runs(project, stages, sent):
    """Also what is waited for after the failure of another stage."""
    Path("job.py").write_text(
        "from pathlib import Path; from aurl.pipeline import reproduce as r\n"
        f"jobs = {{name: (r.Job(Path(), 'repro', name, name=name).run, set()) for name in {stages}}}\n"
        "r.run_as_command(lambda: r.run_parallel(jobs, 2))"
    )
    handler = signal.getsignal(signal.SIGINT)
    if sent == signal.SIGTERM:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # which a process inherits, as from a shell
    process = subprocess.Popen([sys.executable, "-m", "job"], stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, handler)
    while not Path("begun").exists():
        time.sleep(0.05)
    if "quick" in stages:
        failed = "quick failed: too large: lower it. Waiting for slow to end.\n"
        assert failed in iter(process.stderr.readline, "")
    process.send_signal(sent)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 1 and said == "aurl: interrupted; the same command continues where it was.\n"
    sleepers = subprocess.run(["pgrep", "-f", "python slow.py$"], capture_output=True, text=True).stdout.split()
    folders = [os.readlink(f"/proc/{pid}/cwd") for pid in sleepers]
    assert str(project) not in folders and not Path("ended").exists()


COMMANDS = ["check", "code", "heads", "notebook", "reproduce", "sphere", "studies", "train"]


@pytest.mark.parametrize("module", ["project.cache", *(f"pipeline.{name}" for name in COMMANDS)])
@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
def test_a_command_that_is_asked_for_help_or_misspelled_does_nothing(module, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for arguments, status in ((["--help"], 0), (["--nonsense"], 2)):
        monkeypatch.setattr(sys, "argv", [module, *arguments])
        with pytest.raises(SystemExit) as ended:
            runpy.run_module(f"aurl.{module}", run_name="__main__")
        assert ended.value.code == status and f"usage: python -m aurl.{module}" in "".join(capsys.readouterr())
    assert not list(tmp_path.iterdir())
