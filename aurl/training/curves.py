"""Live curves of a training in DVCLive's files.

``dvc plots show`` and editors with DVC support draw them from the folder under ``plots`` in ``dvc.yaml``. They contain
timings, so they are not tracked as outputs; the history of epochs is.
"""

import os
import shutil
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

from aurl.project.progress import print_line


class Watch:
    """Writes the curves of one training; a context.

    Args:
        place: ``FOLDER/NAME``: curves go to ``FOLDER/plots/NAME``, such as ``metrics/train/total.tsv`` with a line per
            point, and the latest values to ``FOLDER/metrics/NAME.json``. With ``None``, nothing is written.
        step: the number of steps taken before. Later points of an earlier run are removed.

    Any error is reported once and never stops training.
    """

    def __init__(self, place, step=0):
        self._place, self._live = place, None
        if place is not None:
            self._try(self._begin, step)

    def log(self, step, values):
        """Add a point to each curve: ``values`` maps names such as "train/total" to numbers, ``step`` counts from 1."""
        if self._live is not None:
            self._try(self._add, step, values)

    def close(self):
        """Stop writing; logged points are already in the files."""
        self._live = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _try(self, write, *arguments):
        try:
            write(*arguments)
        except ImportError:
            self.close()
            _tell("DVCLive is missing, so `dvc plots show` has no curves: install it with `pip install dvclive`.")
        except Exception as error:  # no error may stop the training
            self.close()
            reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
            _tell(f"the curves in {self._place} cannot be written ({reason}); the training goes on without them.")

    def _begin(self, step):
        folder, name = Path(self._place).parent, Path(self._place).name
        plots, latest = folder / "plots" / name, folder / "metrics" / f"{name}.json"
        live = _writer(plots, latest)
        if not step and plots.exists():
            shutil.rmtree(plots)
        latest.unlink(missing_ok=True)  # after a kill it may be incomplete, and DVCLive fails
        latest.parent.mkdir(parents=True, exist_ok=True)
        self._live = live(str(plots), resume=True, save_dvc_exp=False, dvcyaml=None)
        for path in sorted(plots.rglob("*.tsv")):
            if last := _cut(path, step):
                name = path.relative_to(plots / "metrics").as_posix().removesuffix(".tsv")
                self._live.step = max(last[0], self._live.step)
                self._live.log_metric(name, last[1], plot=False)
        if self._live.summary:
            self._live.make_summary()

    def _add(self, step, values):
        self._live.step = step
        for name, value in values.items():
            self._live.log_metric(name, float(value))
        self._live.make_summary()


def _tell(sentence):
    with suppress(OSError):  # `print_line` may write to the same full disk
        print_line(f"aurl: {sentence}")


def _writer(plots, latest):
    """DVCLive's writer without its access to DVC, Git and a server."""
    from dvclive import Live

    class Writer(Live):
        # DVC needs a folder for plots and another for metrics; DVCLive uses one for both.
        plots_dir, metrics_file = str(plots), str(latest)

        def _init_dvc(self):
            pass

        def _init_studio(self):
            pass

    return Writer


def _cut(path, step):
    """Remove points after ``step`` and incomplete lines from one of DVCLive's files.

    Returns step and value of the last point, or removes a file without points and returns ``None``.
    """
    header, *lines = path.read_bytes().splitlines(keepends=True) or [b""]
    kept = list(takewhile(lambda line: _point(line)[0] <= step, lines))
    if not kept:
        return path.unlink()
    os.truncate(path, len(header) + sum(map(len, kept)))
    return _point(kept[-1])


def _point(line):
    """Step and value of a line; an incomplete line has an infinite step."""
    try:
        step, value = line.split(b"\t")
        if value.endswith(b"\n"):
            return int(step), float(value)
    except ValueError:
        pass
    return float("inf"), None
