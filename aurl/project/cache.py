"""The cache ``build/cache``: slow results, each with a key of its inputs.

    python -m aurl.project.cache list
    python -m aurl.project.cache clear [KIND ...]

A key (`key_of`) is a digest of all inputs of a result: data, parameters, versions of packages, and code
(`code_digest`). A note next to each file has its key and the digest of its content. Files that are damaged or have
other inputs are made again. Deleting the cache costs time and changes no result.
"""

import argparse
import ast
import functools
import hashlib
import json
import re
import shutil
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from aurl import UserError
from aurl.project.files import sha256, unwritable, write_bytes
from aurl.project.paths import CACHE

PACKAGE = __name__.partition(".")[0]
ROOT = Path(__file__).parents[2]  # the folder that holds the package
NO_NUMBERS = (PACKAGE, f"{PACKAGE}.project.", f"{PACKAGE}.training.curves")  # modules that change no result
NAMES_GIVEN = (*NO_NUMBERS, f"{PACKAGE}.text.", f"{PACKAGE}.data.names.")  # where a key has names and vectors


def key_of(**inputs):
    """A digest of all inputs of a result, which are JSON values.

    >>> key_of(size=64, paths=["a"]) == key_of(paths=["a"], size=64) != key_of(size=48, paths=["a"])
    True
    """
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def holds(path, key):
    """Whether the file ``path`` is undamaged and has the inputs of ``key``, according to the note of `filling`."""
    path = Path(path)
    try:
        return json.loads(_note(path).read_text()) == {"key": key, "sha256": sha256(path)}
    except (OSError, ValueError):
        return False


@contextmanager
def filling(path, key):
    """After the body has written the file ``path``, note that it has the inputs of ``key``.

    If the body fails or is killed, the file has no note. Raises UserError for a note that cannot be written.
    """
    path = Path(path)
    try:
        _note(path).unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(path, error) from None
    yield
    write_bytes(_note(path), json.dumps({"key": key, "sha256": sha256(path)}).encode())


def remove(path):
    """Remove a file of the cache and its note."""
    _note(Path(path)).unlink(missing_ok=True)
    Path(path).unlink(missing_ok=True)


def _note(path):
    return path.with_name(f"{path.name}.key")


# --- digests of code --------------------------------------------------------------------------------------------------


def code_digest(*modules, skip=NO_NUMBERS):
    """A digest of the statements of ``modules`` and of all modules of the package that they import.

    Comments, docstrings, layout, and the names and folders of modules do not change it. ``modules`` are names such as
    "aurl.training.loop"; names in ``skip`` are left out, and a name with a dot at its end is a folder.
    """
    used = modules_used("\n".join(f"import {name}" for name in modules), skip)
    tokens = {name: hashlib.sha256(_statements(path).encode()).hexdigest() for name, path in used.items()}
    return hashlib.sha256("\n".join(sorted({_statements(path, tokens) for path in used.values()})).encode()).hexdigest()


def modules_used(source, skip=NO_NUMBERS):
    """The modules of the package that Python ``source`` imports, directly or not: name -> path of the file.

    Packages that contain a module are imported with it. ``skip`` is as in `code_digest`.
    """
    found, waiting = {}, set(_imports(ast.parse(source)))
    while waiting:
        name = waiting.pop()
        if name not in found and not any(
            name == one or (one[-1] == "." and f"{name}.".startswith(one)) for one in skip
        ):
            found[name] = _path(name)
            waiting |= set(_parsed(found[name])[1])
    return dict(sorted(found.items()))


def _imports(tree):
    """The modules of the package that a syntax tree imports, and the packages that contain them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            raise ValueError(f"relative imports are not followed: write {ast.unparse(node)!r} with the package's name")
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for parts in (name.split(".") for name in names):
            every = (".".join(parts[:end]) for end in range(1, len(parts) + 1))
            yield from filter(_path, every)


def _path(name):
    """The file of a module of the package, None for other names; importing it to find out would be slow."""
    if name.partition(".")[0] != PACKAGE:
        return None
    file = ROOT.joinpath(*name.split("."))
    found = [path for path in (file.with_suffix(".py"), file / "__init__.py") if path.is_file()]
    return found[0] if found else None


def _parsed(path):
    """The text of a module and the modules of the package that it imports."""
    return _parse(path, path.stat().st_mtime_ns, path.stat().st_size)


@functools.lru_cache(maxsize=1000)
def _parse(path, _time, _size):
    source = path.read_text()
    return source, tuple(sorted(set(_imports(ast.parse(source)))))


def _statements(path, tokens=MappingProxyType({})):
    """The statements of a module as text, with tokens (or "_") in place of modules of the package."""
    source, imported = _parsed(path)
    return _normalized(source, tuple((name, tokens[name]) for name in imported if name in tokens))


@functools.lru_cache(maxsize=1000)
def _normalized(source, tokens):
    return _Statements(ast.parse(source), dict(tokens)).text


class _Statements(ast.NodeTransformer):
    """Removes docstrings and imports of the package from a tree, and replaces names of modules by tokens."""

    def __init__(self, tree, tokens):
        self.tokens, self.imported, self.bound = tokens, set(), {}  # bound: names that stand for modules
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                self.bound |= {own.asname: own.name for own in node.names if own.asname and _path(own.name)}
            elif isinstance(node, ast.ImportFrom):
                own = {own.asname or own.name: f"{node.module}.{own.name}" for own in node.names}
                self.bound |= {name: module for name, module in own.items() if _path(module)}
        rest = ast.unparse(self.visit(tree))
        self.text = "\n".join([*sorted(self.imported), rest]) if rest or self.imported else ""

    def _token(self, module):
        return f"_{self.tokens.get(module, '')}"

    def visit_Import(self, node):
        node.names = [own for own in node.names if not _path(own.name)]
        return node if node.names else None  # each use of the module is replaced by its token

    def visit_ImportFrom(self, node):
        if not _path(node.module):
            return node
        for own in node.names:
            if not _path(f"{node.module}.{own.name}"):
                self.imported.add(f"from {self._token(node.module)} import {own.name} as {own.asname or own.name}")
        return None

    def visit_Name(self, node):
        return ast.Name(self._token(self.bound[node.id])) if node.id in self.bound else node

    def visit_Attribute(self, node):
        root = node
        while isinstance(root, ast.Attribute):
            root = root.value
        if isinstance(root, ast.Name) and root.id == PACKAGE and _path(name := ast.unparse(node)):
            return ast.Name(self._token(name))
        return self.generic_visit(node)

    def visit_Constant(self, node):
        if isinstance(node.value, str):
            node.value = re.sub(rf"\b{PACKAGE}(\.\w+)+", "_", node.value)
        return node

    def generic_visit(self, node):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documented and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
        node = super().generic_visit(node)
        if getattr(node, "body", None) == [] and not isinstance(node, ast.Module):
            node.body = [ast.Pass()]
        return node


# --- the command ------------------------------------------------------------------------------------------------------


def table():
    """The lines of ``list``: every kind of result with its number of files, size and age."""
    for folder in sorted(path for path in CACHE.glob("*") if path.is_dir()):
        stats = [path.stat() for path in folder.rglob("*") if path.is_file() and path.suffix != ".key"]
        if stats:
            ages = [(time.time() - bound(own.st_mtime for own in stats)) / 86400 for bound in (min, max)]
            size = sum(own.st_size for own in stats) / 1e6
            yield f"{folder.name:12} {len(stats):7} files {size:10.1f} MB, {ages[1]:.1f} to {ages[0]:.1f} days old"


def clear(*kinds):
    """Remove these kinds of results, or all. Raises UserError for an unknown kind."""
    known = [path.name for path in CACHE.glob("*") if path.is_dir()]
    for kind in kinds:
        if kind not in known:
            raise UserError(f"{CACHE} holds no {kind!r}; it holds {', '.join(sorted(known)) or 'nothing'}.")
    for kind in kinds or known:
        shutil.rmtree(CACHE / kind)


def main():
    parser = argparse.ArgumentParser(prog="python -m aurl.project.cache", description="List or clear build/cache.")
    parser.add_argument("action", choices=["list", "clear"])
    parser.add_argument("kind", nargs="*", help="kinds of results to clear, as listed (default: all)")
    arguments = parser.parse_args()
    try:
        if arguments.action == "clear":
            clear(*arguments.kind)
        print("\n".join(table()) or f"{CACHE} is empty")
    except (UserError, OSError) as error:
        sys.exit(f"aurl: {error}")


if __name__ == "__main__":
    main()
