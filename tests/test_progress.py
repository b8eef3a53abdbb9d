"""Progress bars go to the person who waits, never into a notebook's cells."""

import os

import pytest

from aurl import UserError, progress


def test_a_bar_is_drawn_on_the_error_stream(monkeypatch, capsys):
    monkeypatch.delenv(progress.ENVIRONMENT, raising=False)
    assert list(progress.bar([3, 1, 2], desc="counting")) == [3, 1, 2]
    out, err = capsys.readouterr()
    assert out == "" and "counting: 100%" in err


def test_a_bar_is_drawn_into_the_file_that_a_notebooks_runner_names(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv(progress.ENVIRONMENT, str(tmp_path / "bar"))
    for name in ("first", "second"):
        assert sum(progress.bar(range(3), desc=name, unit="video")) == 3
    assert capsys.readouterr() == ("", "")
    drawn = (tmp_path / "bar").read_text()
    assert "first: 100%" in drawn and "second: 100%" in drawn and "3/3" in drawn


def half(number, digits):
    """At the top of a module, so that a process can find it."""
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
