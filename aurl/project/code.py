"""The modules of the package that code uses, and a digest of them that comments and docstrings do not change."""

import ast
import hashlib
from importlib.util import find_spec
from pathlib import Path

PACKAGE = __name__.partition(".")[0]


def used_by(source, without=()):
    """The modules of the package that Python ``source`` imports, directly or through others, as a dict name -> Path.

    Modules in ``without``, and what only they import, are left out. A package's ``__init__`` is one of its modules'
    imports.
    """
    found, waiting = {}, _imports(ast.parse(source))
    while waiting:
        name = waiting.pop()
        if name in found or name in without:
            continue
        found[name] = Path(find_spec(name).origin)
        waiting |= _imports(ast.parse(found[name].read_text()))
    return dict(sorted(found.items()))


def digest(*modules, without=()):
    """A digest of these modules and all that they use; comments, docstrings and layout do not change it."""
    used = used_by("\n".join(f"import {name}" for name in modules), without)
    sources = {name: ast.unparse(_without_docstrings(ast.parse(path.read_text()))) for name, path in used.items()}
    return hashlib.sha256(repr(sources).encode()).hexdigest()


def _imports(tree):
    """The package's modules that a syntax tree imports, and the packages that they lie in."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(
                    f"relative imports are not followed: write {ast.unparse(node)!r} with the package's name"
                )
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    parts = [name.split(".") for name in names if name.split(".")[0] == PACKAGE]
    every = {".".join(part[:end]) for part in parts for end in range(1, len(part) + 1)}
    return {name for name in every if _is_module(name)}


def _is_module(name):
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # a function's name below a module that is no package
        return False


def _without_docstrings(tree):
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return tree
