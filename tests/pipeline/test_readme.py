"""No number enters the README by hand, pages point to what exists, and the table of equations is true."""

import ast
import importlib
import inspect
import re
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from aurl import config, generator, losses, metrics
from aurl.pipeline import readme

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", "DATA.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/equations.md"]


def test_readme_holds_the_generated_tables():
    """The committed tables are meant: another processor or other parameters give other ones, which are the user's."""
    found = re.findall(r"<!-- begin (\S+) -->\n(.*?)<!-- end -->", (ROOT / "README.md").read_text(), flags=re.S)
    assert len(found) >= 3
    for file, table in found:
        committed = subprocess.run(
            ["git", "show", f"HEAD:{file}"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        assert table == committed, "run `make readme`"


def test_parameters_have_the_learning_rates_that_the_search_found_best():
    table = pd.read_csv(ROOT / "reports/tables/learning_rates.csv")
    for variant, rows in table.groupby("variant"):
        best = rows.loc[rows["val_top1"].idxmax(), "lr"]
        assert config.load(ROOT / "params.yaml", variant).train.lr == best, variant


def test_filled_replaces_only_what_is_between_markers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("t.md").write_text("| new |\n")
    assert (
        readme.filled("a\n<!-- begin t.md -->\nold\n<!-- end -->\nb")
        == "a\n<!-- begin t.md -->\n| new |\n<!-- end -->\nb"
    )


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_points_to_exist(page):
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", (ROOT / page).read_text()):
        assert (ROOT / page).parent.joinpath(target).exists(), f"{page} points to {target}"


@pytest.mark.parametrize("page", [*PAGES, "params.yaml"])
def test_pages_hold_nothing_left_to_do(page):
    assert "TODO" not in (ROOT / page).read_text()


# --- the table of equations ------------------------------------------------------------------------

PAGE = ROOT / "docs/equations.md"
EQUATIONS = [
    (*re.search(r"\[`(\w+)\.(\w+)`\]\((\S+)\)", function).groups(), re.findall(r"\[`(\w+)`\]\((\S+)\)", tests))
    for _, function, tests in re.findall(r"^\| (.+?) \| (\[`.+?) \| (\[`test_.+?) \|$", PAGE.read_text(), flags=re.M)
]
NAMES = {ast.Name: "id", ast.Attribute: "attr", ast.arg: "arg"}  # kind of node -> where it has its name


def mentioned(tree, name):
    """Every name that the definition ``name`` of a module uses, also through other definitions of that module."""
    defined = {node.name: node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            defined[node.targets[0].id] = node
    found, waiting = set(), [name]
    while waiting:
        for node in ast.walk(defined[waiting.pop()]):
            used = getattr(node, NAMES.get(type(node), ""), None)
            if used and used not in found:
                found.add(used)
                waiting += [used] if used in defined else []
    return found


@pytest.mark.parametrize(
    ("module", "function", "file", "tests"), EQUATIONS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_equation_has_its_function_and_the_tests_that_prove_it(module, function, file, tests):
    defined = getattr(importlib.import_module(f"aurl.{module}"), function)
    assert callable(defined) and Path(inspect.getsourcefile(defined)).samefile(PAGE.parent / file)
    assert tests
    for test, path in tests:
        tree = ast.parse((PAGE.parent / path).read_text())
        assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f"{path} has no {test}"
        assert function in mentioned(tree, test), f"{test} does not use {module}.{function}"


def test_no_function_of_the_method_lacks_its_row():
    tabled = {f"aurl.{module}.{function}" for module, function, _, _ in EQUATIONS}
    public = {
        f"{module.__name__}.{name}"
        for module in (losses, generator, metrics)
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
        if inspect.isfunction(value) or inspect.isclass(value)
    }
    assert public - tabled == {"aurl.losses.unit", "aurl.losses.cosines"}  # the others are made of these


def test_parameter_count_is_the_one_that_the_tests_compute():
    stated = re.search(r"have ([\d,]+) parameters for (\d+) training classes", PAGE.read_text()).groups()
    tree = ast.parse((ROOT / "tests/test_models.py").read_text())
    test = next(node for node in tree.body if getattr(node, "name", "") == "test_parameter_count_of_the_papers_model")
    assert {int(stated[0].replace(",", "")), int(stated[1])} <= {
        node.value for node in ast.walk(test) if isinstance(node, ast.Constant)
    }
