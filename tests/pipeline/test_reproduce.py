"""Stages side by side: each once, trainings before what needs them, and a failure is one sentence; test_pipeline runs it."""

import threading
import time
from types import SimpleNamespace

import pytest

from aurl import UserError
from aurl.pipeline import reproduce

RUN = SimpleNamespace(variants=["aurl", "e2e", "frozen"], seeds=[0, 1])


@pytest.fixture
def calls(monkeypatch):
    """The stages that were run, as (begin or end, name); a stage named in ``calls.failing`` fails."""
    log, lock = [], threading.Lock()

    class Job:
        failing = ()

        def __init__(self, folder, *arguments, name):
            self.name = name

        def run(self):
            with lock:
                log.append(("begin", self.name))
            time.sleep(0.01)
            with lock:
                log.append(("end", self.name))
            if self.name in self.failing:
                raise UserError(f"{self.name} failed")

    monkeypatch.setattr(reproduce, "Job", Job)
    monkeypatch.setattr(reproduce.joblib, "cpu_count", lambda: 4)
    log_of = SimpleNamespace(log=log, job=Job)
    return log_of


def test_every_stage_runs_once_and_after_what_it_needs(calls, tmp_path):
    reproduce.side_by_side(tmp_path, RUN, SimpleNamespace(threads=2), {"aurl-0": "sphere@aurl"})
    begun = [name for what, name in calls.log if what == "begin"]
    runs = [f"{variant}-{seed}" for variant in RUN.variants for seed in RUN.seeds]
    expected = [f"{stage}@{run}" for stage in ("03_train", "04_evaluate") for run in runs]
    assert sorted(begun) == sorted(["data and class names", "sphere@aurl", *expected])
    assert calls.log[:2] == [("begin", "data and class names"), ("end", "data and class names")]
    for run in runs:
        assert calls.log.index(("end", f"03_train@{run}")) < calls.log.index(("begin", f"04_evaluate@{run}"))
    assert calls.log.index(("end", "03_train@aurl-0")) < calls.log.index(("begin", "sphere@aurl"))


@pytest.mark.parametrize(("threads", "most"), [(1, 4), (2, 2), (3, 1), (8, 1), (None, 1)])
def test_as_many_at_a_time_as_there_are_cores_for(calls, tmp_path, threads, most):
    reproduce.side_by_side(tmp_path, RUN, SimpleNamespace(threads=threads))
    running, peak = 0, 0
    for what, _ in calls.log:
        running += 1 if what == "begin" else -1
        peak = max(peak, running)
    assert peak == most


def test_after_a_failure_no_other_stage_is_begun(calls, tmp_path):
    calls.job.failing = ("03_train@aurl-0",)
    with pytest.raises(UserError, match="^03_train@aurl-0 failed$"):
        reproduce.side_by_side(tmp_path, RUN, SimpleNamespace(threads=2))
    begun = [name for what, name in calls.log if what == "begin"]
    assert len(begun) < 1 + 6 and not [name for name in begun if name.startswith("04")]
    assert len(begun) == len(calls.log) / 2  # those that ran were waited for


def test_pieces_are_lines_and_states_of_progress_bars():
    import io

    class Slow(io.BytesIO):
        def read1(self, *_):
            return super().read(3)

    text = "one\rtwo\r\n\nthrée: 50%|█\rend"
    assert list(reproduce._pieces(Slow(text.encode()))) == ["one", "two", "thrée: 50%|█", "end"]
