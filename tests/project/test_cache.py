"""The cache: which code a result depends on, files that are taken or made again, and the command."""

import ast
import os
import sys
import time

import pytest
from project import ROOT

from aurl import UserError
from aurl.project import cache

LOADS = {"pickle.load", "pickle.loads", "joblib.load", "pandas.read_pickle", "pd.read_pickle", "eval", "exec"}
OUR_OWN = {  # bytes that one process of ours hands to another, and a record of a benchmark
    ("aurl/training/processes.py", "pickle.loads"),
    ("benchmarks/decoding.py", "pickle.loads"),
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package that files can be written to, in place of the project's; returns what writes a module."""
    monkeypatch.setattr(cache, "PACKAGE", "pack")
    monkeypatch.setattr(cache, "ROOT", tmp_path)

    def write(name, text, old=None):
        path = tmp_path.joinpath("pack", *name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        for folder in {path.parent, tmp_path / "pack"}:
            (folder / "__init__.py").touch()
        path.write_text(text)
        if old:
            tmp_path.joinpath("pack", *old.split(".")).with_suffix(".py").unlink()

    return write


def test_imports_are_followed_wherever_they_stand(package):
    package("a", "from pack import b\nimport os")
    package("b", "def f():\n    from pack.c import thing\n    import pack.room.d as other")
    package("c", "thing = 1")
    package("room.d", "")
    package("e", "")
    used = ["pack", "pack.a", "pack.b", "pack.c", "pack.room", "pack.room.d"]
    assert list(cache.modules_used("import pack.a", skip=())) == used
    assert list(cache.modules_used("import pack.a", skip=["pack", "pack.b"])) == ["pack.a"]
    assert list(cache.modules_used("import pack.a", skip=["pack", "pack.room."])) == ["pack.a", "pack.b", "pack.c"]
    package("b", "from . import c")
    with pytest.raises(ValueError, match=r"relative imports are not followed: write 'from \. import c' with"):
        cache.modules_used("import pack.a")


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ('"""Other words."""\n\n\ndef f(x):\n    """Says more."""\n    # why\n    return x + 1\n', True),
        ("def f(x): return (x + 1)", True),
        ("import pack.b\n\ndef f(x):\n    return x + 1", True),
        ('class C:\n    """Only words."""\n\ndef f(x):\n    return x + 1\n', False),
        ("def f(x):\n    return x + 2\n", False),
        ("import os\ndef f(x):\n    return x + 1\n", False),
    ],
)
def test_a_code_digest_changes_with_statements_only(package, changed, same):
    package("b", '"""Nothing."""')
    package("a", '"""Words."""\ndef f(x):\n    """Says."""\n    return x + 1\n')
    first = cache.code_digest("pack.a")
    package("a", changed)
    assert (cache.code_digest("pack.a") == first) == same


def test_a_code_digest_changes_with_what_is_imported_but_not_with_skipped_modules(package):
    package("a", "from pack import b\nb.x()")
    package("b", "x = 1")
    first, without = cache.code_digest("pack.a"), cache.code_digest("pack.a", skip=["pack.b"])
    package("b", "x = 2")
    assert cache.code_digest("pack.a") != first and cache.code_digest("pack.a", skip=["pack.b"]) == without


USER = """
import pack.low
from pack import middle
from pack.low import f as g

def h():
    from pack.middle import k
    return pack.low.f() + middle.k() + g() + k()

if __name__ == "__main__":
    print("python -m pack.a")
"""


def test_a_code_digest_stays_when_modules_move(package):
    package("low", "def f():\n    return 1")
    package("middle", "def k():\n    return 2")
    package("a", USER)
    first = cache.code_digest("pack.a")
    package("room.deep", "def f():\n    return 1", old="low")
    package("core", "def k():\n    return 2", old="middle")
    moved = USER.replace("pack.low", "pack.room.deep").replace("pack.a", "pack.b")
    moved = (
        moved.replace("import middle", "import core").replace("pack.middle", "pack.core").replace(" middle.", " core.")
    )
    package("b", moved, old="a")
    assert cache.code_digest("pack.b") == first
    package("b", moved.replace("core.k()", "core.f()"))
    assert cache.code_digest("pack.b") != first


@pytest.mark.parametrize(
    "user", ["from pack.{} import f", "import pack.{0}\npack.{0}.f()", "from pack import {0}\n{0}.f()"]
)
def test_a_code_digest_tells_which_module_a_name_comes_from(package, user):
    package("one", "def f():\n    return 1")
    package("two", "def f():\n    return 2")
    both = "import pack.one, pack.two\n"
    package("a", both + user.format("one"))
    first = cache.code_digest("pack.a")
    package("a", both + user.format("two"))
    assert cache.code_digest("pack.a") != first


def test_a_file_is_taken_if_it_was_made_from_the_same_inputs_and_is_undamaged(tmp_path):
    path, key, other = tmp_path / "a.npy", cache.key_of(size=1), cache.key_of(size=2)
    assert not cache.holds(path, key)
    path.write_bytes(b"made")
    assert not cache.holds(path, key)  # without a note it may have been cut short
    with cache.filling(path, key):
        path.write_bytes(b"made")
    assert cache.holds(path, key) and not cache.holds(path, other)
    for damaged in (b"cut", b"mads"):
        path.write_bytes(damaged)
        assert not cache.holds(path, key)
    path.write_bytes(b"made")
    with pytest.raises(ZeroDivisionError), cache.filling(path, key):
        raise ZeroDivisionError
    assert not cache.holds(path, key)
    with cache.filling(path, key):
        pass
    for note in ("", "[1]", "{", '{"key": 1}'):
        (tmp_path / "a.npy.key").write_text(note)
        assert not cache.holds(path, key)
    cache.remove(path)
    cache.remove(path)
    assert not list(tmp_path.iterdir())


def test_a_note_that_cannot_be_removed_is_named(tmp_path):
    (tmp_path / "file").touch()
    below = tmp_path / "file/below.npy"
    said = r"file/below\.npy cannot be written \(Not a directory\): make room"
    with pytest.raises(UserError, match=said), cache.filling(below, "key"):
        pytest.fail("written nevertheless")


def test_the_command_lists_and_clears(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["cache", *arguments])
        cache.main()
        return capsys.readouterr().out

    assert run("list") == "build/cache is empty\n"
    for kind, name in (("frames", "a.npy"), ("frames", "b.npy"), ("trainings", "aurl-0/state.pt")):
        path = cache.CACHE / kind / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with cache.filling(path, "key"):
            path.write_bytes(bytes(1_500_000))
    os.utime(cache.CACHE / "frames/a.npy", (time.time() - 172_800,) * 2)
    assert run("list").splitlines() == [
        "frames             2 files        3.0 MB, 0.0 to 2.0 days old",
        "trainings          1 files        1.5 MB, 0.0 to 0.0 days old",
    ]
    with pytest.raises(SystemExit, match=r"^aurl: build/cache holds no 'videos'; it holds frames, trainings\.$"):
        run("clear", "frames", "videos")
    assert len(run("clear", "frames").splitlines()) == 1 and not (cache.CACHE / "frames").exists()
    assert run("clear") == "build/cache is empty\n"


def test_no_file_that_may_have_been_downloaded_can_run_code():
    """Nothing but `OUR_OWN` reads a pickle; tensors come as weights only, arrays without objects, YAML as data."""
    found = set()
    for path in [*ROOT.glob("aurl/**/*.py"), *ROOT.glob("benchmarks/*.py")]:
        for call in ast.walk(ast.parse(path.read_text())):
            if not isinstance(call, ast.Call):
                continue
            name, given = ast.unparse(call.func), {own.arg: ast.unparse(own.value) for own in call.keywords}
            unsafe = name in LOADS
            unsafe |= name == "torch.load" and given.get("weights_only") != "True"
            unsafe |= name in ("np.load", "numpy.load") and given.get("allow_pickle", "False") != "False"
            unsafe |= name == "yaml.load" and "_Loader" not in [ast.unparse(own) for own in call.args]  # a SafeLoader
            if unsafe:
                found.add((path.relative_to(ROOT).as_posix(), name))
    assert found == OUR_OWN


def test_a_training_does_not_depend_on_the_code_that_finds_names():
    """Its key has the class names and vectors themselves."""
    used = cache.modules_used("import aurl.training.loop\nimport aurl.data.clips", cache.NAMES_GIVEN)
    method = ["losses", "generator", "models", "metrics", "training.loop", "training.devices", "training.inference"]
    video = ["data.clips", "data.video.reading", "data.video.decoding"]
    assert {f"aurl.{name}" for name in method + video} <= used.keys()
    others = ("aurl.text", "aurl.data.names", "aurl.project", "aurl.figures", "aurl.evaluation.protocols")
    assert not [name for name in used if name.startswith(others)]
