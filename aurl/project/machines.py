"""This machine and its neighbors: the accelerators here, and the machines that SLURM gave this job.

``train.processes: auto`` and ``train.nodes: auto`` take their values from here.
"""

import os
import re
from pathlib import Path

from aurl import UserError

DRIVERS = ("nvidia[0-9]*", "kfd", "dxg")  # in /dev: of NVIDIA, of AMD, and of both under WSL
PORT = 29400  # a job's number, modulo 1000, is added


def accelerators():
    """The number of accelerators on this machine that PyTorch sees; 0 without any."""
    if not any(path for name in DRIVERS for path in Path("/dev").glob(name)):
        return 0
    import torch  # here, because it takes a second to import

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def nodes():
    """The number of machines in SLURM's step, 1 without SLURM. Raises UserError if a machine has more than one task."""
    count = int(os.environ.get("SLURM_STEP_NUM_NODES", 1))
    tasks = int(os.environ.get("SLURM_STEP_NUM_TASKS", count))
    if tasks != count:
        raise UserError(
            f"SLURM started {tasks} tasks on {count} machines, and a training wants one on each, which starts its "
            "processes itself: add --ntasks-per-node=1."
        )
    return count


def rendezvous():
    """``HOST:PORT`` where the machines of SLURM's step meet: the first host, a port by job id. None without SLURM."""
    if "SLURM_STEP_NODELIST" not in os.environ:
        return None
    job = int(os.environ.get("SLURM_JOB_ID", 0))
    return f"{first_host(os.environ['SLURM_STEP_NODELIST'])}:{PORT + job % 1000}"


def first_host(listed):
    """The first machine in SLURM's short form of a list of machines, such as "gpu[07-09,12],login1"."""
    found = re.match(r"([^\[,]*)(?:\[(\d+)[^\]]*\]([^\[,]*))?", listed)
    return "".join(part or "" for part in found.groups())
