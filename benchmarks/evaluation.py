"""The time of every protocol from stored features, at the size of UCF101 and HMDB51 with 1 and 25 clips per video.

    python benchmarks/evaluation.py        # half a minute

writes reports/tables/evaluation.csv and .md. 20,086 videos of 101 and 51 classes, and 5 held-out videos of each of 662
training classes, have random features with the paper's 2048 dimensions. As in chapter 4, they are stored as means over
clips, so the time does not depend on the clips per video. The time includes reading the features, every figure of
chapter 4's report with 2000 resamples, predictions and tables of classes, but no drawing. The figures mean nothing.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from aurl.evaluation import protocols
from aurl.project.files import write_bytes
from aurl.project.markdown import markdown_table
from aurl.training import devices

SETS = {"ucf101": (13_320, 101, 31), "hmdb51": (6_766, 51, 22)}  # videos, classes, TruZe's unseen classes
SEEN, HELD_BACK, DIM, CLIPS, BOOTSTRAP = 662, 5, 2048, (1, 25), 2000
TABLE = Path("reports/tables/evaluation.csv")


def made(videos, classes, rng):
    """Features near their class, so that about half of the answers are right."""

    def unit(rows):
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    names = unit(rng.standard_normal((classes, DIM), np.float32))
    labels = np.sort(np.concatenate([np.arange(classes), rng.integers(classes, size=videos - classes)]))
    noise = rng.standard_normal((videos, DIM), np.float32) * np.float32(DIM**-0.5)
    return {"video": unit(names[labels] + 18 * noise), "classes": names, "labels": labels}


def measure(folder):
    """Seconds of each step, by name, over all sets and numbers of clips."""
    rng, seconds = np.random.default_rng(0), {}
    for count in CLIPS:
        for name, (videos, classes, *_) in (SETS | {"seen": (SEEN * HELD_BACK, SEEN)}).items():
            protocols.save(Path(folder, f"{name}-{count}.npz"), made(videos, classes, rng))

    def timed(step, function, *arguments, **options):
        begin = time.perf_counter()
        found = function(*arguments, **options)
        seconds[step] = seconds.get(step, 0) + time.perf_counter() - begin
        return found

    for count in CLIPS:
        seen = timed("reading features", protocols.load, Path(folder, f"seen-{count}.npz"))
        timed("own classes compete", protocols.report, seen, BOOTSTRAP)
        for name, (videos, classes, tested) in SETS.items():
            own = timed("reading features", protocols.load, Path(folder, f"{name}-{count}.npz"))
            names = [f"class {place}" for place in range(classes)]
            timed("own classes compete", protocols.report, own, BOOTSTRAP, truze=range(tested))
            timed("seen classes compete, too", protocols.generalized, seen, own, {})
            timed("table of classes", protocols.per_class, own, names)
            table = timed("predictions", protocols.predictions, own, range(videos), names)
            timed("predictions", protocols.save_predictions, Path(folder, f"{name}-{count}.csv"), table)
    return seconds | {"all": sum(seconds.values())}


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seconds = measure(folder)
    table = pd.DataFrame({"step": list(seconds), "seconds": list(seconds.values())})
    text = markdown_table(["step", "seconds"], [[step, f"{took:.2f}"] for step, took in seconds.items()])
    write_bytes(TABLE, table.assign(processor=devices.processor()).to_csv(index=False, float_format="%.2f").encode())
    write_bytes(TABLE.with_suffix(".md"), text.encode())
    print(text, end="")


if __name__ == "__main__":
    main()
