"""Compare regenerated metrics with the committed ones: equal on the same kind of processor, else within a tolerance.

Another processor rounds bfloat16 products differently, and a training run drifts from there. One seed's noise on
this benchmark is a few points of accuracy, hence the tolerance.
"""
import json
import subprocess
import sys
from pathlib import Path

TOLERANCE = 0.15  # of accuracies in [0, 1] and of cosine distances


def committed(path):
    return json.loads(subprocess.run(["git", "show", f"HEAD:{path}"], capture_output=True, check=True, text=True).stdout)


def main():
    files = sorted(Path("reports/metrics").glob("*.json"))
    assert files, "the pipeline left no metrics"
    equal, worst = 0, 0.0
    for path in files:
        old, new = committed(path), json.loads(path.read_text())
        assert old.keys() == new.keys(), f"{path}: other data sets than committed"
        for name in old:
            assert old[name].keys() == new[name].keys(), f"{path}: other figures than committed"
            for figure, value in old[name].items():
                difference = abs(value - new[name][figure])
                equal += difference == 0
                worst = max(worst, difference)
                if difference > TOLERANCE:
                    sys.exit(f"{path}: {name} {figure} was {value} and is now {new[name][figure]}")
    print(f"{len(files)} metric files agree with the committed ones: {equal} figures equal, largest difference {worst:.4f}")


if __name__ == "__main__":
    main()
