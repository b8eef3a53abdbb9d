"""A process that `preloaded` forks is what Python itself starts, but for the packages that it has already."""

import json
import os
import subprocess
import sys

import preloaded
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes start as always")
ORDINARY = {"PYTHONHASHSEED": "4000"}  # has to be known before the first import
ABOUT = """
import atexit, json, os, signal, subprocess, sys
atexit.register(print, "ended")
handlers = [signal.getsignal(sent) for sent in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)]
about = {
    "given": sys.argv[1:], "name": __name__, "file": __file__, "folder": os.getcwd(), "path": sys.path,
    "parent": os.getppid(), "first in session": os.getsid(0) == os.getpid(), "input": sys.stdin.read(),
    "variables": {**os.environ, "PYTHONHASHSEED": None}, "handlers": [repr(own) for own in handlers],
    "project": sorted(name for name in sys.modules if name.startswith("aurl")),
}
print(json.dumps(about), flush=True)
print("preloaded" if "torch" in sys.modules else "ordinary", file=sys.stderr)
if len(sys.argv) > 2:
    line = f"python -m about {sys.argv[2]}"
    sys.exit(subprocess.run(["bash", "--norc", "-c", line], stdin=subprocess.DEVNULL).returncode)
"""


@pytest.fixture(scope="module")
def server():
    """A server of this module, if another test has left that of the process unusable."""
    own = preloaded.CLIENT
    with pytest.MonkeyPatch.context() as patch:
        if not own.works or own.settings not in (None, preloaded.settings(os.environ)):
            for name, value in {"connection": None, "settings": None, "works": True}.items():
                patch.setattr(own, name, value)
        yield


@pytest.fixture
def program(server, tmp_path, monkeypatch):
    """Write a module; returns how to run it, with output and errors captured."""
    monkeypatch.chdir(tmp_path)

    def run(text, *arguments, name="about", **options):
        (tmp_path / f"{name}.py").write_text(text)
        options = {"capture_output": True, "text": True, "input": ""} | options
        return subprocess.run([sys.executable, "-m", name, *arguments], **options)

    return run


@pytest.mark.parametrize("session", [False, True])
def test_arguments_environment_folder_files_and_parent(program, session):
    path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    variables = os.environ | {"PATH": path, "PYTHONPATH": "/nowhere:/elsewhere", "COLOR": "red"}
    options = {"input": "some text", "start_new_session": session}
    forked = program(ABOUT, "one", "two", env=variables, **options)
    started = program(ABOUT, "one", "two", env=variables | ORDINARY, **options)
    assert (forked.stderr, started.stderr) == ("preloaded\n" * 2, "ordinary\n" * 2)
    assert (forked.returncode, started.returncode) == (0, 0)
    found, expected = (
        [json.loads(line) for line in done.stdout.splitlines() if line != "ended"] for done in (forked, started)
    )
    assert found[0] == expected[0] and found[0]["parent"] == os.getpid() and found[0]["first in session"] == session
    others = {"parent": None, "variables": None}  # a shell adds variables of its own
    assert found[1] | others == expected[1] | others and found[1]["given"] == ["two"]


@pytest.mark.parametrize(
    "line",
    ["sys.exit('a sentence')", "1 / 0", "raise KeyboardInterrupt"],
)  # fmt: skip
def test_ends(program, line):
    text = f"import os, sys\nprint('begun', flush=True)\n{line}"
    forked, started = program(text), program(text, env=os.environ | ORDINARY)
    assert (forked.returncode, forked.stdout) == (started.returncode, started.stdout)
    assert forked.stderr.splitlines()[-1:] == started.stderr.splitlines()[-1:]
