"""Progress bars go to the person who waits, never into a notebook's cells; parallel work is the same on a cluster."""

import os
import re
import signal

import distributed
import numpy as np
import pandas as pd
import pytest
import trees
from joblib.externals import loky

from aurl import UserError
from aurl.data import probing
from aurl.project import progress


def test_a_bar_is_drawn_into_the_file_that_a_notebooks_runner_names(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv(progress.ENVIRONMENT, str(tmp_path / "bar"))
    for name in ("first", "second"):
        assert sum(progress.bar(range(3), desc=name, unit="video")) == 3
    assert capsys.readouterr() == ("", "")
    drawn = (tmp_path / "bar").read_text()
    assert "first: 100%" in drawn and "second: 100%" in drawn and "3/3" in drawn


def killed(number):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_the_system_ends_is_one_sentence():
    said = "^probing: the system ended a process, perhaps for too little memory: end other"
    with pytest.raises(UserError, match=said):
        list(progress.parallel(killed, [(1,), (2,)], "probing", "video"))


def test_a_parent_process_can_show_the_last_piece_of_what_is_drawn(monkeypatch, capsys):
    """This holds for bars in bars too: no codes move the cursor, and nothing is colored."""
    monkeypatch.delenv(progress.ENVIRONMENT, raising=False)
    for _ in progress.bar(range(2), desc="outer"):
        assert list(progress.bar(range(3), desc="inner")) == [0, 1, 2]
    out, drawn = capsys.readouterr()
    assert out == "" and "\x1b" not in drawn
    pieces = [piece for piece in re.split(r"[\r\n]", drawn) if piece.strip()]
    assert all(piece.startswith(("outer:", "inner:")) for piece in pieces) and "outer: 100%" in pieces[-1]


def half(number, digits):
    """Defined at the top of a module, so that a process can find it."""
    if number < 0:
        raise UserError(f"{number} is below zero")
    return os.getpid(), round(number / 2, digits)


def test_parallel_work_keeps_its_order(capsys):
    found = list(progress.parallel(half, [(i / 10, 1) for i in range(20)], "halving", "number"))
    assert [value for _, value in found] == [round(i / 20, 1) for i in range(20)]
    assert os.getpid() not in {process for process, _ in found} and "halving: 100%" in capsys.readouterr().err


def test_an_error_in_parallel_work_arrives_whole():
    with pytest.raises(UserError, match="^-1 is below zero$"):
        list(progress.parallel(half, [(1, 1), (-1, 1), (2, 1)], "halving", "number"))


@pytest.mark.filterwarnings("ignore:.*tasks")
def test_work_that_is_given_up_waits_for_no_thread(monkeypatch):
    """The garbage collector may end it in any thread, even in one that ending the workers would wait for."""
    monkeypatch.setattr(loky, "get_reusable_executor", lambda: pytest.fail("waited for the workers"))
    given_up = progress.parallel(half, [(i, 1) for i in range(20)], "halving", "number")
    next(given_up)
    given_up.close()


@pytest.fixture(scope="module")
def cluster():
    """A Dask scheduler with two workers, each a process."""
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, protocol="tcp") as started:
        yield started.scheduler_address


def test_a_cluster_computes_the_same(cluster, monkeypatch, capsys):
    monkeypatch.setattr(progress, "CHUNK", 8)  # so that the twenty calls are three chunks
    calls = [(i / 10, 1) for i in range(20)]
    found = list(progress.parallel(half, iter(calls), "halving", "number", total=20, scheduler=cluster))
    assert [value for _, value in found] == [round(i / 20, 1) for i in range(20)]
    assert len({process for process, _ in found} - {os.getpid()}) == 2 and "20/20" in capsys.readouterr().err
    with pytest.raises(UserError, match="^-1 is below zero$"):
        list(progress.parallel(half, [(1, 1), (-1, 1)], "halving", "number", scheduler=cluster))


def test_a_cluster_probes_videos_as_this_machine_does(cluster, tmp_path, in_process):
    for k in range(5):
        trees.video(tmp_path / f"{k}.mp4", frames=10 + k)
    (tmp_path / "4.mp4").write_bytes(b"cut")
    rows = pd.DataFrame(
        {"id": range(5), "path": [str(tmp_path / f"{k}.mp4") for k in range(5)], "begin": np.nan, "end": np.nan}
    )
    there = probing.probe_all(rows, tmp_path / "there.jsonl", scheduler=cluster)
    pd.testing.assert_frame_equal(there, probing.probe_all(rows, tmp_path / "here.jsonl"))
    assert there["frames"].tolist() == [10, 11, 12, 13, 0]


@pytest.mark.parametrize(
    ("address", "reason"),
    [("tcp://127.0.0.1:9", "there is no Dask scheduler at tcp://127.0.0.1:9"), ("nonsense://x", "nonsense://x")],
)
def test_a_scheduler_that_does_not_answer_is_named(address, reason, monkeypatch):
    monkeypatch.setattr(progress, "SCHEDULER_SECONDS", 1)
    with pytest.raises(UserError, match=f"{reason}.*set prepare.scheduler to null"):
        list(progress.parallel(half, [(1, 1)], "halving", "number", scheduler=address))
