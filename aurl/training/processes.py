"""One training or evaluation shared by several processes, one for each accelerator.

`together` starts them with PyTorch's elastic launcher, which is behind ``torchrun`` too: when one dies, all are started
again, and the training goes on from its last state. What they exchange is here as well. Alone, a process exchanges
nothing, so the same code trains on one device.
"""

import logging
import multiprocessing
import os
import pickle
import signal
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import distributed, nn
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException, Std
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, record
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from aurl import UserError
from aurl.project.files import write_bytes
from aurl.project.progress import ENVIRONMENT, say

RESTARTS = 3  # of all processes because one died, before the run is given up
PATIENCE = 60  # seconds that processes have to save what they have done when they are asked to stop
BEHIND = 2  # seconds that a process which lost the others is silent, so that the one that died is named, not this one


def together(function, *arguments, processes=1, nodes=1, rendezvous=None, folder=None, name="this"):
    """``function(*arguments)`` in ``processes`` processes at once, and what the first of them returns.

    Both are pickled: a function of a module, and arguments that can be sent. On several machines (``nodes``), call this
    on each of them, with ``rendezvous``, the address of one ("HOST:PORT"), and the same ``name``. In ``folder``,
    which they share, one process tells the others of a mistake. In a process that ``torchrun`` started by hand, the
    function is called there. Nothing is started for one process.

    Raises UserError as the function does, for a process that dies too often, and for an interruption.
    """
    world = processes * nodes
    if distributed.is_torchelastic_launched():
        if (found := int(os.environ["WORLD_SIZE"])) != world:
            raise UserError(
                f"torchrun started {found} processes for {name} and the parameters say {world}: let them agree."
            )
        return _called(function, arguments)
    if world == 1:
        return function(*arguments)
    if torch.backends.mps.is_available():  # and gloo moves nothing from there
        raise UserError(f"{name} is to have {world} processes, but Apple's GPU (mps) serves one: ask for one.")
    if torch.cuda.is_available() and processes > torch.cuda.device_count():
        raise UserError(
            f"{name} is to have {processes} processes and there are {torch.cuda.device_count()} GPUs: ask for fewer."
        )
    with tempfile.TemporaryDirectory() as logs, _quiet(name):
        config = LaunchConfig(
            min_nodes=nodes, max_nodes=nodes, nproc_per_node=processes, run_id=name.replace(" ", "-"),
            rdzv_backend="c10d", rdzv_endpoint=rendezvous or "localhost:0",
            local_addr=None if rendezvous else "localhost", max_restarts=RESTARTS, start_method="forkserver",
            shutdown_timeout=PATIENCE,
            logs_specs=DefaultLogsSpecs(logs, redirects=Std.ALL if ENVIRONMENT in os.environ else Std.NONE),
        )  # fmt: skip
        mistake = Path(folder or logs, f"{name.replace(' ', '-')}.mistake")
        mistake.unlink(missing_ok=True)
        multiprocessing.set_forkserver_preload([function.__module__])  # a restart then takes no seconds to import torch
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # without advice on how to set up what is set up here
        try:
            found = elastic_launch(config, _worker)(pickle.dumps((function, arguments)), str(mistake))
        except ChildFailedError as error:
            raise UserError(f"{name} was given up after {RESTARTS} restarts: {_of(error, world)}") from None
        except SignalException:
            raise UserError(f"{name} was interrupted; the same command goes on where it was.") from None
    result = found[min(found)]
    if isinstance(result, UserError):
        mistake.unlink(missing_ok=True)
        raise result
    return result


def rank():
    """The number of this process, of `count`."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def count():
    """How many processes share the work, on all machines."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def share(rows, rank, count):
    """This process's part of ``rows`` rows: slices of all processes are disjoint, complete and in order.

    >>> [share(5, rank, 2) for rank in range(2)]
    [slice(0, 2, None), slice(2, 5, None)]
    """
    return slice(rows * rank // count, rows * (rank + 1) // count)


def summed(values):
    """The sum of a tensor over all processes, in place."""
    if count() > 1:
        distributed.all_reduce(values)
    return values


def gathered(rows):
    """The arrays (n, ...) of all processes, one after the other."""
    if count() == 1:
        return rows
    parts = [None] * count()
    distributed.all_gather_object(parts, rows)
    return np.concatenate([part for part in parts if len(part)] or parts)


def watched(objective):
    """``objective`` (an `aurl.training.loop.Objective`) so that a backward pass averages gradients over all
    processes, and
    BatchNorm sees the videos of all of them.

    The model's own modules are changed. The class encoder is left as it is: all processes give it the same classes.
    """
    if count() == 1:
        return objective
    model = objective.model
    model.backbone, model.projection = _synchronized(model.backbone), _synchronized(model.projection)
    # A loss without visual centers leaves them unused. To say so also keeps gradients in the same buckets in every
    # step, so that a run which goes on from a state adds them up in the same order.
    return nn.parallel.DistributedDataParallel(objective, find_unused_parameters=True, forward_sync_buffers=False)


def _synchronized(module):
    if any(weight.is_cuda for weight in module.parameters()):  # of features there are none
        return nn.SyncBatchNorm.convert_sync_batchnorm(module)
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.__class__ = _SyncBatchNorm
    return module


class _SyncBatchNorm(nn.modules.batchnorm._BatchNorm):
    """BatchNorm over the videos of all processes; PyTorch's own one is for accelerators only."""

    def _check_input_dim(self, x):
        pass

    def forward(self, x):
        if not self.training:
            return super().forward(x)
        wide, around = x.float(), (1, -1, *[1] * (x.ndim - 2))
        over = [0, *range(2, x.ndim)]
        rows = summed(torch.tensor(float(x.numel() // x.shape[1])))  # values of each channel
        mean = _Sum.apply(wide.sum(over)) / rows
        centered = wide - mean.view(around)
        variance = _Sum.apply(centered.square().sum(over)) / rows
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * rows / (rows - 1), self.momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centered * scale.view(around) + self.bias.view(around)).to(x.dtype)


class _Sum(torch.autograd.Function):
    """`summed` for values that have a gradient, which is the sum of all processes' gradients."""

    @staticmethod
    def forward(ctx, values):
        return summed(values.clone())

    @staticmethod
    def backward(ctx, gradient):
        return summed(gradient.clone())


@record  # lets the launcher know what an exception said
def _worker(job, mistake):
    """One of the processes; a mistake that the user can fix ends all of them, and no restart repeats it."""
    mistake = Path(mistake)
    if mistake.exists():
        return pickle.loads(mistake.read_bytes())
    try:
        return _called(*pickle.loads(job))
    except UserError as error:
        write_bytes(mistake, pickle.dumps(type(error)(*error.args)))
        raise


def _called(function, arguments):
    if cuda := torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    store, rank_, world = next(distributed.rendezvous("env://"))
    # The launcher keeps this store between restarts. Without names of its own, a new process would find the address of
    # one that has died.
    store = distributed.PrefixStore(f"restart-{os.environ['TORCHELASTIC_RESTART_COUNT']}", store)
    distributed.init_process_group("nccl" if cuda else "gloo", store=store, rank=rank_, world_size=world)
    try:
        result = function(*arguments)
        return result if rank() == 0 else None
    except RuntimeError:
        time.sleep(BEHIND)
        raise
    finally:
        distributed.destroy_process_group()


def _of(error, world):
    """Which process died first, and how."""
    number, failure = error.get_first_failure()
    if failure.exitcode < 0:
        how = f"was killed by {signal.Signals(-failure.exitcode).name}"
    else:
        said = failure.message["message"] if isinstance(failure.message, dict) else failure.message
        how = f"failed ({said.splitlines()[0]})" if said else f"ended with status {failure.exitcode}"
    return f"process {number} of {world} (pid {failure.pid}) {how}."


@contextmanager
def _quiet(name):
    """The launcher's own messages reach the terminal and no notebook; its handlers of signals go when it ends."""

    class Said(logging.Handler):
        def emit(self, message):
            if message.levelno >= logging.ERROR and "failed" in message.getMessage():
                say(f"{name}: a process {message.getMessage()}; all begin again, {RESTARTS} times at most")

    loggers, said = [logging.getLogger(f"torch.{name}") for name in ("distributed.elastic", "multiprocessing")], Said()
    numbers = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT]
    before = {number: signal.getsignal(number) for number in numbers}
    for logger in loggers:
        logger.addHandler(said)
        logger.propagate = False
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(said)
            logger.propagate = True
        for number, handler in before.items():
            if signal.getsignal(number) is not handler and handler is not None:
                signal.signal(number, handler)
