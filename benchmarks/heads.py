"""The time of a training of heads on precomputed features of Kinetics' size, on one core.

    python benchmarks/heads.py        # about twenty minutes, 6 GB of memory and 1.2 GB of disk

writes reports/tables/heads_speed.csv and .md. 521,647 videos of 662 classes, as in the authors' training, have random
vectors near their class, in a file for `aurl.data.readers.features`. params.yaml gives the heads of `aurl` and the
epochs; the batch has the paper's 256 videos. The trained heads mean nothing.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from aurl.data.features import FixedFeatures
from aurl.data.readers import features
from aurl.pipeline import heads
from aurl.project import config
from aurl.project.files import write_bytes
from aurl.project.markdown import markdown_table
from aurl.training import devices
from aurl.training.loop import train_in_memory

VIDEOS, CLASSES, HELD_BACK, DIM, BATCH, WORDS = 521_647, 662, 5, 512, 256, 300
TABLE = Path("reports/tables/heads_speed.csv")


def make(path):
    """Write the features; the first ones of each class are held back to validate."""
    rng = np.random.default_rng(0)
    labels = np.arange(VIDEOS) % CLASSES
    values = rng.standard_normal((VIDEOS, DIM), np.float32)
    values += rng.standard_normal((CLASSES, DIM), np.float32)[labels]
    splits = np.where(np.arange(VIDEOS) < HELD_BACK * CLASSES, "val", "train")
    features.save(path, values, [f"class {label}" for label in labels], [f"{i:06d}" for i in range(VIDEOS)], splits)


def measure(params, folder):
    """Seconds of each step, by name."""
    path, seconds = Path(folder, "kinetics.npz"), {}
    make(path)

    def timed(step, function, *arguments):
        begin = time.perf_counter()
        found = function(*arguments)
        seconds[step] = time.perf_counter() - begin
        return found

    def both(table):
        return [FixedFeatures(table[table["split"] == split], names, 1, seed) for split, seed in parts.items()]

    names, parts = [f"class {label}" for label in range(CLASSES)], {"train": 0, "val": None}
    table = timed("listing the videos, with a digest of each", features.read, path)
    clips, val = timed("reading their features", both, table)
    words = np.random.default_rng(1).standard_normal((CLASSES, WORDS), np.float32)
    timed(f"training, {params.train.epochs} epochs", train_in_memory, params, clips, val, names, words)
    return seconds | {"all": sum(seconds.values())}


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    torch.set_num_threads(1)
    params = config.load(variant="aurl", sections=heads.SECTIONS)
    params = params.replace(model={"backbone": config.FEATURES}, train={"batch": BATCH})
    with tempfile.TemporaryDirectory() as folder:
        seconds = measure(params, folder)
    table = pd.DataFrame({"step": list(seconds), "minutes": [took / 60 for took in seconds.values()]})
    text = markdown_table(["step", "minutes"], [[row.step, f"{row.minutes:.1f}"] for row in table.itertuples()])
    write_bytes(TABLE, table.assign(processor=devices.processor()).to_csv(index=False, float_format="%.2f").encode())
    write_bytes(TABLE.with_suffix(".md"), text.encode())
    print(text, end="")


if __name__ == "__main__":
    main()
