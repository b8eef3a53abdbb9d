"""Live curves of a training: DVCLive's files, and TensorBoard's on request.

``dvc plots show``, ``dvc exp show`` and editors with DVC support draw DVCLive's files from the folders under ``plots``
and ``metrics`` in ``dvc.yaml``. They contain timings, so they are not tracked as outputs; the history of epochs is.
"""

import os
import shutil
import time
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

from aurl import UserError
from aurl.project.progress import print_line


class Watch:
    """Writes the curves of one training; a context.

    Args:
        place: ``FOLDER/NAME``: curves go to ``FOLDER/plots/NAME``, the latest values to ``FOLDER/metrics/NAME.json``,
            TensorBoard's log to ``FOLDER/tensorboard/NAME``. With ``None``, nothing is written.
        step: the number of steps taken before. Later points of an earlier run are removed.
        tensorboard: whether to write TensorBoard's log, too.

    Raises UserError if TensorBoard is requested and not installed. Any other error is reported once and never stops
    training.
    """

    def __init__(self, place, step=0, tensorboard=False):
        self._place, self._writers = place, []
        if place is None:
            return
        folder, name = Path(place).parent, Path(place).name
        if tensorboard:
            self._writers.append(_Board(folder / "tensorboard" / name))
        try:
            self._writers.append(_Curves(folder / "plots" / name, folder / "metrics" / f"{name}.json"))
        except ImportError:
            _tell("DVCLive is missing, so `dvc plots show` has no curves: install it with `pip install dvclive`.")
        self._each("begin", step)

    def log(self, step, values):
        """Add a point to each curve: ``values`` maps names such as "train/total" to numbers, ``step`` counts from 1."""
        self._each("log", step, values)

    def close(self):
        """Stop writing; logged points are already in the files."""
        self._writers = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _each(self, method, *arguments):
        try:
            for writer in self._writers:
                getattr(writer, method)(*arguments)
        except Exception as error:  # no error may stop the training
            self.close()
            reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
            _tell(f"the curves in {self._place} cannot be written ({reason}); the training goes on without them.")


def _tell(sentence):
    with suppress(OSError):  # `say` may write to the same full disk
        print_line(f"aurl: {sentence}")


class _Curves:
    """DVCLive's files: ``plots/metrics/train/total.tsv`` with a line per point, and ``metrics`` with the latest values.

    Only DVCLive's writer is used. The rest of it opens DVC's and Git's folders, reports on the terminal that it leaves
    them open, and sends data to a server if a token is set.
    """

    def __init__(self, plots, metrics):
        from dvclive import Live

        class Writer(Live):
            # DVC needs a folder for plots and another for metrics; DVCLive uses one for both.
            plots_dir, metrics_file = str(plots), str(metrics)

            def _init_dvc(self):
                pass

            def _init_studio(self):
                pass

        self._plots, self._metrics, self._writer = plots, metrics, Writer

    def begin(self, step):
        if not step and self._plots.exists():
            shutil.rmtree(self._plots)
        self._metrics.unlink(missing_ok=True)  # a kill may leave half of it, on which DVCLive fails
        self._metrics.parent.mkdir(parents=True, exist_ok=True)
        self._live = self._writer(str(self._plots), resume=True, save_dvc_exp=False, dvcyaml=None)
        for path in sorted(self._plots.rglob("*.tsv")):
            if last := _cut(path, step):
                name = path.relative_to(self._plots / "metrics").as_posix().removesuffix(".tsv")
                self._live.step = max(last[0], self._live.step)
                self._live.log_metric(name, last[1], plot=False)
        if self._live.summary:
            self._live.make_summary()

    def log(self, step, values):
        self._live.step = step
        for name, value in values.items():
            self._live.log_metric(name, float(value))
        self._live.make_summary()


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


class _Board:
    """TensorBoard's log, written synchronously. Raises UserError if TensorBoard is missing.

    TensorBoard's own writers use a thread, which prints a traceback on a full disk.
    """

    def __init__(self, folder):
        try:
            from tensorboard.compat.proto.event_pb2 import Event
            from tensorboard.summary.writer.record_writer import RecordWriter
        except ImportError:
            raise UserError(
                "train.tensorboard needs TensorBoard: install it with `pip install tensorboard`, or set it to false."
            ) from None
        self._folder, self._event, self._writer = folder, Event, RecordWriter

    def begin(self, step):
        if not step and self._folder.exists():
            shutil.rmtree(self._folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._path = self._folder / f"events.out.tfevents.{time.time_ns()}"  # logs are read in the order of their names
        self._add(file_version="brain.Event:2")
        self._add(step=step + 1, session_log={"status": "START"})  # hides points from this step on in earlier files

    def log(self, step, values):
        points = [{"tag": name, "simple_value": float(value)} for name, value in values.items()]
        self._add(step=step, summary={"value": points})

    def _add(self, **event):
        data = self._event(wall_time=time.time(), **event).SerializeToString()
        with open(self._path, "ab") as stream:
            self._writer(stream).write(data)
