"""Clips per second and core at the paper's clip size, through the data loader of the training.

    python benchmarks/loader.py      # about 3 minutes on two cores

writes reports/tables/loader.csv and loader.md. The videos have the size of Kinetics: 10 seconds of 340x256 pixels at 30
frames per second in H.264, with the moving scenes of benchmarks/decoding.py. `prepare.proxies` and `clip` of
params.paper.yaml describe proxies and clips: 16 consecutive frames of 112x112 pixels. Clips begin at random. One worker
process reads them, then one for each core.

A rate covers all work between a file and the training step: finding the frames, decoding, resizing, stacking a batch,
and its transfer in shared memory. It excludes the start of the processes, whose first batches are left out, and
normalization, which the device does. All settings take turns, and the median counts. Files are in the system's cache
and their digests have been compared, as after the first epoch.
"""

import argparse
import math
import os
import sys
import tempfile
import time
from pathlib import Path

import joblib
import pandas as pd
from decoding import KINDS, encode  # benchmarks/decoding.py

from aurl.data import proxies
from aurl.data.clips import Clips
from aurl.data.probing import probe_files
from aurl.project import config
from aurl.project.files import write_bytes
from aurl.project.markdown import markdown_table
from aurl.project.progress import bar, parallel
from aurl.training.devices import keep_memory

TABLE = Path("reports/tables/loader.csv")
KIND = "H.264 340x256"
VIDEOS, FPS, SECONDS = 48, 30, 10
BATCH = 32
CLIPS = {"original": 96, "proxy": 384}  # per worker process in one pass of some seconds
CROPS = ("squash", "crop")
REPEATS = 5
TARGET = 1000  # clips per second; the table gives the cores that this needs


def make(folder, count, frames, settings):
    """Manifests of ``count`` videos and of their proxies, made in ``folder`` with ``settings`` (`prepare.proxies`)."""
    suffix, codec, options, width, height = KINDS[KIND]
    paths = [f"{folder}/{seed}.{suffix}" for seed in range(count)]
    calls = [(path, codec, options, width, height, frames, FPS, seed) for seed, path in enumerate(paths)]
    list(parallel(encode, calls, "videos", "video"))
    rows = pd.DataFrame({"id": [f"proxies/{seed}" for seed in range(count)], "class": "any", "path": paths, "first": 0})
    rows = pd.concat([rows, probe_files(paths, f"{folder}/probed")], axis=1)
    copies = proxies.make_all(rows, folder, settings.side, settings.keyframe, settings.crf, f"{folder}/probed-proxies")
    for table in (rows, copies):
        assert (table["status"] == "ok").all() and (table["frames"] == frames).all()
    return {"original": rows, "proxy": copies}


def dataset(manifest, clip, count):
    """`Clips` of ``count`` random clips, from all videos in turn, whose digests have been compared."""
    clips = Clips(manifest.iloc[[i % len(manifest) for i in range(count)]], ["any"], clip, seed=0)
    for i in range(min(count, len(manifest))):
        clips[i]
    return clips


def rate(clips, batch, compute, workers):
    """Clips per second of ``workers`` processes, after the first batch of each."""
    loader = clips.batches(batch, compute=compute.model_copy(update={"workers": workers}))
    if loader.num_workers != workers:
        sys.exit(f"{workers} worker processes are wanted and {loader.num_workers} fit the memory: free some.")
    count = 0
    for number, (videos, *_) in enumerate(loader, 1):
        if number > workers:
            count += len(videos)
        elif number == workers:
            begin = time.perf_counter()
    return count / (time.perf_counter() - begin)


def measure(manifests, params, clips, batch, crops, workers, repeats):
    """One row per kind of file, ``clip.crop`` and number of worker processes."""
    settings = [(kind, crop, number) for kind in manifests for crop in crops for number in workers]
    sets, rates = {}, {setting: [] for setting in settings}
    with bar(total=(1 + repeats) * len(settings), desc="measuring", unit="pass") as progress:
        for kind, crop, number in settings:
            own = params.clip.model_copy(update={"crop": crop})
            sets[kind, crop, number] = dataset(manifests[kind], own, clips[kind] * number)
            progress.update()
        for _ in range(repeats):
            for setting in settings:
                rates[setting].append(rate(sets[setting], batch, params.compute, setting[-1]))
                progress.update()
    table = pd.DataFrame(settings, columns=["video", "crop", "workers"])
    found = pd.DataFrame(rates.values())
    table["clips_per_second"] = found.median(axis=1)
    table["lowest"], table["highest"] = found.min(axis=1), found.max(axis=1)
    size = {kind: rows["path"].map(os.path.getsize).mean() / 1e3 for kind, rows in manifests.items()}
    return compared(table.assign(kilobytes=table["video"].map(size)))


def compared(table):
    """Add clips per second and core, and their ratio to the originals."""
    own = table[table["video"] == "original"].set_index(["crop", "workers"])["clips_per_second"]
    places = pd.MultiIndex.from_frame(table[["crop", "workers"]])
    return table.assign(
        per_core=table["clips_per_second"] / table["workers"],
        times_original=table["clips_per_second"] / own.reindex(places).to_numpy(),
    )


def fed(table, video="proxy"):
    """Clips per second and core when all cores work, for squashed pictures."""
    rows = table[(table["video"] == video) & (table["crop"] == "squash")]
    return rows.loc[rows["workers"].idxmax(), "per_core"]


def markdown(table):
    columns = ["clips from", "clip.crop", "worker processes", "clips / s", "lowest to highest"]
    columns += ["clips / s, per process", "times the original", "kB per video"]
    lines = []
    for row in table.itertuples():
        cells = [row.video, row.crop, str(row.workers), f"{row.clips_per_second:.1f}"]
        cells += [f"{row.lowest:.1f} to {row.highest:.1f}", f"{row.per_core:.1f}", f"{row.times_original:.1f}"]
        lines.append([*cells, f"{row.kilobytes:,.0f}"])
    proxy, original = (math.ceil(TARGET / fed(table, video)) for video in ("proxy", "original"))
    return (
        markdown_table(columns, lines, left=2)
        + f"\n{TARGET:,} clips a second, squashed, need {proxy} cores from proxies and {original} from originals.\n"
    )


def main():
    keep_memory()  # as training does
    params = config.load("params.paper.yaml", sections=["prepare", "clip", "compute"])
    with tempfile.TemporaryDirectory() as folder:
        manifests = make(folder, VIDEOS, FPS * SECONDS, params.prepare.proxies)
        workers = sorted({1, joblib.cpu_count()})
        table = measure(manifests, params, CLIPS, BATCH, CROPS, workers, REPEATS)
    write_bytes(TABLE, table.to_csv(index=False, float_format="%.2f").encode())
    write_bytes(TABLE.with_suffix(".md"), markdown(pd.read_csv(TABLE)).encode())


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    main()
