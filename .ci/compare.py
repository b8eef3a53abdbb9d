"""Compare regenerated metrics with the committed ones: equal on the processor that made them, else within a tolerance.

Another kind of processor, or another number of cores, rounds sums differently, and a training run drifts from there. The
tolerance is then a coarse one: it catches a pipeline that no longer learns.

    python .ci/compare.py --record      # after `make reproduce`, before committing new results: note the processor
"""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

TOLERANCE = 0.15  # of accuracies in [0, 1] and of cosine distances
MADE_BY = Path(".ci/processor.txt")


def processor():
    """Kind and number of cores, as far as the system tells."""
    try:
        lines = dict(
            line.split(":", 1)
            for line in Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
            if ":" in line
        )
        kind = " ".join(
            value.strip() for key, value in lines.items() if key.strip() in ("vendor_id", "cpu family", "model")
        )
    except OSError:
        kind = platform.processor()
    return f"{platform.machine()} {kind}, {len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()} cores\n"


def committed(path):
    return json.loads(
        subprocess.run(["git", "show", f"HEAD:{path}"], capture_output=True, check=True, text=True).stdout
    )


def main():
    same = MADE_BY.read_text() == processor()
    tolerance = 0 if same else TOLERANCE
    files = sorted(Path("reports/metrics").glob("*.json"))
    assert files, "the pipeline left no metrics"
    count, worst = 0, 0.0
    for path in files:
        old, new = committed(path), json.loads(path.read_text())
        assert old.keys() == new.keys(), f"{path}: other data sets than committed"
        for name in old:
            assert old[name].keys() == new[name].keys(), f"{path}: other figures than committed"
            for figure, value in old[name].items():
                count, worst = count + 1, max(worst, abs(value - new[name][figure]))
                if abs(value - new[name][figure]) > tolerance:
                    sys.exit(
                        f"{path}: {name} {figure} was {value} and is now {new[name][figure]} (tolerance {tolerance})"
                    )
    print(
        f"{count} figures in {len(files)} files agree with the committed ones, {'on the same' if same else 'on another'} kind of processor: largest difference {worst:.4f}"
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["--record"]:
        MADE_BY.write_text(processor())
    else:
        main()
