"""How each variant's learning rate was chosen: the same grid, budget and seed for all, judged on validation videos.

    python benchmarks/learning_rates.py [VARIANT ...]      # writes reports/tables/learning_rates.csv and .md

Every variant of `params.yaml` is trained at three rates, then at the next one outwards for as long as its best lies at an
edge. The score is top-1 on held-back videos of the training classes; no unseen class is looked at. Variants that differ in
their class generator alone share the rate of `aurl`. Trainings run side by side, one a core, for some 3 minutes each. Runs
that the file already holds are not repeated. Needs the pipeline's first two stages (`dvc repro 02_embed_class_names`).
"""

import sys
from pathlib import Path

import joblib
import pandas as pd

from aurl import config, text, training
from aurl.files import write_bytes
from aurl.video.clips import open_set

GRID = [3e-4, 1e-3, 3e-3, 1e-2, 3e-2]
TABLE = Path("reports/tables/learning_rates.csv")


def main(variants):
    lines = config.load(sections=["variants"]).variants
    variants = variants or [name for name in lines if set(lines[name]) != {"generator"}]
    table = pd.read_csv(TABLE) if TABLE.exists() else pd.DataFrame(columns=["variant", "lr", "epochs", "val_top1"])
    dataset(config.load(variant=variants[0]))  # decoded once, here, and not by every process
    todo = [(variant, lr) for variant in variants for lr in GRID[1:4]]
    while todo:
        known = set(zip(table["variant"], table["lr"]))
        calls = [joblib.delayed(measure)(*run) for run in todo if run not in known]
        for row in joblib.Parallel(n_jobs=-1, return_as="generator_unordered")(calls):
            table = pd.concat([table, pd.DataFrame([row])]).sort_values(["variant", "lr"], ignore_index=True)
            write_bytes(TABLE, table.to_csv(index=False).encode())
            write_bytes(TABLE.with_suffix(".md"), markdown(table).encode())
        todo = [(variant, lr) for variant in variants if (lr := outwards(table[table["variant"] == variant]))]


def measure(variant, lr):
    """A row of the table: the best epoch's top-1 on validation videos of one training."""
    params = config.load(variant=variant)
    params.train = params.train.model_copy(update={"lr": lr})
    folder = f"build/learning_rates/{variant}-{lr:g}"
    history = training.train(params, *dataset(params), folder, folder)
    return {
        "variant": variant,
        "lr": lr,
        "epochs": params.train.epochs,
        "val_top1": round(history["val_top1"].max(), 4),
    }


def dataset(params):
    """Training clips, validation clips, class names and their vectors."""
    names, vectors = text.load_classes("data/class_vectors.npz", params.data.train)
    return (
        open_set(params, params.data.train, "train", names, seed=params.seed),
        open_set(params, params.data.train, "val", names),
        names,
        vectors,
    )


def outwards(rows):
    """The next rate of the grid beyond the best one if that is the lowest or highest measured, else None."""
    best = GRID.index(rows.loc[rows["val_top1"].idxmax(), "lr"])
    beyond = [GRID[i] for i in (best - 1, best + 1) if 0 <= i < len(GRID) and GRID[i] not in set(rows["lr"])]
    return beyond[0] if beyond else None


def markdown(table):
    """Top-1 in percent on validation videos, a row a variant, a column a learning rate, the best in bold."""
    wide = table.pivot(index="variant", columns="lr", values="val_top1")
    lines = [
        "| variant | " + " | ".join(f"lr {lr:g}" for lr in wide.columns) + " |",
        "|---" * (len(wide.columns) + 1) + "|",
    ]
    for variant, row in wide.iterrows():
        cells = [
            "–" if pd.isna(value) else f"**{100 * value:.1f}**" if lr == row.idxmax() else f"{100 * value:.1f}"
            for lr, value in row.items()
        ]
        lines.append(f"| {variant} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(sys.argv[1:])
