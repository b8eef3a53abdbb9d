"""Progress bars on the terminal, also from within notebooks, and parallel work with a progress bar."""

import itertools
import os
import sys

from tqdm import tqdm

from aurl import UserError

CHUNK = 2000  # calls sent to a cluster at a time
RESTART = "end other programs and repeat the command; it resumes."
SCHEDULER_SECONDS = 10  # within which a Dask scheduler has to answer
SIDE_BY_SIDE = "AURL_SIDE_BY_SIDE"  # the number of stages that share the machine, set by `aurl.pipeline.reproduce`
ENVIRONMENT = "AURL_PROGRESS"  # a file that `aurl.pipeline.notebook` shows on the terminal while a notebook runs


def local_processes():
    """The number of processes on this machine that share this training or evaluation (set by ``torchrun``)."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def bar(iterable=None, **options):
    """`tqdm` on the terminal, also from within a notebook, whose outputs stay free of it.

    Carriage returns separate its states and a line feed ends the last one, for a parent process that shows them.
    """
    path = os.environ.get(ENVIRONMENT)
    own = open(path, "a", buffering=1) if path else None  # noqa: SIM115 - closed with the bar
    pace = 0.5 if sys.stderr.isatty() else 5
    drawn = _Bar(iterable, file=own or sys.stderr, mininterval=pace, position=0, **options)
    drawn.own = own
    if drawn.disable:
        drawn.close()
    return drawn


def print_line(text):
    """Print a line on the terminal, also from within a notebook, whose outputs stay free of it."""
    path = os.environ.get(ENVIRONMENT)
    if path is None:
        tqdm.write(text, file=sys.stderr)
        return
    with open(path, "a") as shared:
        shared.write(f"\n{text}\n")


class _Bar(tqdm):
    """A bar that closes its own stream."""

    own = None

    def close(self):
        super().close()
        if self.own is not None:
            self.own.close()


def parallel(function, calls, desc, unit, total=None, scheduler=None):
    """The results of ``function(*call)`` for each of ``calls``, in their order, computed by one process per core.

    ``calls`` may be a generator of ``total`` calls. With the address of a Dask ``scheduler`` ("tcp://HOST:PORT"), its
    workers compute them. Raises UserError if it does not answer, or if the system ends a process.
    """
    import joblib  # here and below, because it is slow to import
    from joblib.externals.loky import get_reusable_executor
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    total = len(calls) if total is None else total
    jobs = (joblib.delayed(function)(*call) for call in calls)
    if scheduler:
        yield from bar(_on_cluster(jobs, scheduler), total=total, desc=desc, unit=unit)
        return
    results = joblib.Parallel(n_jobs=-1, return_as="generator")(jobs)  # only the cores that this process may use
    try:
        yield from bar(results, total=total, desc=desc, unit=unit)
    except TerminatedWorkerError:
        raise UserError(f"{desc}: the system ended a process, perhaps for too little memory: {RESTART}") from None
    finally:  # idle workers would be reported as leaked when the notebook's process ends
        # If the caller gives up, the garbage collector may run this in a thread for which a shutdown would wait.
        if not isinstance(sys.exception(), GeneratorExit):
            get_reusable_executor().shutdown()


def _on_cluster(jobs, scheduler):
    import joblib

    try:
        from distributed import Client
    except ImportError:
        raise UserError(
            "prepare.scheduler needs Dask: install it with `pip install distributed`, or set prepare.scheduler to null."
        ) from None
    try:
        client = Client(scheduler, timeout=SCHEDULER_SECONDS)
    except (OSError, ValueError) as error:
        raise UserError(
            f"there is no Dask scheduler at {scheduler} ({type(error).__name__}): "
            "start one with `dask scheduler`, or set prepare.scheduler to null."
        ) from None
    with client, joblib.parallel_config(backend="dask"):
        while chunk := list(itertools.islice(jobs, CHUNK)):  # Dask's backend returns all results at once
            yield from joblib.Parallel()(chunk)
