"""Progress bars go to the person who waits, never into a notebook's cells."""

from aurl import progress


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
