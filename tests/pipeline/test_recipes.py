"""Every recipe of docs/changes.md works: its changes are made in a copy of the project, where what it tries runs.

All changes of code come together, so recipes must not disturb each other; each begins from the committed parameters.
"""

import json
import re
import subprocess
import sys

import pytest
import yaml
from project import ROOT, copy_project, environment

PAGE = (ROOT / "docs/changes.md").read_text()
RECIPES = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, flags=re.M | re.S))
BLOCK = r"(?P<before>[^\n]*)\n\n```(?P<kind>\w+)\n(?P<text>.*?)^```$"

# In one process, as importing PyTorch takes longer than all recipes together. Parameters are those of the recipe.
RUN = """
import json, runpy, shlex, sys, traceback
from pathlib import Path

failed = {}
for name, params, tries in json.loads(sys.stdin.read()):
    Path("params.yaml").write_text(params)
    try:
        for kind, text in tries:
            if kind == "python":
                exec(compile(text, name, "exec"), {"__name__": "recipe"})
            for line in text.splitlines() if kind == "bash" else []:
                python, flag, module, *sys.argv[1:] = shlex.split(line)
                assert (python, flag) == ("python", "-m"), line
                runpy.run_module(module, run_name="__main__")
    except (Exception, SystemExit):
        failed[name] = traceback.format_exc()
Path("failed.json").write_text(json.dumps(failed))
"""


def steps(recipe):
    """The blocks of a recipe as ``(kind, file, text)``; the file is the last one that is named, None below "Try it"."""
    file = None
    for found in re.finditer(BLOCK, recipe, flags=re.M | re.S):
        if found["before"].startswith("Try it"):
            file = None
        elif named := re.findall(r"`([\w/.]+\.\w+)`(?=[^`]*:$)", found["before"]):
            file = named[-1]
        yield found["kind"], file, found["text"]


def change(path, diff):
    """Make the change of a `diff` without line numbers, whose old lines must be in the file exactly once."""
    old, new = (
        "".join(line[1:] for line in diff.splitlines(keepends=True) if line[0] in kept) for kept in (" -", " +")
    )
    text = path.read_text()
    assert text.count(old) == 1 and old != new, f"{path.name} does not have, once:\n{old}"
    path.write_text(text.replace(old, new))


def laid_over(text, lines):
    """A YAML text with the ``lines`` of another laid over its sections."""

    def merged(base, over):
        both = isinstance(base, dict) and isinstance(over, dict)
        return base | {key: merged(base.get(key), value) for key, value in over.items()} if both else over

    return yaml.safe_dump(merged(yaml.safe_load(text), yaml.safe_load(lines)), sort_keys=False)


@pytest.fixture(scope="module")
def failed(tmp_path_factory):
    """What went wrong: recipe -> its traceback."""
    folder = tmp_path_factory.mktemp("recipes")
    copy_project(folder, {})
    tables = folder / "reports/tables"
    tables.mkdir(parents=True)
    (tables / "ablations.csv").write_bytes((ROOT / "reports/tables/ablations.csv").read_bytes())
    todo = []
    for name, recipe in RECIPES.items():
        params, tries = (ROOT / "params.yaml").read_text(), []
        for kind, file, text in steps(recipe):
            path = folder / (file or ".")
            if file is None:
                tries.append((kind, text))
            elif kind == "diff":
                change(path, text)
            elif file == "params.yaml":
                params = laid_over(params, text)
            elif kind == "yaml":
                path.write_text(laid_over(path.read_text(), text))
            else:
                assert not path.exists(), f"{file} is no new file"
                path.write_text(text)
        assert tries, f"{name} tries nothing"
        todo.append((name, params, tries))
    command, told = [sys.executable, "-c", RUN], json.dumps(todo)
    done = subprocess.run(command, cwd=folder, env=environment(folder), input=told, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    yaml.safe_load((folder / "dvc.yaml").read_text())
    return json.loads((folder / "failed.json").read_text())


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_works(failed, name):
    assert name not in failed, failed[name]


def test_a_change_needs_its_place(tmp_path):
    (tmp_path / "a.py").write_text("one\ntwo\n")
    change(tmp_path / "a.py", " one\n+more\n-two\n")
    assert (tmp_path / "a.py").read_text() == "one\nmore\n"
    with pytest.raises(AssertionError, match="does not have"):
        change(tmp_path / "a.py", "-two\n+three\n")
