"""The time of `make reproduce` in a fresh clone, on a project whose package says how long its jobs took."""

import re
import subprocess
from pathlib import Path

import pytest
from project import commit

STUB = """
import os, sys
print("a warning", file=sys.stderr)
print("03_train@aurl-0: 2.5 min", file=sys.stderr)
print("03_train@e2e-0: %s min" % ("9.0" if os.environ.get("ATEN_CPU_CAPABILITY") == "avx2" else "1.5"), file=sys.stderr)
sys.exit(os.path.exists("fail"))
"""


@pytest.fixture
def project(benchmark, monkeypatch):
    """The benchmark as a module, in a repository with a stub of the pipeline."""
    module = benchmark("pipeline")
    monkeypatch.delenv("ATEN_CPU_CAPABILITY", raising=False)  # set where the tests themselves run as on AVX2
    Path("aurl/pipeline").mkdir(parents=True)
    for name in ("aurl/__init__.py", "aurl/pipeline/__init__.py"):  # or an installed package would come first
        Path(name).touch()
    Path("aurl/pipeline/reproduce.py").write_text(STUB)
    subprocess.run(["git", "init", "-q"], check=True)
    commit(Path())
    return module


def test_each_kind_of_arithmetic_is_a_column(project):
    project.main(["--table", "durations.csv"])
    project.main(["--table", "durations.csv", "--avx2"])
    project.main(["--table", "durations.csv"])  # again: its column is replaced
    *rows, total = Path("durations.md").read_text().splitlines()
    assert rows == [
        "| minutes | float32, AVX2 | this processor |", "|---|---|---|", "| 03_train@aurl-0 | 2.5 | 2.5 |",
        "| 03_train@e2e-0 | 9.0 | 1.5 |",
    ]  # fmt: skip
    assert re.fullmatch(r"\| \*\*all, side by side\*\* \| \d\.\d \| \d\.\d \|", total)


def test_a_run_that_fails_is_no_measurement(project):
    Path("fail").touch()
    commit(Path())
    with pytest.raises(SystemExit):
        project.main(["--table", "durations.csv"])
    assert not Path("durations.csv").exists()
