"""What a piece of code uses, and that only what a computer runs counts."""

import ast
import sys
from pathlib import Path

import pytest

from aurl.project import code

ROOT = Path(__file__).parents[2]
LOADS = {"pickle.load", "pickle.loads", "joblib.load", "pandas.read_pickle", "pd.read_pickle", "eval", "exec"}
OUR_OWN = {  # bytes that one process of ours hands to another, and a record of a benchmark
    ("aurl/training/processes.py", "pickle.loads"),
    ("benchmarks/decoding.py", "pickle.loads"),
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package that files can be written to, in place of the project's."""
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(code, "PACKAGE", "pack")
    yield lambda name, text: (tmp_path / "pack" / f"{name}.py").write_text(text)
    for name in [name for name in sys.modules if name.startswith("pack")]:
        del sys.modules[name]


def test_imports_are_followed_wherever_they_stand(package):
    package("a", "from pack import b\nimport os")
    package("b", "def f():\n    from pack.c import thing\n    import pack.d as other")
    package("c", "thing = 1")
    package("d", "")
    package("e", "")
    assert list(code.used_by("import pack.a")) == ["pack", "pack.a", "pack.b", "pack.c", "pack.d"]
    assert list(code.used_by("import pack.a", without=["pack.b"])) == ["pack", "pack.a"]


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ('"""Other words."""\n\n\ndef f(x):\n    """Says more."""\n    # why\n    return x + 1\n', True),
        ("def f(x): return (x + 1)", True),
        ('class C:\n    """Only words."""\n\ndef f(x):\n    return x + 1\n', False),
        ("def f(x):\n    return x + 2\n", False),
    ],
)
def test_digest_minds_what_runs(package, changed, same):
    package("a", '"""Words."""\ndef f(x):\n    """Says."""\n    return x + 1\n')
    first = code.digest("pack.a")
    package("a", changed)
    assert (code.digest("pack.a") == first) == same


def test_digest_minds_what_is_imported(package):
    package("a", "from pack import b")
    package("b", "x = 1")
    first, without = code.digest("pack.a"), code.digest("pack.a", without=["pack.b"])
    package("b", "x = 2")
    assert code.digest("pack.a") != first and code.digest("pack.a", without=["pack.b"]) == without


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
