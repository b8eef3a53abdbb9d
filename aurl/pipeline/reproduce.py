"""``make reproduce``: run the pipeline with independent stages in parallel.

    python -m aurl.pipeline.reproduce

gives the same results as ``dvc repro``. It runs one stage at a time on an accelerator. Otherwise ``compute.threads``
and the number of cores limit the stages at a time. An interrupted run continues where it was.
"""

import argparse
import functools
import os
import re
import signal
import subprocess
import sys
import time
from collections import deque
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path

import joblib
from tqdm import tqdm

from aurl import UserError
from aurl.project import config, paths
from aurl.project.files import write_bytes
from aurl.project.progress import SIDE_BY_SIDE

WAIT = "wait until it ends, then run this again."
LINE_SECONDS = 30  # minimum between two lines of a job without a terminal


def main():
    """Bring every stage up to date. Raises UserError with the sentence of the first stage that failed."""
    config.load_all()  # reports a mistake in params.yaml in one sentence, not in a page by DVC
    work_without_git(Path())
    if not stale(Path()):
        print("Everything is up to date.")
    else:
        size = jobs_at_a_time(config.load(sections=["train", "compute"]))
        jobs = jobs_of(Path(), size)
        function, _ = jobs.pop(next(iter(jobs)))
        function()  # then run only the outdated stages, because each call of DVC takes a while
        behind = stale(Path())
        behind |= {name for name, (_, needs) in jobs.items() if needs & behind}
        run_parallel({name: (jobs[name][0], jobs[name][1] & behind) for name in jobs if name in behind}, size)
    if (page := paths.SITE / "index.html").exists():
        print(f"The report is {page}: open it in a browser.")


def work_without_git(folder):
    """Let DVC work in a ``folder`` that was downloaded without git."""
    local = folder / ".dvc/config.local"
    if not local.exists() and not any((above / ".git").exists() for above in (folder.resolve() / "x").parents):
        write_bytes(local, b"[core]\n    no_scm = true\n")


def stale(folder):
    """The names of the stages that ``dvc repro`` would run. Raises UserError while another DVC runs in ``folder``."""
    from dvc.lock import LockError
    from dvc.repo import Repo

    try:
        with Repo(str(folder)) as repo:
            return {name.rpartition(":")[2] for name in repo.status()}
    except LockError:
        raise UserError(f"another DVC command runs in this project: {WAIT}") from None


def jobs_of(folder, size, wanted=None, needs=()):
    """The jobs for `run_parallel`, ``size`` at a time, that bring stages of the project in ``folder`` up to date.

    The first job runs all stages that every other stage needs, but no training or evaluation. Each other stage is a
    job, in descending order of the number of stages that need it. ``wanted`` names stages, without variant and seed, to
    run with all stages that they need (default: all). ``needs`` names other jobs that must end before the first.
    """
    above = _graph(folder)
    chosen = {name for name in above if wanted is None or name.partition("@")[0] in wanted}
    chosen |= {other for name in chosen for other in above[name]}
    rank = {name: sum(name in above[other] for other in chosen) for name in chosen}
    shared = {name for name in chosen if "@" not in name and rank[name] + len(above[name]) == len(chosen) - 1}
    first = max((name for name in shared if above[name] <= shared), key=lambda name: len(above[name]))
    prefix = f"{folder.name}: " if folder.name else ""

    def job(name, *options):
        return Job(folder, "repro", *options, name=f"{prefix}{name}", size=size).run

    jobs = {f"{prefix}{first}": (job(first, first), set(needs))}
    own = chosen - above[first] - {first}
    for name in sorted(own, key=lambda name: (-rank[name], list(above).index(name))):
        before = {f"{prefix}{other}" for other in above[name] & (own | {first})}
        jobs[f"{prefix}{name}"] = job(name, "--single-item", name), before
    return jobs


def _graph(folder):
    """The stages of a project in the order of dvc.yaml: name -> names of all stages that come before it."""
    from dvc.repo import Repo

    @functools.cache
    def above(stage):
        own = list(graph.successors(stage))
        return {other.name for other in own}.union(*map(above, own))

    with Repo(str(folder)) as repo:
        graph = repo.index.graph
        return {stage.name: above(stage) for stage in repo.index.stages}


def run_parallel(jobs, size):
    """Run ``jobs``, ``size`` at a time, in their order but each after the jobs that it needs.

    ``jobs`` maps a name to a function and the names of the jobs that it needs. After a failure, no job begins; the
    error is raised when the running jobs have ended.
    """
    waiting, running, done, failure = dict(jobs), {}, set(), None
    with ThreadPoolExecutor(size) as pool:
        try:
            while waiting or running:
                ready = [name for name, (_, needs) in waiting.items() if needs <= done]
                for name in ready[: size - len(running)]:
                    function, _ = waiting.pop(name)
                    running[pool.submit(function)] = name
                for ended in wait(running, return_when=FIRST_COMPLETED).done:
                    name = running.pop(ended)
                    if ended.exception() and not failure:
                        failure, waiting = ended.exception(), {}
                        if running:
                            rest = ", ".join(running.values())
                            tqdm.write(f"{name} failed: {failure} Waiting for {rest} to end.", file=sys.stderr)
                    done.add(name)
        except KeyboardInterrupt:
            stop_all()  # and the pool waits until they have ended
            raise
    if failure:
        raise failure


def jobs_at_a_time(params):
    """The number of stages at a time: one on an accelerator, else the cores divided by the threads of a stage."""
    from aurl.training.devices import best_device  # PyTorch, which takes a while to import

    if best_device().type != "cpu" or params.compute.threads is None:
        return 1
    return max(1, joblib.cpu_count() // (params.compute.threads * params.train.processes))


class Job:
    """A call of DVC in a project's ``folder``, with one line of progress; ``size`` jobs share cores and memory."""

    running, interrupted = set(), False

    def __init__(self, folder, *arguments, name, size=1):
        self.folder, self.arguments, self.name, self.size = folder, arguments, name, size
        self.said = deque(maxlen=200)

    def run(self):
        """Run DVC. Raises UserError with the sentence of a stage or, without one, after printing DVC's output."""
        begin, line = time.monotonic(), _Line(self.name)
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",  # a stage's `python` is this one
            "PYTHONPATH": str(self.folder.resolve()),
            "PYTHONUNBUFFERED": "1",
            SIDE_BY_SIDE: str(self.size),
        }
        command = [sys.executable, "-m", "dvc", "--wait-for-lock", *self.arguments]
        # In its own session, all its processes can be interrupted together.
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.running.add(process)
        try:
            if Job.interrupted:  # after this job was begun
                os.killpg(process.pid, signal.SIGINT)
            for piece, whole in _pieces(process.stdout):
                if whole:
                    self.said.append(piece)
                if not whole or piece.startswith("Running stage"):
                    line.show(piece)
            process.wait()
        except BaseException:
            stop_all()
            process.wait()
            raise
        finally:
            self.running.discard(process)
            line.close()
        if not process.returncode:
            tqdm.write(f"{self.name}: {(time.monotonic() - begin) / 60:.1f} min", file=sys.stderr)
        elif not Job.interrupted:
            raise self._error()

    def _error(self):
        sentences = [piece.removeprefix("aurl: ") for piece in self.said if piece.startswith("aurl: ")]
        if sentences:
            return UserError(sentences[-1])
        if any("is busy, it is being blocked by" in piece for piece in self.said):
            return UserError(f"another DVC command is at work on what {self.name} needs or makes: {WAIT}")
        tqdm.write("\n".join(self.said), file=sys.stderr)
        return UserError(f"`dvc {' '.join(self.arguments)}` failed in {self.folder.resolve()}, as shown above.")


def stop_all(*_):
    """Interrupt every job that runs, as Ctrl-C would; each keeps what it has finished."""
    Job.interrupted = True
    for process in list(Job.running):
        with suppress(ProcessLookupError):  # it has just ended
            os.killpg(process.pid, signal.SIGINT)


class _Line:
    """A job's line on the terminal, rewritten in place."""

    def __init__(self, name):
        self.name, self.last = name, time.monotonic()
        self.bar = tqdm(bar_format="{desc}", leave=False) if sys.stderr.isatty() else None

    def show(self, piece):
        text = f"{self.name}: {piece}"
        if self.bar is not None:
            self.bar.set_description_str(text[: os.get_terminal_size(sys.stderr.fileno()).columns - 1])
        elif time.monotonic() - self.last > LINE_SECONDS:
            self.last = time.monotonic()
            print(text, file=sys.stderr, flush=True)

    def close(self):
        if self.bar is not None:
            self.bar.close()


def _pieces(stream):
    """The pieces of a byte stream as text: complete lines with True, states of a progress bar with False."""
    rest = b""
    while chunk := stream.read1():
        *pieces, rest = re.split(rb"([\r\n])", rest + chunk)  # piece, its end, piece, its end, ...
        for piece, end in zip(pieces[::2], pieces[1::2]):
            if piece.strip():
                yield piece.decode(errors="replace"), end == b"\n"
    if rest.strip():
        yield rest.decode(errors="replace"), True


def run_as_command(function):
    """Run ``function`` as a command: a UserError becomes one sentence, and an interruption stops every job."""

    def interrupt(*_):
        raise KeyboardInterrupt

    for sent in (signal.SIGINT, signal.SIGTERM):  # background jobs of a shell ignore SIGINT
        signal.signal(sent, interrupt)
    try:
        function()
    except UserError as error:
        sys.exit(f"aurl: {error}")
    except KeyboardInterrupt:
        sys.exit("aurl: interrupted; the same command continues where it was.")


if __name__ == "__main__":
    argparse.ArgumentParser(prog="python -m aurl.pipeline.reproduce", description=__doc__.splitlines()[0]).parse_args()
    run_as_command(main)
