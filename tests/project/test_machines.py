"""Accelerators and SLURM's machines are found, and ``auto`` in params.yaml takes their numbers."""

from pathlib import Path

import pytest
from colored import settings
from project import ROOT

from aurl import UserError
from aurl.pipeline import check
from aurl.project import machines

SLURM = {
    "SLURM_JOB_ID": "12345",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_STEP_NUM_TASKS": "2",
    "SLURM_STEP_NODELIST": "gpu[07-08]",
}


@pytest.fixture(autouse=True)
def no_slurm(monkeypatch):
    for name in SLURM:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def slurm(monkeypatch):
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def eight(monkeypatch):
    monkeypatch.setattr(machines, "accelerators", lambda: 8)


def test_a_machine_without_a_driver_has_none(monkeypatch):
    """And does not import torch, as tests/test_environment.py shows."""
    monkeypatch.setattr(machines, "DRIVERS", ("no such driver",))
    assert machines.accelerators() == 0


@pytest.mark.parametrize(("available", "count"), [(True, 3), (False, 0)])
def test_pytorch_counts_where_there_is_a_driver(monkeypatch, available, count):
    monkeypatch.setattr(machines, "DRIVERS", ("null",))
    monkeypatch.setattr("torch.cuda.is_available", lambda: available)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    assert machines.accelerators() == count


def test_auto_takes_all_accelerators(eight):
    assert settings(processes="auto").train.processes == 8
    assert settings().train.processes == 1
    with pytest.raises(ValueError, match="divides a batch of 8 videos into 8 parts"):
        settings(processes="auto", batch=8)


def test_auto_is_one_process_without_accelerators(monkeypatch):
    monkeypatch.setattr(machines, "accelerators", lambda: 0)
    train = settings(processes="auto", nodes="auto").train
    assert (train.processes, train.nodes, train.rendezvous) == (1, 1, None)


def test_slurm_gives_the_machines_and_where_they_meet(slurm):
    train = settings(nodes="auto").train
    assert (train.nodes, train.world, train.rendezvous) == (2, 2, "gpu07:29745")
    assert settings(nodes="auto", rendezvous="gpu08:1234").train.rendezvous == "gpu08:1234"
    assert settings(nodes=2).train.rendezvous == "gpu07:29745"
    assert settings().train.rendezvous is None


def test_machines_that_nothing_introduces_are_refused():
    with pytest.raises(ValueError, match="or start it by SLURM's srun"):
        settings(nodes=2)


@pytest.mark.parametrize(
    ("listed", "first"),
    [("node1", "node1"), ("a,b", "a"), ("gpu[07-09,12],x", "gpu07"), ("n[1-4]-ib", "n1-ib"), ("n[3],m[1-2]", "n3")],
)
def test_the_first_machine_of_a_list(listed, first):
    assert machines.first_host(listed) == first


def test_several_tasks_on_a_machine_are_refused(slurm, monkeypatch):
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "16")
    with pytest.raises(UserError, match=r"^SLURM started 16 tasks on 2 machines, .*: add --ntasks-per-node=1\.$"):
        settings(nodes="auto")


@pytest.mark.parametrize("processes", ["1", "8", "auto"])
def test_the_check_warns_of_unused_accelerators(eight, tmp_path, processes):
    path = tmp_path / "params.yaml"
    text = Path(ROOT, "params.yaml").read_text()
    assert text.count("\n  processes: 1\n") == 2  # of train, and of evaluate
    path.write_text(text.replace("\n  processes: 1\n", f"\n  processes: {processes}\n"))
    said = check.unused_accelerators(path)
    if processes == "1":
        wanted = "train.processes is 1 and this machine has 8 accelerators: to use all, set it to auto."
        assert said == f"{path}: {wanted}"
    else:
        assert said is None
