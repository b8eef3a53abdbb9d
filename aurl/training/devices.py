"""Where and how a model computes: device, threads, precision, memory layout and compilation.

``compute.precision: auto`` and ``compute.channels_last: auto`` are decided by timing a few training steps of the model
at hand, never by a guess: which layout is faster depends on the processor, the clip's size and the network's width. On
an accelerator ``compute.compile: auto`` is timed, too; on a processor it stands for no.
What was measured is kept in ``build/arithmetic``, so a later run on the same machine computes alike; the decision
stands in every checkpoint's ``model.json``.
"""

import copy
import ctypes
import itertools
import json
import os
import platform
import time
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import joblib
import torch

from aurl import UserError
from aurl.project import paths
from aurl.project.files import key_of, locked, write_bytes
from aurl.project.progress import local_processes

LAYOUTS = {False: torch.contiguous_format, True: torch.channels_last_3d}
PATIENCE = 1.0  # seconds that one measured step may take, about
REPEATS = 3  # timed steps of each candidate, of which the fastest counts
TIE = (
    1.1  # candidates within this factor of the fastest are equal: the first of them is taken, so noise decides nothing
)


class Arithmetic(NamedTuple):
    """How a model computes on ``device``: ``precision`` is "bf16" or "float32"."""

    device: torch.device
    precision: str
    channels_last: bool
    compiled: bool

    @property
    def memory_format(self):
        return LAYOUTS[self.channels_last]

    def autocast(self):
        """The context in which forward passes run."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def facts(self):
        """What decides the last digits of a result, as JSON can hold it."""
        return {
            "device": self.device.type,
            "precision": self.precision,
            "channels_last": self.channels_last,
            "compiled": self.compiled,
            "threads": torch.get_num_threads() if self.device.type == "cpu" else None,
        }


def best_device():
    """CUDA's GPU if there is one, else Apple's (mps), else the CPU."""
    for name, there in (("cuda", torch.cuda.is_available), ("mps", torch.backends.mps.is_available)):
        if there():
            return torch.device(name)
    return torch.device("cpu")


def limit_threads(compute):
    """Use ``compute.threads`` of the processor's cores; if ``None``, all of them, or this process's share.

    The number of threads changes the last digits of sums, and training amplifies them. One thread gives the same result
    on any number of cores, and two trainings side by side finish sooner than one after the other on two cores each.
    """
    torch.set_num_threads(compute.threads or max(1, joblib.cpu_count() // local_processes()))


def keep_memory():
    """Ask glibc to keep the memory that a training step frees for the next step, which makes steps about a third
    faster.

    By default glibc returns large blocks to the system, and every step gets them anew, page by page.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if platform.libc_ver()[0] == "glibc" else None
    if mallopt:
        mallopt(-4, 0)  # M_MMAP_MAX: no block apart from the heap
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD, bytes
        mallopt(-2, 2**30)  # M_TOP_PAD, bytes


@contextmanager
def fits(parameter):
    """Where an accelerator has too little memory, raise UserError that says which ``parameter`` to lower."""
    try:
        yield
    except torch.OutOfMemoryError:
        device = processor(best_device())
        raise UserError(f"the memory of {device} is too small: set {parameter} to fewer videos at a time.") from None


def settle(model, clip, batch, compute):
    """The `Arithmetic` for ``model`` (an `AURL`) on clips of ``clip.frames`` x ``clip.size`` x ``clip.size``, ``batch``
    at a time.

    ``compute`` is that section of ``params.yaml``. Where it says "auto", training steps of the video encoder are timed
    in every combination that is left open, unless this machine has done so before. A backbone without weights is
    not timed: "auto" then stands for float32. Where memory suffices for none, the last is taken and nothing noted, as
    only the work itself will tell. On Apple's GPU "auto" stands for float32 and the usual layout,
    as nothing else was tried there.

    Raises UserError for bf16 on Apple's GPU, and where a compiler that was asked for does not work.
    """
    limit_threads(compute)
    keep_memory()
    device = next(model.parameters()).device
    if device.type == "mps" and compute.precision == "bf16":
        raise UserError("compute.precision bf16 is not for Apple's GPU (mps): set it to float32 or auto.")
    if next(model.backbone.parameters(), None) is None:  # of features: nothing to measure
        return Arithmetic(device, compute.precision.replace("auto", "float32"), False, False)
    precisions = _precisions(device) if compute.precision == "auto" else [compute.precision]
    layouts = [True, False] if compute.channels_last == "auto" else [compute.channels_last == "always"]
    if device.type == "mps" and compute.channels_last == "auto":
        layouts = [False]
    compiling = {"auto": [True, False] if device.type == "cuda" else [False], "always": [True], "never": [False]}
    choices = itertools.product(precisions, layouts, compiling[compute.compile])
    options = [Arithmetic(device, *option) for option in choices]
    if len(options) == 1 and not options[0].compiled:
        return options[0]
    inputs = {
        "processor": processor(device),
        "torch": torch.__version__,
        "threads": compute.threads,
        "options": [option[1:] for option in options],
        "weights": [list(weight.shape) for weight in model.backbone.parameters()],
        "clip": [clip.frames, clip.size],
    }
    record = paths.ARITHMETIC / f"{key_of(**inputs)[:16]}.json"
    with locked(record.parent):  # a run beside this one waits and goes by the same decision
        chosen = _chosen(record, options)
        if chosen is None:
            seconds = _measure(model.backbone, clip, batch, options)
            if compute.compile == "always" and min(seconds) == float("inf"):
                raise UserError("torch.compile does not work here: set compute.compile to never.")
            if min(seconds) == float("inf"):
                return options[-1]
            good = [option for option, took in zip(options, seconds) if took <= TIE * min(seconds)]
            found = {
                "chosen": good[0][1:],
                "seconds": {str(option[1:]): took for option, took in zip(options, seconds)},
            }
            write_bytes(record, (json.dumps(found | inputs, indent=1) + "\n").encode())
            chosen = good[0]
    return chosen


def _chosen(record, options):
    """The one of ``options`` that was decided on before; None if there is no record of it, or a damaged one."""
    try:
        chosen = Arithmetic(options[0].device, *json.loads(record.read_text())["chosen"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return chosen if chosen in options else None


def processor(device=None):
    """Kind of processor, number of its cores and the instructions that torch uses, in words."""
    if device is not None and device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device is not None and device.type == "mps":
        return f"{platform.machine()} Apple GPU"
    try:
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
        lines = dict(line.split(":", 1) for line in first if ":" in line)
        kind = " ".join(
            lines[name].strip() for name in map(str, lines) if name.strip() in ("vendor_id", "cpu family", "model")
        )
    except OSError:
        kind = platform.processor()
    return f"{platform.machine()} {kind}, {os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}"


def _precisions(device):
    """The candidates: bf16 only where there are instructions for it, as its emulation is far slower."""
    has_bf16 = {
        "cuda": lambda: torch.cuda.is_bf16_supported(including_emulation=False),
        "cpu": lambda: torch.cpu._is_avx512_bf16_supported() and "AVX512" in torch.backends.cpu.get_cpu_capability(),
    }.get(device.type, lambda: False)
    return ["bf16", "float32"] if has_bf16() else ["float32"]


def _measure(backbone, clip, batch, options):
    """Seconds of a training step in each of ``options``, infinite where memory does not suffice."""
    device = options[0].device
    size = (3, clip.frames, clip.size, clip.size)
    few = min(batch, 2)
    share = min(_time(backbone, torch.zeros(few, *size, device=device), options[0], 1) / few for _ in range(2))
    clips = torch.zeros(max(few, min(batch, round(PATIENCE / share))), *size, device=device)
    return [_time(backbone, clips, option, REPEATS) for option in options]


@torch.enable_grad()
def _time(backbone, clips, option, repeats):
    network = copy.deepcopy(backbone).train().to(memory_format=option.memory_format)
    clips = clips.contiguous(memory_format=option.memory_format)
    seconds = []
    try:
        if option.compiled:
            network.compile()
        for _ in range(1 + repeats):  # the first one prepares kernels
            start = time.perf_counter()
            with option.autocast():
                loss = network(clips).square().mean()
            loss.backward()
            loss.item()  # waits for an accelerator
            seconds.append(time.perf_counter() - start)
    except torch.OutOfMemoryError:
        return float("inf")
    except Exception:
        if option.compiled:  # a compiler may be missing, or not know an operation
            return float("inf")
        raise
    return min(seconds[1:])
