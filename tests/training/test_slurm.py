"""Two machines of SLURM, faked on this one, share a training; scripts of docs/slurm.md save and requeue."""

import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
import torch
from colored import FILES, NAMES, WORDS, settings, videos
from project import ROOT

from aurl.project import machines
from aurl.training import loop as training

TRAINING = {"epochs": 2, "save_steps": 1}


def on_a_machine(folder, data, job):
    os.environ |= {
        "SLURM_JOB_ID": str(job),
        "SLURM_STEP_NUM_NODES": "2",
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_STEP_NODELIST": "localhost",
    }
    torch.set_num_threads(1)
    params = settings(nodes="auto", **TRAINING)
    training.train(params, *data, NAMES, WORDS, folder / "run", folder / "scratch")


def free_job():
    """The number of a job whose port nobody uses."""
    for job in range(1000):
        with socket.socket() as tried:
            if tried.connect_ex(("localhost", machines.PORT + job)):
                return job
    raise AssertionError("no port is free")


def test_two_machines_train_what_two_processes_do(tmp_path):
    data = videos(16, 1, random=0), videos(4, 2)
    training.train(
        settings(processes=2, **TRAINING), *data, NAMES, WORDS, tmp_path / "one/run", tmp_path / "one/scratch"
    )
    server, job = multiprocessing.get_context("forkserver"), free_job()
    both = [server.Process(target=on_a_machine, args=(tmp_path / "two", data, job)) for _ in range(2)]
    for machine in both:
        machine.start()
    for machine in both:
        machine.join(300)
    assert [machine.exitcode for machine in both] == [0, 0]
    for name in FILES:
        assert (tmp_path / "one/run" / name).read_bytes() == (tmp_path / "two/run" / name).read_bytes()


# --- the scripts ------------------------------------------------------------------------------------

SCRIPTS = re.findall(r"```bash\n(#!/bin/bash\n.*?)```", (ROOT / "docs/slurm.md").read_text(), flags=re.S)


def commands(folder, **found):
    """A PATH with these commands, as shell scripts, before the others."""
    (folder / "bin").mkdir()
    for name, text in found.items():
        (folder / "bin" / name).write_text(f"#!/bin/bash\n{text}\n")
        (folder / "bin" / name).chmod(0o755)
    return os.environ | {"PATH": f"{folder}/bin:{os.environ['PATH']}", "SLURM_JOB_ID": "7"}


def test_there_are_scripts_for_one_and_two_machines():
    shapes = [re.findall(r"^#SBATCH --(nodes|gpus-per-node)=(\d+)", script, flags=re.M) for script in SCRIPTS]
    assert shapes == [[("nodes", "1"), ("gpus-per-node", "8")], [("nodes", "2"), ("gpus-per-node", "4")]]
    for script in SCRIPTS:
        assert {"#SBATCH --ntasks-per-node=1", "#SBATCH --requeue", "#SBATCH --signal=B:TERM@120"} <= {
            *script.splitlines()
        }


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("ends", [0, 3])
def test_a_training_that_ends_is_not_requeued(tmp_path, script, ends):
    """And the job has its exit code."""
    found = commands(tmp_path, srun=f"exit {ends}", scontrol="echo $@ >> said", source="")
    done = subprocess.run(["bash", "-c", script], cwd=project(tmp_path), env=found, capture_output=True, text=True)
    assert done.returncode == ends, done.stderr
    assert not (tmp_path / "said").exists()


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_job_that_is_about_to_be_killed_saves_and_is_requeued(tmp_path, script):
    """The training gets SIGINT, and the job waits until it has saved. SIGTERM to `srun` would kill it."""
    task = "import signal, time; signal.signal(signal.SIGINT, lambda *_: (time.sleep(0.3), print('saved'), exit(1)))"
    task += "; open('begun', 'w').close(); time.sleep(60)"
    srun = f'trap "kill -9 %1" TERM; {sys.executable} -uc "{task}" >> said & echo $! > task; wait $!'
    scancel = '[ "$*" = "--signal=INT 7" ] && kill -INT $(cat task)'
    found = commands(tmp_path, srun=srun, scancel=scancel, scontrol="echo $@ >> said")
    job = subprocess.Popen(["bash", "-c", script], cwd=project(tmp_path), env=found)
    while not (tmp_path / "begun").exists():
        time.sleep(0.01)
    job.send_signal(signal.SIGTERM)
    job.wait(60)
    assert (tmp_path / "said").read_text() == "saved\nrequeue 7\n"


def project(folder):
    """A folder with an environment to activate."""
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/bin/activate").touch()
    return folder
