"""A small copy of the project in a git repository of its own, for tests that run the pipeline."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

from aurl.classify import command

ROOT = Path(__file__).parents[2]
GLOVE = ROOT / "data/vectors/glove-6b-100d-actions.bin"
PARTS = [
    "aurl", "notebooks", "data/vectors", "data/embeddings", "data/local", "data/descriptions.yaml",
    "reports/studies/pairs", ".dvc/config", "dvc.yaml", ".dvcignore", ".gitignore",
]  # fmt: skip
GIT = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org"]


def copy_project(folder, change, params="params.yaml"):
    """The project with its parameter file ``params`` changed as `write` does, and without its site."""
    for name in PARTS:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    write(folder, change, params)
    stages, found, _ = (folder / "dvc.yaml").read_text().partition("  site:\n")  # the last one
    assert found  # it needs documents, and takes long; tests/docs/test_report.py makes a small one
    (folder / "dvc.yaml").write_text(stages)
    subprocess.run([*GIT, "init", "-q"], cwd=folder, check=True)


def write(folder, change, params="params.yaml"):
    """The project's ``params`` with the values of ``change`` in its sections, as the folder's params.yaml."""
    values = yaml.safe_load((ROOT / params).read_text())
    for section, own in change.items():
        values[section] = values.get(section, {}) | own
    (folder / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))


def link_data(folder):
    """Give ``folder`` the project's word vectors, class vectors and descriptions."""
    (folder / "data").mkdir(parents=True)
    for name in ("vectors", "embeddings", "descriptions.yaml"):
        (folder / "data" / name).symlink_to(ROOT / "data" / name)


def chapter(name, **parameters):
    """Run a notebook's cells in this process, because starting another takes longer. Returns the notebook's names."""
    known = {"display": lambda shown: shown}
    for cell in nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4).cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, name, "exec"), known)
            if "parameters" in cell.metadata.get("tags", []):
                known |= parameters
    return known


def ended(*arguments):
    """What ``aurl ARGUMENTS`` ends with in this process: its exit code, or the sentence that says what is wrong."""
    with pytest.raises(SystemExit) as found:
        command.main(arguments)
    return found.value.code


def commit(folder):
    subprocess.run([*GIT, "add", "-A"], cwd=folder, check=True)
    subprocess.run([*GIT, "commit", "-qm", "smoke"], cwd=folder, check=True)


def environment(folder):
    """The environment variables of a user in ``folder`` who has activated the project's environment."""
    return os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(folder),
        "OMP_NUM_THREADS": "1",
    }


def dvc(*arguments, cwd, check=True, **variables):
    """DVC's command. Its stages use one core, as starting processes for small work takes longer than the work.

    ``variables`` are set in its environment.
    """
    command = [sys.executable, "-m", "dvc", *arguments]
    alone = environment(cwd) | {"LOKY_MAX_CPU_COUNT": "1"} | variables
    done = subprocess.run(command, cwd=cwd, env=alone, capture_output=True, text=True)
    assert not check or done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done
