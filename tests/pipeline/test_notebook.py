"""Stages run notebooks to the same bytes, show progress, and turn a user's mistake into one sentence."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from aurl import UserError
from aurl.pipeline import notebook


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    notebook.STAGED.mkdir(parents=True)

    def write(*cells, name="demo"):
        parameters = new_code_cell("x = 1", metadata={"tags": ["parameters"]})
        document = new_notebook(cells=[new_markdown_cell("# Demo"), parameters, *map(new_code_cell, cells)])
        document.metadata = {
            "kernelspec": {"name": "python3", "display_name": "Mine"},
            "language_info": {"name": "python", "version": "3"},
        }
        nbformat.write(document, notebook.STAGED / f"{name}.ipynb")

    return write


def outputs(path):
    return [output for cell in nbformat.read(path, as_version=4).cells for output in cell.get("outputs", [])]


def test_run_gives_parameters_the_same_bytes_and_progress_on_the_terminal_alone(project, tmp_path, capfd):
    """Kernels listen on no port that another could take: side by side, they chose the same port now and then."""
    transport = "import json, ipykernel\njson.load(open(ipykernel.get_connection_file()))['transport']"
    work = "from aurl.project.progress import bar\nfor _ in bar(range(3), desc='working'):\n    pass"
    project("x * 10", transport, work)
    notebook.run("demo", {"x": 4, "who": "me"})
    assert "working: 100%" in capfd.readouterr().err
    result = tmp_path / "reports/notebooks/demo-4-me.ipynb"
    assert [output.data["text/plain"] for output in outputs(result)] == ["40", "'ipc'"]
    first = result.read_bytes()
    notebook.run("demo", {"x": 4, "who": "me"})
    assert result.read_bytes() == first
    assert b"papermill" not in first and b"T00:" not in first


def test_users_mistake_is_one_sentence_and_no_file(project, tmp_path):
    project("from aurl import UserError\nraise UserError('fix this')")
    done = subprocess.run([sys.executable, "-m", "aurl.pipeline.notebook", "demo"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "aurl: fix this\n")
    project("from aurl.data.video import VideoError\nraise VideoError('a.mp4', 'it is empty')")
    with pytest.raises(UserError, match=r"^cannot read the video a\.mp4: it is empty$"):
        notebook.run("demo", {})
    assert not (tmp_path / "reports").exists()


def test_a_kernel_that_the_system_ends_is_one_sentence(project):
    project("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    said = "^the system ended demo, perhaps for too little memory: end other programs and repeat"
    with pytest.raises(UserError, match=said):
        notebook.run("demo", {})


def test_a_kernel_that_fails_while_it_ends_says_nothing(project, capfd, monkeypatch):
    """Its main thread may close the sockets before its control thread has told of the end; here this always fails."""
    monkeypatch.setenv("PYTHONHASHSEED", "0")  # the kernel is not forked by `preloaded`, and ends as Python does
    project(
        "import atexit, os, time\nfrom aurl import UserError\n"
        "kernel = get_ipython().kernel\npublish = kernel._publish_status_and_flush\n"
        "def wait():\n    while not os.path.exists('failed'):\n        time.sleep(0.01)\n"
        "atexit.register(wait)  # until the control thread has been there\n"
        "def closed(status, channel, *rest):\n"
        "    if (status, channel) == ('idle', 'control'):\n        open('failed', 'w').close()\n"
        "        raise OSError('not a socket')\n"
        "    publish(status, channel, *rest)\n"
        "kernel._publish_status_and_flush = closed\nraise UserError('fix this')"
    )
    with pytest.raises(UserError, match="^fix this$"):
        notebook.run("demo", {})
    assert capfd.readouterr().err == ""
    assert Path("failed").exists()


@pytest.mark.parametrize(
    ("sent", "on_interrupt", "sentence"),
    [
        (signal.SIGINT, "Path('saved').touch()", "demo was interrupted: the same command goes on where it was."),
        (signal.SIGTERM, "raise UserError('step 7 was saved')", "step 7 was saved"),  # the notebook's own sentence
        (signal.SIGTERM, "time.sleep(60)", "demo was interrupted: the same command goes on where it was."),
    ],
)
def test_an_interruption_lets_the_notebook_save_and_is_one_sentence(project, tmp_path, sent, on_interrupt, sentence):
    """Unless it takes too long, which then is killed."""
    project(
        "import time\nfrom pathlib import Path\nfrom aurl import UserError\nPath('begun').touch()\n"
        f"try:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    {on_interrupt}"
    )
    Path("hasty.py").write_text("from aurl.pipeline import notebook\nnotebook.SECONDS_TO_SAVE = 1\nnotebook.main()")
    module = "hasty" if "sleep" in on_interrupt else "aurl.pipeline.notebook"
    process = subprocess.Popen([sys.executable, "-m", module, "demo"], stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "begun").exists():
        time.sleep(0.05)
    process.send_signal(sent)
    _, said = process.communicate(timeout=30)
    lines = said.splitlines()
    assert (process.returncode, lines[-1]) == (1, f"aurl: {sentence}")
    assert sent == signal.SIGTERM or len(lines) == 1  # a killed kernel is said to be so
    assert (tmp_path / "saved").exists() == ("touch" in on_interrupt) and not (tmp_path / "reports").exists()


def test_an_interruption_before_the_first_cell_is_heard(project, tmp_path, monkeypatch):
    project("open('begun', 'w')")
    interruption = notebook._Interruption()
    monkeypatch.setattr(notebook, "_Interruption", lambda: interruption)
    interruption.asked = True
    with pytest.raises(UserError, match=r"^demo was interrupted"):
        notebook.run("demo", {})
    assert not (tmp_path / "begun").exists()


def test_programming_error_keeps_its_traceback_and_leaves_no_file(project, tmp_path):
    import papermill

    project("1 / 0")
    with pytest.raises(papermill.PapermillExecutionError, match="ZeroDivisionError"):
        notebook.run("demo", {})
    assert not (tmp_path / "reports").exists()
