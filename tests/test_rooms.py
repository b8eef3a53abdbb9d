"""The layout of the package: imports run downward only, and no file imports itself through others."""

import ast
from graphlib import CycleError, TopologicalSorter

import pytest
from project import ROOT

METHOD = ["losses", "generator", "metrics", "models", "backbones", "rivals"]
ROOMS = ["project", "text", "data", "rendered", "training", "evaluation", "figures", "classify", "pipeline"]  # upward


def imports():
    """Every module of the package, as a dict: name -> the modules of the package that it imports."""
    files = {}
    for path in (ROOT / "aurl").rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        files[name] = ast.walk(ast.parse(path.read_text()))
    found = {}
    for name, nodes in files.items():
        named = set()
        for node in nodes:
            if isinstance(node, ast.Import):
                named |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                own = {f"{node.module}.{alias.name}" for alias in node.names}
                named |= {one if one in files else node.module for one in own}
        found[name] = {one for one in named if one in files} - {name}
    return found


def floor(name):
    """0 for the method, then the rooms in their order."""
    room = name.split(".")[1] if "." in name else "losses"
    return 0 if room in METHOD else 1 + ROOMS.index(room)


@pytest.fixture(scope="module")
def arrows():
    return imports()


def test_the_package_has_the_method_and_rooms():
    names = {path.stem for path in (ROOT / "aurl").iterdir() if path.name not in ("__init__.py", "__pycache__")}
    assert names == {*METHOD, *ROOMS}


def test_imports_run_downward(arrows):
    assert len(arrows) > 40
    upward = [(name, one) for name, own in arrows.items() for one in own if floor(one) > floor(name)]
    assert not upward


def test_no_module_imports_itself_through_others(arrows):
    packages = {name for name in arrows if (ROOT / name.replace(".", "/") / "__init__.py").exists()}
    graph = {name: {one for one in own if one not in packages} for name, own in arrows.items() if name not in packages}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"circle: {error.args[1]}")
