"""Compare regenerated metrics with the committed ones: equal where they were computed alike, else within a tolerance.

Another kind of processor, or another precision or memory layout that `auto` chose, rounds sums differently, and
training drifts from there. The tolerance is then a coarse one: it catches a pipeline that no longer learns.

    python .ci/compare.py --record      # part of `make docs`: note how results that are not committed yet were made
"""

import json
import subprocess
import sys
from pathlib import Path

from aurl.training.devices import processor

TOLERANCE = 0.15  # of accuracies in [0, 1] and of cosine distances
MADE_BY = Path(".ci/made-by.txt")


def made_by():
    """Processor and arithmetic of the results at hand."""
    arithmetic = {json.dumps(json.loads(path.read_text())["arithmetic"]) for path in Path("runs").glob("*/model.json")}
    return "\n".join([processor(), *sorted(arithmetic)]) + "\n"


def committed(path):
    shown = subprocess.run(["git", "show", f"HEAD:{path}"], capture_output=True, check=True, text=True)
    return json.loads(shown.stdout)


def main():
    alike = MADE_BY.read_text() == made_by()
    tolerance = 0 if alike else TOLERANCE
    files = sorted(Path("reports/metrics").glob("*.json"))
    assert files, "the pipeline left no metrics"
    count, worst = 0, 0.0
    for path in files:
        old, new = committed(path), json.loads(path.read_text())
        assert old.keys() == new.keys(), f"{path}: other data sets than committed"
        for name in old:
            assert old[name].keys() == new[name].keys(), f"{path}: other figures than committed"
            for figure, value in old[name].items():
                difference = abs(value - new[name][figure])
                count, worst = count + 1, max(worst, difference)
                if not difference <= tolerance:
                    now = new[name][figure]
                    sys.exit(f"{path}: {name} {figure} was {value} and is now {now} (tolerance {tolerance})")
    how = "computed alike" if alike else "computed on another processor or in other arithmetic"
    print(f"{count} figures in {len(files)} files agree with the committed ones, {how}: largest difference {worst:.4f}")


if __name__ == "__main__":
    if sys.argv[1:] == ["--record"]:
        if subprocess.run(["git", "status", "--porcelain", "reports/metrics"], capture_output=True).stdout:
            MADE_BY.write_text(made_by())
    else:
        main()
