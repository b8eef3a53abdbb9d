"""Five training steps of params.paper.yaml at its real size: 256 clips of 16x112x112, r2plus1d_18, in micro-batches.

    python benchmarks/paper_scale.py       # half an hour on two cores with bfloat16; an accelerator takes seconds

writes reports/tables/paper_scale.csv: the seconds of each step and the peak of memory. The videos are made here, in the
layout of the proxies: moving noise of 128x128 pixels, in fewer files than rows, because computing takes longer than
decoding anyway. There are as many classes as the authors trained on. The trained model is not used.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from aurl.data.clips import Clips
from aurl.data.video.reading import digest, write_video
from aurl.project import config
from aurl.project.files import write_bytes
from aurl.training import devices
from aurl.training import loop as training

CLASSES, FILES, FRAMES, WORD_DIM = 662, 64, 32, 300


def manifest(folder, rows):
    """A manifest of ``rows`` videos that share `FILES` files in ``folder``."""
    rng, paths = np.random.default_rng(0), []
    for number in range(FILES):
        picture = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        paths.append(Path(folder, f"{number}.mp4"))
        write_video(paths[-1], [np.roll(picture, 2 * shift, 1) for shift in range(FRAMES)], 25, crf=20)
    digests = [digest(path) for path in paths]
    table = pd.DataFrame({"number": range(rows)})
    return table.assign(
        id=table["number"].astype(str), path=[str(paths[i % FILES]) for i in range(rows)],
        digest=[digests[i % FILES] for i in range(rows)], **{"class": [str(i % CLASSES) for i in range(rows)]},
        first=0, frames=FRAMES, fps=25.0, duration=FRAMES / 25,
    )  # fmt: skip


class Enough(Exception):
    """Ends the training."""


def measure(params, folder, steps):
    """Seconds of the first ``steps``, and peak memory in GB (10^9 bytes) of this and the largest child process."""
    names = [str(number) for number in range(CLASSES)]
    table = manifest(folder, params.train.steps * params.train.batch)
    clips, val = (Clips(part, names, params.clip, seed=seed) for part, seed in ((table, 0), (table[:32], None)))
    words = np.random.default_rng(1).normal(size=(CLASSES, WORD_DIM)).astype(np.float32)
    times, take = [], training.Run.take_step

    def timed(*arguments):
        begin = time.perf_counter()
        found = take(*arguments)
        times.append(time.perf_counter() - begin)
        print(f"step {len(times)}: {times[-1]:.1f} s, loss {found[0]['total']:.3f}", flush=True)
        if len(times) == steps:
            raise Enough
        return found

    training.Run.take_step = timed
    try:
        training.train(params, clips, val, names, words, Path(folder, "run"), Path(folder, "scratch"))
    except Enough:
        pass
    finally:
        training.Run.take_step = take
    peak = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return times, peak * 1024 / 1e9


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--micro-batch", type=int, default=16, help="videos at a time")
    parser.add_argument("--steps", type=int, default=5)
    options = parser.parse_args()
    params = config.load("params.paper.yaml", variant="aurl", seed=0)
    params = params.replace(train={"micro_batch": options.micro_batch})
    with tempfile.TemporaryDirectory() as folder:
        times, peak = measure(params, folder, options.steps)
    table = pd.DataFrame({"step": range(1, len(times) + 1), "seconds": times})
    facts = {"micro_batch": options.micro_batch, "peak_gb": peak, "device": devices.processor(devices.best_device())}
    write_bytes(
        "reports/tables/paper_scale.csv", table.assign(**facts).to_csv(index=False, float_format="%.1f").encode()
    )
    print(f"{3600 / np.median(times):.1f} steps an hour, {peak:.1f} GB at most, torch {torch.__version__}")


if __name__ == "__main__":
    main()
