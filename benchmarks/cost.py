"""The cost of the losses by number of classes: time and peak memory of a step of L_S + L_C + L_US, to C = 100,000.

    python benchmarks/cost.py      # about 3 minutes, on Linux

writes reports/tables/cost.csv, cost.md and reports/figures/cost.png. One thread, float32, N = 256 videos, D = 128
dimensions. With a fixed number U of synthetic classes, time and memory grow linearly. With U = C, as in the released
code, they grow quadratically, so U is a parameter. A separate process measures each point. Memory is the peak of the
resident size, minus the size with the inputs ready. Time is the median of five steps after a warm-up step. As in the
pipeline, a process keeps freed memory; otherwise the system's allocation would dominate the time.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd

from aurl.project.markdown import markdown_table

N, D, U = 256, 128, 512
CLASSES = [100, 300, 1_000, 3_000, 10_000, 30_000, 100_000]
LARGE = 3_000  # from here on, time and memory depend on the number of classes alone
SETTINGS = {  # name -> generator mode, number of synthetic classes, largest C that stays feasible
    f"released, U = {U}": ("released", U, CLASSES[-1]),
    f"two classes mixed, U = {U}": ("both", U, CLASSES[-1]),
    "released, U = C": ("released", None, 10_000),
}


def measure(mode, synthetic, classes):
    """Milliseconds per step and megabytes beyond the inputs, in this process."""
    import resource

    import torch

    from aurl.generator import ClassGenerator
    from aurl.losses import aurl
    from aurl.training.devices import keep_memory

    keep_memory()
    torch.set_num_threads(1)
    rng = torch.Generator().manual_seed(0)
    video, names, centers = (
        torch.randn(count, D, generator=rng, requires_grad=True) for count in (N, classes, classes)
    )
    labels = torch.randint(classes, (N,), generator=rng)
    generator = ClassGenerator(mode, synthetic)
    tiny = torch.randn(4, D, requires_grad=True)
    # What torch loads on first use is not the losses' memory.
    aurl(tiny, tiny, tiny, torch.arange(4), generator, rng=rng)["total"].backward()

    def step():
        start = time.perf_counter()
        aurl(video, names, centers, labels, generator, rng=rng)["total"].backward()
        return time.perf_counter() - start

    process = Path("/proc/self")
    before = int((process / "statm").read_text().split()[1]) * resource.getpagesize()
    (process / "clear_refs").write_text("5")  # resets the peak resident size
    step()
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", (process / "status").read_text())[1]) * 1024
    return {"ms": 1e3 * median(step() for _ in range(5)), "mb": (peak - before) / 1e6}


def exponent(rows, column):
    """The power of C in the column's growth, fitted from LARGE classes on."""
    large = rows[rows["classes"] >= LARGE]
    return np.polyfit(np.log(large["classes"]), np.log(large[column]), 1)[0]


def markdown(table):
    wide = table.pivot(index="classes", columns="setting", values=["ms", "mb"])[
        [(unit, name) for name in SETTINGS for unit in ("ms", "mb")]
    ]
    titles = [f"{name}: {'ms' if unit == 'ms' else 'MB'}" for unit, name in wide.columns]
    rows = [
        [f"{classes:,}", *("–" if np.isnan(value) else f"{value:,.0f}" for value in row)]
        for classes, row in wide.iterrows()
    ]
    grown = [
        f"{name}: time as C^{exponent(rows, 'ms'):.2f}, memory as C^{exponent(rows, 'mb'):.2f}"
        for name, rows in table.groupby("setting", sort=False)
    ]
    return markdown_table(["classes C", *titles], rows) + f"\nFrom {LARGE:,} classes on, " + "; ".join(grown) + ".\n"


def draw(table):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for ax, column, label in zip(
        axes, ("ms", "mb"), ("time of a step, milliseconds", "peak memory beyond the inputs, MB")
    ):
        for mark, (name, rows) in zip("osD", table.groupby("setting", sort=False)):
            ax.loglog(rows["classes"], rows[column], marker=mark, label=name)
        first = table[table["setting"] == next(iter(SETTINGS))].iloc[-1]
        shares = np.array([0.01, 1])
        ax.loglog(shares * first["classes"], shares * first[column] / 2, "--", color="gray", label="proportional to C")
        ax.set(xlabel="seen classes C", ylabel=label)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncol=4, frameon=False)
    return figure


def main():
    from aurl import figures
    from aurl.project.files import write_bytes

    rows = []
    for name, (mode, synthetic, largest) in SETTINGS.items():
        for classes in (count for count in CLASSES if count <= largest):
            command = [sys.executable, __file__, mode, str(synthetic or 0), str(classes)]
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            found = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
            rows.append({"setting": name, "classes": classes} | json.loads(found))
            print(f"{name}, C = {classes:,}: {rows[-1]['ms']:.1f} ms, {rows[-1]['mb']:.1f} MB", flush=True)
    table = pd.DataFrame(rows)
    write_bytes("reports/tables/cost.csv", table.to_csv(index=False, float_format="%.1f").encode())
    write_bytes("reports/tables/cost.md", markdown(table).encode())
    figures.save(draw(pd.read_csv("reports/tables/cost.csv")), "cost")


if __name__ == "__main__":
    if len(sys.argv) == 4:
        mode, synthetic, classes = sys.argv[1:]
        print(json.dumps(measure(mode, int(synthetic) or None, int(classes))))
    else:
        argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
        main()
