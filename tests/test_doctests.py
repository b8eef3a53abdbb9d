"""The examples in docstrings, each in the module that has it."""

import doctest
import importlib

import pytest
from project import ROOT

FILES = sorted(path.relative_to(ROOT) for path in ROOT.glob("aurl/**/*.py") if ">>> " in path.read_text())


@pytest.mark.parametrize("file", FILES, ids=str)
def test_examples_give_what_they_show(file):
    found = doctest.testmod(importlib.import_module(".".join(file.with_suffix("").parts).removesuffix(".__init__")))
    assert found.attempted and not found.failed
