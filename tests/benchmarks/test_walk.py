import json
import re

from project import ROOT


def test_the_walk_starts_from_the_committed_results():
    page = (ROOT / "docs/walk.md").read_text()
    compared = re.findall(r"^\| (reports/metrics/\S+) +\| (\S+)\.(\w+) +\| (\S+) +\|", page, flags=re.M)
    assert {(name, figure) for _, name, figure, _ in compared} >= {("pairs-unseen", "top1"), ("verbs-unseen", "top1")}
    for path, name, figure, value in compared:
        assert float(value) == round(json.loads((ROOT / path).read_text())[name][figure], 3), (path, name, figure)
    rows = [line for line in (ROOT / "reports/tables/ablations.md").read_text().splitlines() if "-unseen" in line]
    assert len(rows) > 4
    for row in rows:
        assert row in page
