"""``make reproduce``: the pipeline with independent trainings side by side.

    python -m aurl.pipeline.reproduce

does what ``dvc repro`` does and leaves the same bytes, but trains and evaluates as many variants and seeds at a time as
``compute.threads`` leaves cores for. An interrupted run continues where it was.
"""

import os
import re
import subprocess
import sys
import threading
import time
from collections import deque
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from itertools import product
from pathlib import Path

import joblib
from tqdm import tqdm

from aurl import UserError, config

EVERY = 30  # seconds between two lines of a job where there is no terminal to rewrite one in


def main():
    config.load_all()  # a mistake in params.yaml is one sentence here and a page of DVC's there
    if up_to_date(Path()):
        print("Everything is up to date.")
        return
    params = config.load(sections=["run", "compute", "sphere"])
    spheres = {f"{variant}-{params.run.seeds[0]}": f"sphere@{variant}" for variant in params.sphere.variants}
    side_by_side(Path(), params.run, params.compute, spheres)
    Job(Path(), "repro", name="all other stages").run()


def up_to_date(folder):
    """Whether ``dvc repro`` would find nothing to do."""
    from dvc.repo import Repo

    with Repo(str(folder)) as repo:
        return not repo.status()


def side_by_side(folder, run, compute, spheres=None):
    """Bring all trainings and evaluations of ``run.variants`` and ``run.seeds`` in the project ``folder`` up to date.

    ``compute`` is the section of that name; ``spheres`` maps a run, such as "aurl-0", to a further stage that needs its
    checkpoint. Raises UserError with the sentence of the first stage that failed, after those that run have ended.
    """
    Job(folder, "repro", "strip", "02_embed_class_names", name="data and class names").run()
    cores = joblib.cpu_count()
    runs = [f"{variant}-{seed}" for seed, variant in product(run.seeds, run.variants)]
    with ThreadPoolExecutor(max(1, cores // (compute.threads or cores))) as pool:
        jobs = {pool.submit(_single(folder, f"03_train@{name}").run): name for name in runs}
        try:
            while jobs:
                done, _ = wait(jobs, return_when=FIRST_COMPLETED)
                for job in done:
                    name = jobs.pop(job)
                    job.result()
                    if name:  # a training: what needs its checkpoint comes after the trainings that still wait
                        more = [f"04_evaluate@{name}", *filter(None, [(spheres or {}).get(name)])]
                        jobs |= {pool.submit(_single(folder, stage).run): None for stage in more}
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # those that run end first, as the pool is left
            raise


def _single(folder, stage):
    return Job(folder, "--wait-for-lock", "repro", "--single-item", stage, name=stage)


class Job:
    """A call of DVC in a project's ``folder``; while it runs, one line says how far it is."""

    def __init__(self, folder, *arguments, name):
        self.folder, self.arguments, self.name = folder, arguments, name
        self.said = deque(maxlen=1000)

    def run(self):
        """Raises UserError with what a stage said, or after showing DVC's output if none did."""
        begin, line = time.monotonic(), _Line(self.name)
        environment = os.environ | {"PYTHONPATH": str(self.folder.resolve()), "PYTHONUNBUFFERED": "1"}
        command = [sys.executable, "-m", "dvc", *self.arguments]
        with subprocess.Popen(
            command, cwd=self.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            for piece in _pieces(process.stdout):
                self.said.append(piece)
                line.show(piece)
        line.close()
        if process.returncode:
            raise self._error()
        tqdm.write(f"{self.name}: done in {(time.monotonic() - begin) / 60:.1f} min", file=sys.stderr)

    def _error(self):
        sentences = [piece.removeprefix("aurl: ") for piece in self.said if piece.startswith("aurl: ")]
        if sentences:
            return UserError(sentences[-1])
        tqdm.write("\n".join(self.said), file=sys.stderr)
        return UserError(f"`dvc {' '.join(self.arguments)}` failed in {self.folder.resolve()}, as shown above.")


class _Line:
    """A line of the terminal that a job rewrites, below those of the jobs beside it."""

    taken, lock = set(), threading.Lock()

    def __init__(self, name):
        self.name, self.last, self.bar = name, time.monotonic(), None
        if sys.stderr.isatty():
            with self.lock:
                self.position = next(place for place in range(len(self.taken) + 1) if place not in self.taken)
                self.taken.add(self.position)
            self.bar = tqdm(bar_format="{desc}", position=self.position, leave=False)

    def show(self, piece):
        text = f"{self.name}: {piece}"
        if self.bar is not None:
            self.bar.set_description_str(text[: os.get_terminal_size(sys.stderr.fileno()).columns - 1])
        elif time.monotonic() - self.last > EVERY:
            self.last = time.monotonic()
            print(text, file=sys.stderr, flush=True)

    def close(self):
        if self.bar is not None:
            self.bar.close()
            with self.lock:
                self.taken.discard(self.position)


def _pieces(stream):
    """The lines of a byte stream as text, those that a progress bar overwrites included."""
    rest = b""
    while chunk := stream.read1():
        *whole, rest = re.split(rb"[\r\n]+", rest + chunk)
        yield from (piece.decode(errors="replace") for piece in whole if piece.strip())
    if rest.strip():
        yield rest.decode(errors="replace")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"aurl: {error}")
    except KeyboardInterrupt:
        sys.exit("aurl: interrupted; the same command continues where it was.")
