"""Live curves of a training, each in a file of tab-separated values.

``dvc plots show`` and editors with DVC support draw them from the folder under ``plots`` in ``dvc.yaml``. They contain
timings, so they are not tracked as outputs; the history of epochs is.
"""

import os
import re
import shutil
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

from aurl.project.progress import print_line

POINT = re.compile(rb"(\d+)\t[^\t\n]+\n")  # step and value


class Watch:
    """Writes the curves of one training; a context. Any error is reported once and never stops training.

    Args:
        place: ``FOLDER/NAME``: curves go to ``FOLDER/plots/NAME``, such as ``metrics/train/total.tsv`` with a line per
            point. With ``None``, nothing is written.
        step: the number of steps taken before. Later points of an earlier run are removed.
    """

    def __init__(self, place, step=0):
        self._place = place
        self._folder = place and Path(place).parent / "plots" / Path(place).name / "metrics"
        self._try(self._begin, step)

    def log(self, step, values):
        """Add a point to each curve: ``values`` maps names such as "train/total" to numbers, ``step`` counts from 1."""
        self._try(self._add, step, values)

    def close(self):
        """Stop writing; logged points are already in the files."""
        self._folder = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _try(self, write, *arguments):
        if self._folder is None:
            return
        try:
            write(*arguments)
        except Exception as error:  # no error may stop the training
            self.close()
            reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
            with suppress(OSError):  # `print_line` may write to the same full disk
                print_line(
                    f"aurl: the curves in {self._place} cannot be written ({reason}); the training goes on without "
                    "them."
                )

    def _begin(self, step):
        if not step and self._folder.exists():
            shutil.rmtree(self._folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in self._folder.rglob("*.tsv"):
            header, *lines = path.read_bytes().splitlines(keepends=True) or [b""]
            kept = [*takewhile(lambda line: (own := POINT.fullmatch(line)) and int(own[1]) <= step, lines)]
            if kept:
                os.truncate(path, len(header) + sum(map(len, kept)))
            else:
                path.unlink()

    def _add(self, step, values):
        for name, value in values.items():
            path = self._folder / f"{name}.tsv"
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a") as file:
                file.write("" if file.tell() else f"step\t{path.stem}\n")
                file.write(f"{step}\t{float(value)}\n")
