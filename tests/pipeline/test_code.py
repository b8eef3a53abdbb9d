"""The stage ``code``: which stages run again after a change of the code, and which do not."""

import shutil
from pathlib import Path

import nbformat
import pytest
from project import ROOT

from aurl import UserError
from aurl.pipeline import code
from aurl.project import cache

ALL = {*(path.stem for path in (ROOT / "notebooks").glob("*.ipynb")), "heads", "sphere"}


def written():
    code.write_all()
    return {path.stem: path.read_bytes() for path in Path().glob("build/*/*")}


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    """Go to a copy of the project; give the stages whose files change when ``code`` runs on other texts of files."""
    folder = tmp_path_factory.mktemp("project")
    for part in ("aurl", "notebooks"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(cache, "ROOT", folder)
        before = written()
        assert set(before) == ALL

        def changed(texts):
            kept = {name: Path(name).read_bytes() for name in texts}
            for name, text in texts.items():
                Path(name).write_text(text)
            after = written()
            for name, content in kept.items():
                Path(name).write_bytes(content)
            return {name for name, content in after.items() if content != before[name]}

        yield changed


def test_changes_that_run_nothing_again(stages):
    texts = {}
    for file, old, new in [
        ("aurl/losses.py", '"""', '"""Another first line.\n\n'),
        ("aurl/losses.py", "import torch\n", "import torch  # why\n\n"),
        ("aurl/rendered/motions.py", '"""', '"""Another first line.\n\n'),
        ("aurl/project/progress.py", "import os\n", "import os\n\nANOTHER = 1\n"),
        ("aurl/training/curves.py", "import os\n", "import os\n\nANOTHER = 1\n"),
        ("aurl/__init__.py", "__version__", "ANOTHER = 1\n__version__"),
        ("aurl/pipeline/reproduce.py", "import os\n", "import os\n\nANOTHER = 1\n"),
    ]:
        text = texts.get(file) or Path(file).read_text()
        assert old in text
        texts[file] = text.replace(old, new, 1)
    assert stages(texts) == set()


@pytest.mark.parametrize(
    ("file", "expected"),
    [("aurl/training/loop.py", {"03_train", "sphere", "heads"}),
     ("aurl/losses.py", ALL - {"01_prepare_data", "02_embed_class_names"}),
     ("aurl/figures/__init__.py", ALL - {"03_train", "sphere", "heads"}),
     ("aurl/figures/ablations.py", {"05_ablations"}),
     ("aurl/rendered/motions.py", {"01_prepare_data"}),
     ("aurl/data/video/decoding.py", ALL - {"02_embed_class_names", "05_ablations", "06_paper"}),
     ("aurl/pipeline/heads.py", {"heads"}),
     ("aurl/pipeline/notebook.py", ALL - {"sphere", "heads"}),
     ("aurl/classify/page.js", {"07_your_own_video"})],
)  # fmt: skip
def test_a_statement_runs_the_stages_that_use_it(stages, file, expected):
    assert stages({file: Path(file).read_text() + "\n\nANOTHER = 1\n"}) == expected


def test_a_notebook_that_was_run_and_saved_is_the_same_and_another_cell_is_not(stages):
    name = "notebooks/03_train.ipynb"
    document = nbformat.read(name, as_version=4)
    cells = [cell for cell in document.cells if cell.cell_type == "code"]
    cells[0].outputs, cells[0].execution_count = [nbformat.v4.new_output("stream", text="2")], 3
    cells[0].metadata |= {"scrolled": True, "execution": {"iopub.status.idle": "2026"}}
    cells[1]["id"] = "another"
    document.metadata = {"kernelspec": {"name": "other", "display_name": "Other"}}
    assert stages({name: nbformat.writes(document)}) == set()
    cells[1].source += "\n%timeit 1\n!ls\nif True:\n    %pylab"  # IPython's own commands are no mistake
    assert stages({name: nbformat.writes(document)}) == {"03_train"}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [("not json", r"^notebooks/x\.ipynb is not a notebook \(JSONDecodeError\): restore it with `git checkout`\.$"),
     ("[]", r"^notebooks/x\.ipynb is not a notebook \(TypeError\): restore it with `git checkout`\.$"),
     ('{"cells": [{"cell_type": "code", "source": ["x ="]}]}',
      r"^notebooks/x\.ipynb has a cell that is not valid Python \(invalid syntax\): correct it\.$")],
)  # fmt: skip
def test_a_broken_notebook_is_one_sentence(tmp_path, monkeypatch, content, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks/x.ipynb").write_text(content)
    with pytest.raises(UserError, match=sentence):
        code.write_all()
