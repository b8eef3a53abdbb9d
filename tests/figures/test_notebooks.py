"""The cells of the notebooks: narrow enough to be read without scrolling, and no figure stands without words."""

from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_lines_are_narrow_and_figures_are_followed_by_what_they_show(path):
    cells = nbformat.read(path, as_version=4).cells
    code = [line for cell in cells if cell.cell_type == "code" for line in cell.source.splitlines()]
    assert not [line for line in code if len(line) > 88]
    drawn = [place for place, cell in enumerate(cells) if "figures.save(" in cell.source]
    for place in drawn:
        after = cells[place + 1]
        assert after.cell_type == "markdown" and not after.source.startswith("#"), cells[place].source
