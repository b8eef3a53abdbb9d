"""One training or evaluation shared by several processes, one per accelerator.

`run_in_processes` starts them with PyTorch's elastic launcher, like ``torchrun``: when one dies, all restart, and the
training resumes from its last state. The other functions exchange data between processes; in a single process they
return their argument.
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

from aurl import UserError
from aurl.project.files import write_bytes
from aurl.project.progress import ENVIRONMENT, print_line

RESTARTS = 3  # how often all processes restart because one died, before the run is given up
SHUTDOWN_SECONDS = 60  # for processes to save their work after they are asked to stop
FAILURE_DELAY = 2  # seconds that a process waits after it lost another, so that the launcher names the dead process


def run_in_processes(function, *arguments, processes=1, nodes=1, rendezvous=None, folder=None, name="this"):
    """Call ``function(*arguments)`` in several processes at once, and return the result of the first.

    A single process, or a process that the user started by ``torchrun``, calls the function directly. On several
    machines, call this on each of them. Machines without the first process get None, and so do the other processes of
    ``torchrun``.

    Args:
        function: must be importable.
        arguments: must be picklable.
        processes: the number of processes on this machine.
        nodes: the number of machines.
        rendezvous: the address of one machine, "HOST:PORT"; needed for several.
        folder: a folder that all machines share, through which one process tells the others of a UserError.
        name: the name of the run in messages, the same on every machine.

    Raises:
        UserError: as the function does, for a process that dies too often, and for an interruption.
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
    if torch.backends.mps.is_available():  # gloo does not support it
        raise UserError(f"{name} is to have {world} processes, but Apple's GPU (mps) serves one: ask for one.")
    if torch.cuda.is_available() and processes > torch.cuda.device_count():
        raise UserError(
            f"{name} is to have {processes} processes and there are {torch.cuda.device_count()} GPUs: ask for fewer."
        )
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException, Std
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    with tempfile.TemporaryDirectory() as logs, _quiet_launcher(name):
        config = LaunchConfig(
            min_nodes=nodes, max_nodes=nodes, nproc_per_node=processes, run_id=name.replace(" ", "-"),
            rdzv_backend="c10d", rdzv_endpoint=rendezvous or "localhost:0",
            local_addr=None if rendezvous else "localhost", max_restarts=RESTARTS, start_method="forkserver",
            shutdown_timeout=SHUTDOWN_SECONDS,
            logs_specs=DefaultLogsSpecs(logs, redirects=Std.ALL if ENVIRONMENT in os.environ else Std.NONE),
        )  # fmt: skip
        mistake = Path(folder or logs, f"{name.replace(' ', '-')}.mistake")
        mistake.unlink(missing_ok=True)
        multiprocessing.set_forkserver_preload([function.__module__])  # so that a restart does not import torch again
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # no advice on settings that are made here
        try:
            found = elastic_launch(config, _worker)(pickle.dumps((function, arguments)), str(mistake))
        except ChildFailedError as error:
            raise UserError(f"{name} was given up after {RESTARTS} restarts: {_describe(error, world)}") from None
        except SignalException:
            raise UserError(f"{name} was interrupted; the same command goes on where it was.") from None
    result = found[min(found)]
    if isinstance(result, UserError):
        mistake.unlink(missing_ok=True)
        raise result
    return result


def rank():
    """The number of this process, in [0, `count`)."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def count():
    """The number of processes that share the work, on all machines."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def own_rows(rows, rank, count):
    """The slice of ``rows`` rows that process ``rank`` of ``count`` has: disjoint, complete and in order.

    >>> [own_rows(5, rank, 2) for rank in range(2)]
    [slice(0, 2, None), slice(2, 5, None)]
    """
    return slice(rows * rank // count, rows * (rank + 1) // count)


def sum_over_processes(values):
    """The sum of a tensor over all processes, in place."""
    if count() > 1:
        distributed.all_reduce(values)
    return values


def gather(rows):
    """The arrays (n, ...) of all processes, concatenated in order of rank."""
    if count() == 1:
        return rows
    parts = [None] * count()
    distributed.all_gather_object(parts, rows)
    return np.concatenate([part for part in parts if len(part)] or parts)


def synchronize(objective):
    """Wrap an `aurl.training.loop.Objective`: gradients and BatchNorm cover the videos of all processes.

    This changes the model's own modules. The class encoder is left as it is, because all processes give it the same
    classes.
    """
    if count() == 1:
        return objective
    model = objective.model
    model.backbone, model.projection = _synchronize_norms(model.backbone), _synchronize_norms(model.projection)
    # A loss without visual centers leaves them unused. The flag also keeps gradients in the same buckets in every step,
    # so that a resumed run adds them up in the same order.
    return nn.parallel.DistributedDataParallel(objective, find_unused_parameters=True, forward_sync_buffers=False)


def _synchronize_norms(module):
    if any(weight.is_cuda for weight in module.parameters()):  # a model of features has none
        return nn.SyncBatchNorm.convert_sync_batchnorm(module)
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.__class__ = _SyncBatchNorm
    return module


class _SyncBatchNorm(nn.modules.batchnorm._BatchNorm):
    """BatchNorm over the videos of all processes on CPUs; PyTorch's own supports accelerators only."""

    def _check_input_dim(self, x):
        pass

    def forward(self, x):
        if not self.training:
            return super().forward(x)
        wide, around = x.float(), (1, -1, *[1] * (x.ndim - 2))
        over = [0, *range(2, x.ndim)]
        rows = sum_over_processes(torch.tensor(float(x.numel() // x.shape[1])))  # values per channel
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
    """`sum_over_processes` with a gradient, the sum of all processes' gradients."""

    @staticmethod
    def forward(ctx, values):
        return sum_over_processes(values.clone())

    @staticmethod
    def backward(ctx, gradient):
        return sum_over_processes(gradient.clone())


def _worker(job, mistake):
    """The work of one process. After a UserError, the launcher restarts all of them, and each returns it at once."""
    from torch.distributed.elastic.multiprocessing.errors import record

    return record(_work)(job, mistake)  # tells the launcher the message of an exception


def _work(job, mistake):
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
    # The launcher keeps this store between restarts. The prefix hides the addresses of processes that have died.
    store = distributed.PrefixStore(f"restart-{os.environ['TORCHELASTIC_RESTART_COUNT']}", store)
    distributed.init_process_group("nccl" if cuda else "gloo", store=store, rank=rank_, world_size=world)
    try:
        result = function(*arguments)
        return result if rank() == 0 else None
    except RuntimeError:
        time.sleep(FAILURE_DELAY)
        raise
    finally:
        distributed.destroy_process_group()


def _describe(error, world):
    """The first dead process and its cause of death, as the end of a sentence."""
    number, failure = error.get_first_failure()
    if failure.exitcode < 0:
        how = f"was killed by {signal.Signals(-failure.exitcode).name}"
    else:
        said = failure.message["message"] if isinstance(failure.message, dict) else failure.message
        how = f"failed ({said.splitlines()[0]})" if said else f"ended with status {failure.exitcode}"
    return f"process {number} of {world} (pid {failure.pid}) {how}."


@contextmanager
def _quiet_launcher(name):
    """Print the launcher's failures to the terminal, not into notebooks; restore signal handlers at the end."""

    class Failures(logging.Handler):
        def emit(self, message):
            if message.levelno >= logging.ERROR and "failed" in message.getMessage():
                print_line(f"{name}: a process {message.getMessage()}; all begin again, {RESTARTS} times at most")

    loggers = [logging.getLogger(f"torch.{name}") for name in ("distributed.elastic", "multiprocessing")]
    failures = Failures()
    numbers = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT]
    before = {number: signal.getsignal(number) for number in numbers}
    for logger in loggers:
        logger.addHandler(failures)
        logger.propagate = False
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(failures)
            logger.propagate = True
        for number, handler in before.items():
            if signal.getsignal(number) is not handler and handler is not None:
                signal.signal(number, handler)
