"""Where and how a model computes: device, threads, precision, memory layout and compilation.

``compute.precision: auto`` and ``compute.channels_last: auto`` are decided by timing a few training steps of the model
at hand, because the faster choice depends on the processor, the size of clips and the width of the network. On CUDA,
``compute.compile: auto`` is timed, too; elsewhere it means ``never``. Decisions are kept in ``build/cache``, so that
later runs on the same machine have the same arithmetic, and recorded in every checkpoint's ``model.json``.
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
from aurl.project import cache, paths
from aurl.project.files import locked, write_bytes
from aurl.project.progress import local_processes

LAYOUTS = {False: torch.contiguous_format, True: torch.channels_last_3d}
STEP_SECONDS = 1.0  # target duration of a timed step
REPEATS = 3  # timed steps per candidate; the fastest counts
TIE = 1.1  # the first candidate within this factor of the fastest wins, so that noise decides nothing


class Arithmetic(NamedTuple):
    """How a model computes on ``device``; ``precision`` is "bf16" or "float32"."""

    device: torch.device
    precision: str
    channels_last: bool
    compiled: bool

    @property
    def memory_format(self):
        return LAYOUTS[self.channels_last]

    def autocast(self):
        """The context for forward passes."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def facts(self):
        """The settings that change the last digits of a result, as JSON values."""
        threads = torch.get_num_threads() if self.device.type == "cpu" else None
        return self._asdict() | {"device": self.device.type, "threads": threads}


def best_device():
    """CUDA's GPU, else Apple's (mps), else the CPU."""
    for name, there in (("cuda", torch.cuda.is_available), ("mps", torch.backends.mps.is_available)):
        if there():
            return torch.device(name)
    return torch.device("cpu")


def limit_threads(compute):
    """Use ``compute.threads`` CPU cores; if ``None``, all of them, or this process's share.

    The number of threads changes the last digits of sums, and training amplifies them. One thread gives the same result
    on any number of cores. Two trainings at once on one core each finish sooner than in sequence on two cores.
    """
    torch.set_num_threads(compute.threads or max(1, joblib.cpu_count() // local_processes()))


def keep_memory():
    """Make glibc reuse the memory that a training step frees, which makes steps about a third faster.

    By default glibc returns large blocks to the system, and every step requests them again, page by page.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if platform.libc_ver()[0] == "glibc" else None
    if mallopt:
        mallopt(-4, 0)  # M_MMAP_MAX: all blocks come from the heap
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD, bytes
        mallopt(-2, 2**30)  # M_TOP_PAD, bytes


@contextmanager
def explain_out_of_memory(parameter):
    """Turn an accelerator's out-of-memory error into a UserError that names the ``parameter`` to lower."""
    try:
        yield
    except torch.OutOfMemoryError:
        device = processor(best_device())
        raise UserError(f"the memory of {device} is too small: set {parameter} to fewer videos at a time.") from None


def choose_arithmetic(model, clip, batch, compute):
    """The fastest `Arithmetic` that ``compute`` allows for a model.

    For "auto", training steps of the backbone are timed in every allowed combination, unless this machine has done so
    before. If memory suffices for none, the last combination is returned and not recorded. Without timing, "auto" means
    float32 for a model of precomputed features, and float32 in the contiguous layout on Apple's GPU.

    Args:
        model: an `aurl.models.AURL`.
        clip: the ``clip`` section; clips have ``clip.frames`` x ``clip.size`` x ``clip.size`` pixels.
        batch: videos at a time.
        compute: the ``compute`` section.

    Raises:
        UserError: for bf16 on Apple's GPU, and for ``compile: always`` where the compiler fails.
    """
    limit_threads(compute)
    keep_memory()
    device = next(model.parameters()).device
    if device.type == "mps" and compute.precision == "bf16":
        raise UserError("compute.precision bf16 is not for Apple's GPU (mps): set it to float32 or auto.")
    if next(model.backbone.parameters(), None) is None:  # a model of precomputed features
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
    key = cache.key_of(**inputs)
    record = paths.ARITHMETIC / f"{key[:16]}.json"
    with locked(record.parent):  # a concurrent run waits and uses the same decision
        chosen = Arithmetic(device, *json.loads(record.read_text())["chosen"]) if cache.holds(record, key) else None
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
            with cache.filling(record, key):
                write_bytes(record, (json.dumps(found | inputs, indent=1) + "\n").encode())
            chosen = good[0]
    return chosen


def processor(device=None):
    """The kind of processor, its number of cores and the instructions that torch uses, as text."""
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
    """The candidates: bf16 only with hardware instructions, because emulation is far slower."""
    has_bf16 = {
        "cuda": lambda: torch.cuda.is_bf16_supported(including_emulation=False),
        "cpu": lambda: torch.cpu._is_avx512_bf16_supported() and "AVX512" in torch.backends.cpu.get_cpu_capability(),
    }.get(device.type, lambda: False)
    return ["bf16", "float32"] if has_bf16() else ["float32"]


def _measure(backbone, clip, batch, options):
    """Seconds of a training step with each of ``options``; infinite if memory does not suffice or compiling fails."""
    device = options[0].device
    size = (3, clip.frames, clip.size, clip.size)
    few = min(batch, 2)
    share = min(_time(backbone, torch.zeros(few, *size, device=device), options[0], 1) / few for _ in range(2))
    clips = torch.zeros(max(few, min(batch, round(STEP_SECONDS / share))), *size, device=device)
    return [_time(backbone, clips, option, REPEATS) for option in options]


@torch.enable_grad()
def _time(backbone, clips, option, repeats):
    network = copy.deepcopy(backbone).train().to(memory_format=option.memory_format)
    clips = clips.contiguous(memory_format=option.memory_format)
    seconds = []
    try:
        if option.compiled:
            network.compile()
        for _ in range(1 + repeats):  # the first prepares kernels
            start = time.perf_counter()
            with option.autocast():
                loss = network(clips).square().mean()
            loss.backward()
            loss.item()  # waits for an accelerator
            seconds.append(time.perf_counter() - start)
    except torch.OutOfMemoryError:
        return float("inf")
    except Exception:
        if option.compiled:  # the compiler may be missing or lack an operation
            return float("inf")
        raise
    return min(seconds[1:])
