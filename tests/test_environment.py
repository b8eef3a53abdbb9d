"""The environment's files agree: pyproject.toml names packages, requirements.lock pins them, environment.yml repeats the pins."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wanted():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    return {r.name: r for r in map(Requirement, sum(extras, project["dependencies"]))}


@pytest.fixture(scope="module")
def locked():
    """name -> versions, one for each range of Python versions."""
    found = {}
    for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / "requirements.lock").read_text(), flags=re.M):
        found.setdefault(name, set()).add(version)
    return found


def test_lock_satisfies_the_project(wanted, locked):
    for name, requirement in wanted.items():
        assert name in locked, f"{name} is not locked"
        assert all(Version(version) in requirement.specifier for version in locked[name])


def test_every_locked_package_has_a_hash(locked):
    entries = re.split(r"^(?=[\w.-]+==)", (ROOT / "requirements.lock").read_text(), flags=re.M)[1:]
    assert len(entries) >= len(locked) > 100
    assert all("--hash=sha256:" in entry for entry in entries)


def test_conda_environment_repeats_the_lock(wanted, locked):
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *python, pip = environment["dependencies"]
    assert python == ["python=3.11", "pip"]
    *pins, project = pip["pip"]
    assert project == "--editable ."
    pins = dict(pin.split("==") for pin in pins)
    assert pins.keys() == wanted.keys()
    for name, version in pins.items():
        marked = re.findall(
            rf"^{re.escape(name)}==([^\s;]+) ?;? ?(.*?) ?\\$", (ROOT / "requirements.lock").read_text(), flags=re.M
        )
        assert (version, "") in marked or any(
            v == version and "python_full_version < '3.12'" in marker for v, marker in marked
        ), name


def test_what_the_user_fixed_is_there(wanted):
    assert {
        "jupyterlab",
        "papermill",
        "torch",
        "torchvision",
        "fasttext-modern",
        "matplotlib",
        "seaborn",
        "dvc",
    } <= wanted.keys()


def test_make_without_a_python_says_so_in_one_sentence(tmp_path):
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    for name in ("requirements.lock", "pyproject.toml"):
        (tmp_path / name).touch()
    done = subprocess.run(["make", "reproduce", "PYTHON="], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert done.stderr.splitlines()[0].startswith("make: Python 3.11, 3.12 or 3.13 is needed")
    assert not (tmp_path / ".venv").exists()
