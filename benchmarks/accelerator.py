"""The paper's training step on an accelerator: speed, memory, resuming after a kill, and two processes.

    python benchmarks/accelerator.py            # on one accelerator
    python benchmarks/accelerator.py --tiny     # the same on any machine, too small to measure anything

writes reports/tables/accelerator.csv, accelerator.md and reports/figures/accelerator.png. r2plus1d_18 takes clips of
16x112x112 pixels in params.paper.yaml's setting, with the authors' number of classes. Clips are random and in memory,
so decoding is not measured. For float32, bf16 and compiled bf16, the batch doubles until the memory is full. "Released
loop" is a plain loop like the authors': float32, the usual memory layout, the class encoder twice per step, SGD that is
not fused. The share of peak is relative to a large matrix product in the same precision and run. Rows that would begin
after 8 minutes are left out.
"""

import argparse
import functools
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.utils.flop_counter import FlopCounterMode

from aurl import UserError, figures, models
from aurl.data.clips import Clips
from aurl.project import config
from aurl.project.files import write_bytes
from aurl.project.markdown import markdown_table
from aurl.training import checkpoints, devices, processes
from aurl.training import loop as training
from aurl.training.inference import to_device

CLASSES, WORD_DIM = 662, 300
STEPS, BATCH = 58_500, 256  # of the paper's training
TINY = {
    "model": {"backbone": "r2plus1d", "width": 4, "depth": 1, "hidden": 8, "word_hidden": 8, "dim": 8},
    "clip": {"frames": 4, "size": 16},
    "compute": {"threads": 1, "channels_last": "never", "workers": 0},
}
SETTINGS = {  # name -> precision, compiled
    "float32": ("float32", False),
    "bf16": ("bf16", False),
    "bf16, compiled": ("bf16", True),
}
COLUMNS = ["what", "batch", "clips_per_second", "share_of_peak", "memory_gb", "hours", "found"]


def settings(tiny, **train):
    """The paper's parameters, or a tiny model and clip."""
    params = config.load(Path(__file__).parents[1] / "params.paper.yaml", variant="aurl", seed=0)
    params = params.replace(compute={"compile": "never", "precision": "float32"})
    return (params.replace(**TINY) if tiny else params).replace(train={"micro_batch": None, "steps": None} | train)


def count_classes(params):
    return 20 if params.model.width == TINY["model"]["width"] else CLASSES


class Resident:
    """A training set of ``rows`` videos for `aurl.training.loop.Run`, whose clips are never read."""

    dim = None

    def __init__(self, clip, rows):
        self.clip, self.rows = clip, rows

    def __len__(self):
        return self.rows


def random_batch(params):
    """Videos (N, 1, T, H, W, 3) uint8, labels (N,), mirrored (N, 1) bool."""
    clip, rows = params.clip, params.train.batch
    rng = torch.Generator().manual_seed(0)
    video = torch.randint(256, (rows, 1, clip.frames, clip.size, clip.size, 3), dtype=torch.uint8, generator=rng)
    return video, torch.arange(rows) % count_classes(params), torch.zeros(rows, 1, dtype=torch.bool)


def word_vectors(count):
    return np.random.default_rng(1).normal(size=(count, WORD_DIM)).astype(np.float32)


def our_steps(params, compiled=False):
    """A function that takes one step of the project's loop on this process's part of a batch."""
    rows, count = params.train.batch, count_classes(params)
    run = training.Run(params, Resident(params.clip, rows), [str(i) for i in range(count)], word_vectors(count))
    if compiled:
        run.model.backbone.compile(backend="inductor" if torch.cuda.is_available() else "eager")
    order = training.Order(rows, params.train, 0)
    batch = [values[order.rows] for values in random_batch(params)]
    return lambda: run.take_step(batch, order)


def released_steps(params):
    """A function that takes one step of the released code's loop."""
    count, device = count_classes(params), devices.best_device()
    model = models.build(params.model, count, WORD_DIM).to(device).train()
    objective, words = training.Objective(model, params), torch.as_tensor(word_vectors(count), device=device)
    optimizer = torch.optim.SGD(model.parameters(), params.train.lr, momentum=0.9, weight_decay=1e-4, foreach=False)
    plain = devices.Arithmetic(device, "float32", channels_last=False, compiled=False)
    video, labels, mirrored = random_batch(params)

    def step():
        optimizer.zero_grad()
        inputs = to_device(video, mirrored, plain)
        model.encode_class(words)  # the released loop encodes classes a second time
        total, terms = objective(inputs, labels.to(device), words, torch.Generator().manual_seed(0))
        total.backward()
        optimizer.step()
        return [term.item() for term in terms.values()]

    return step


def clips_per_second(make, params, steps, warm=2):
    """Clips per second of the step ``make(params)``, summed over processes, and this process's peak memory in GB."""
    step = make(params)
    if cuda := torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    for _ in range(warm):
        step()
    begin = time.perf_counter()
    for _ in range(steps):
        step()  # waits for the device, because it returns numbers
    speed = params.train.batch * steps / (time.perf_counter() - begin)
    return speed, torch.cuda.max_memory_allocated() / 1e9 if cuda else float("nan")


def step_flops(params):
    """Floating-point operations of one clip's forward and backward pass."""
    step = our_steps(params)
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops() / params.train.batch


def matrix_speed(precision, side):
    """Floating-point operations per second of a product of two matrices."""
    device, kind = devices.best_device(), {"float32": torch.float32, "bf16": torch.bfloat16}[precision]
    left, times = torch.ones(side, side, device=device, dtype=kind), []
    for _ in range(5):
        begin = time.perf_counter()
        (left @ left)[0, 0].item()
        times.append(time.perf_counter() - begin)
    return 2 * side**3 / min(times)


def largest(make, params, steps, first, last, deadline):
    """Rows of speed and memory for batches that double from ``first`` to ``last``, while memory and time suffice."""
    rows, batch = [], first
    while batch <= last and time.monotonic() < deadline:
        try:
            own = params.replace(train={"batch": batch})
            speed, memory = clips_per_second(make, own, steps)
        except (torch.OutOfMemoryError, UserError):
            break
        finally:
            torch.compiler.reset()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        rows.append({"batch": batch, "clips_per_second": speed, "memory_gb": memory})
        batch *= 2
    return rows


# --- a kill, and several processes ------------------------------------------------------------------------------------


def train_few(folder, tiny):
    """A training of a few steps that saves its state after each; ``folder`` receives its checkpoint and states."""
    params = settings(tiny, batch=4, epochs=2, save_steps=1, warmup_epochs=0)
    count, clip = 24, params.clip
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (count * clip.frames, clip.size, clip.size, 3), dtype=np.uint8)
    table = pd.DataFrame({"id": [str(i) for i in range(count)], "class": [str(i % 4) for i in range(count)]})
    table = table.assign(path=table["id"] + ".mp4", digest=table["id"], first=0, frames=clip.frames)
    names = [str(i) for i in range(4)]
    parts = [Clips(table, names, clip, seed=seed, cache=frames) for seed in (0, None)]
    return training.train(params, *parts, names, word_vectors(4), Path(folder, "run"), Path(folder, "scratch"))


def train_and_die(folder, tiny):
    """`train_few` with a SIGKILL after its third state."""
    keep, kept = checkpoints.Progress.keep, []

    def dying(*arguments, **options):
        keep(*arguments, **options)
        kept.append(True)
        if len(kept) == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    checkpoints.Progress.keep = dying
    train_few(folder, tiny)


def kill_and_resume(tiny, folder):
    """Whether a killed and resumed training ends with the bytes of an uninterrupted training, as text."""
    command = [sys.executable, __file__, "--train", str(folder / "killed")] + ["--tiny"] * tiny
    if subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode != -signal.SIGKILL:
        return "failed before it was killed"
    for name in ("killed", "whole"):
        train_few(folder / name, tiny)
    ends = [(folder / name / "run" / checkpoints.WEIGHTS).read_bytes() for name in ("killed", "whole")]
    return "the same bytes" if ends[0] == ends[1] else "other bytes"


def speed_of_processes(params, steps, count, folder):
    """Clips per second of ``count`` processes that share the batch."""
    params = params.replace(train={"processes": count})
    speed, _ = processes.run_in_processes(
        clips_per_second, our_steps, params, steps, processes=count, folder=folder, name="two processes"
    )
    return speed


# --- the table --------------------------------------------------------------------------------------------------------


def measure(tiny, minutes):
    """The rows of the table that fit into ``minutes``."""
    begin, steps = time.monotonic(), 2 if tiny else 5
    first, last = (4, 8) if tiny else (16, 1024)
    rows, peaks, params = [], {}, settings(tiny)
    flops = step_flops(params.replace(train={"batch": 4}))

    def left(share):
        """The time at which ``share`` of ``minutes`` is over."""
        return begin + 60 * minutes * share

    def add(what, found, peak):
        for row in found:
            row |= {"share_of_peak": row["clips_per_second"] * flops / peak}
            rows.append({"what": what} | row | {"hours": STEPS * BATCH / row["clips_per_second"] / 3600})
            print(f"{what}, batch {row['batch']}: {row['clips_per_second']:.1f} clips/s", flush=True)

    limits = dict(zip(SETTINGS, (0.2, 0.4, 0.7)))
    for name, (precision, compiled) in SETTINGS.items():
        peaks[precision] = peaks.get(precision) or matrix_speed(precision, 256 if tiny else 8192)
        own = params.replace(compute={"precision": precision})
        own_first, own_last = first, last
        if compiled:  # compiling takes long, so only bf16's largest batch
            own_first = own_last = max((row["batch"] for row in rows if row["what"] == "bf16"), default=first)
        make = functools.partial(our_steps, compiled=compiled)
        add(name, largest(make, own, steps, own_first, own_last, left(limits[name])), peaks[precision])
    best = max((row["batch"] for row in rows if row["what"] == "float32"), default=first)
    add("released loop", largest(released_steps, params, steps, best, best, left(0.8)), peaks["float32"])
    with tempfile.TemporaryDirectory() as folder:
        if time.monotonic() < left(0.85):
            rows.append({"what": "kill and resume", "found": kill_and_resume(tiny, Path(folder))})
        devices_here = torch.cuda.device_count() if torch.cuda.is_available() else 2
        if devices_here < 2:
            rows.append({"what": "two processes", "found": "not run: there is one accelerator"})
        elif time.monotonic() < left(0.95):
            own = params.replace(train={"batch": 2 * best})
            try:
                speed = speed_of_processes(own, steps, 2, folder)
                add("two processes", [{"batch": 2 * best, "clips_per_second": speed}], 2 * peaks["float32"])
            except (RuntimeError, UserError) as error:  # such as too little memory; the other rows are kept
                rows.append({"what": "two processes", "found": f"failed: {str(error).partition(chr(10))[0]}"})
    about = {"device": devices.processor(devices.best_device()), "torch": torch.__version__}
    return pd.DataFrame(rows).reindex(columns=COLUMNS).assign(**about)


def markdown(table):
    """The fastest row of each measurement, as a Markdown table."""
    best = table.sort_values("clips_per_second").groupby("what", sort=False).tail(1).sort_index()
    forms = {
        "batch": "{:.0f}", "clips_per_second": "{:.1f}", "share_of_peak": "{:.1%}", "memory_gb": "{:.1f}",
        "hours": "{:.1f}", "found": "{}",
    }  # fmt: skip
    lines = [
        [row["what"], *("" if pd.isna(row[name]) else form.format(row[name]) for name, form in forms.items())]
        for _, row in best.iterrows()
    ]
    titles = ["", "batch", "clips/s", "share of peak", "memory, GB", f"hours for {STEPS:,} steps of {BATCH}", "result"]
    about = f"\nOn {table['device'].iloc[0]}, torch {table['torch'].iloc[0]} (`benchmarks/accelerator.py`).\n"
    return markdown_table(titles, lines, left=1) + about


def draw(table):
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
    for mark, (name, rows) in zip("osD^v", table.dropna(subset="clips_per_second").groupby("what", sort=False)):
        ax.plot(rows["batch"], rows["clips_per_second"], marker=mark, label=name)
    ax.set(xscale="log", xlabel="videos per step", ylabel="clips per second", ylim=(0, None))
    ax.set_xticks(sorted(table["batch"].dropna().unique()), minor=False)
    ax.xaxis.set_major_formatter("{x:.0f}")
    ax.minorticks_off()
    ax.legend(frameon=False)
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="a tiny model and clip, on any machine")
    parser.add_argument("--minutes", type=float, default=8, help="rows that would begin later are left out (8)")
    parser.add_argument("--train", metavar="FOLDER", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        return train_and_die(options.train, options.tiny)
    if devices.best_device().type == "cpu" and not options.tiny:
        sys.exit("aurl: there is no accelerator here: add --tiny to see what the script does.")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    table = measure(options.tiny, options.minutes)
    write_bytes("reports/tables/accelerator.csv", table.to_csv(index=False, float_format="%.4g").encode())
    write_bytes("reports/tables/accelerator.md", markdown(table).encode())
    figures.save(draw(table), "accelerator")
    print(markdown(table))


if __name__ == "__main__":
    main()
