"""No number enters the README by hand: what stands between its markers is what the pipeline wrote."""
import re
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from aurl import config, readme

ROOT = Path(__file__).parents[1]


def test_readme_holds_the_generated_tables():
    """The committed ones: another processor or other parameters regenerate others, which are the user's."""
    found = re.findall(r"<!-- begin (\S+) -->\n(.*?)<!-- end -->", (ROOT / "README.md").read_text(), flags=re.S)
    assert len(found) >= 3
    for file, table in found:
        committed = subprocess.run(["git", "show", f"HEAD:{file}"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert table == committed, "run `make readme`"


def test_parameters_have_the_learning_rates_that_the_search_found_best():
    table = pd.read_csv(ROOT / "reports/tables/learning_rates.csv")
    for variant, rows in table.groupby("variant"):
        assert config.load(ROOT / "params.yaml", variant).train.lr == rows.loc[rows["val_top1"].idxmax(), "lr"]


def test_filled_replaces_only_what_is_between_markers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("t.md").write_text("| new |\n")
    assert readme.filled("a\n<!-- begin t.md -->\nold\n<!-- end -->\nb") == "a\n<!-- begin t.md -->\n| new |\n<!-- end -->\nb"


def test_files_that_the_readme_and_data_page_point_to_exist():
    for page in ("README.md", "DATA.md"):
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", (ROOT / page).read_text()):
            assert (ROOT / target).exists(), f"{page} points to {target}"


@pytest.mark.parametrize("page", ["README.md", "DATA.md", "params.yaml"])
def test_pages_hold_nothing_left_to_do(page):
    assert "TODO" not in (ROOT / page).read_text()
