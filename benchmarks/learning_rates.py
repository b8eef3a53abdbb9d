"""How each variant's learning rate was chosen: the same grid, budget and seed for all, judged on validation videos.

    python benchmarks/learning_rates.py [VARIANT ...]      # about 2 minutes a run on two cores; writes reports/tables/learning_rates.csv

The score is top-1 on held-back videos of the training classes; no unseen class is looked at. Needs the pipeline's
first two stages (`dvc repro 02_embed_class_names`). Runs that the file already holds are not repeated.
"""
import sys
from pathlib import Path

import pandas as pd

from aurl import config, text, training
from aurl.clips import open_set
from aurl.files import write_bytes

GRID = [3e-4, 1e-3, 3e-3, 1e-2, 3e-2]
TABLE = Path("reports/tables/learning_rates.csv")


def main(variants):
    rows = pd.read_csv(TABLE).to_dict("records") if TABLE.exists() else []
    for variant in variants or config.load(sections=["variants"]).variants:
        for lr in GRID:
            params = config.load(variant=variant)
            if any(row["variant"] == variant and row["lr"] == lr and row["epochs"] == params.train.epochs for row in rows):
                continue
            params.train = params.train.model_copy(update={"lr": lr})
            names, vectors = text.load_classes("data/class_vectors.npz", params.data.train)
            clips = open_set(params, params.data.train, "train", names, seed=params.seed)
            val = open_set(params, params.data.train, "val", names)
            history = training.train(params, clips, val, names, vectors, f"build/learning_rates/{variant}-{lr:g}", "build/learning_rates")
            rows.append({"variant": variant, "lr": lr, "epochs": params.train.epochs, "val_top1": round(history["val_top1"].max(), 4)})
            table = pd.DataFrame(rows)
            write_bytes(TABLE, table.to_csv(index=False).encode())
            write_bytes(TABLE.with_suffix(".md"), markdown(table).encode())


def markdown(table):
    """Top-1 in percent on validation videos, a row a variant, a column a learning rate, the best in bold."""
    wide = table.pivot(index="variant", columns="lr", values="val_top1")
    lines = ["| variant | " + " | ".join(f"lr {lr:g}" for lr in wide.columns) + " |", "|---" * (len(wide.columns) + 1) + "|"]
    for variant, row in wide.iterrows():
        cells = ["–" if pd.isna(value) else f"**{100 * value:.1f}**" if lr == row.idxmax() else f"{100 * value:.1f}" for lr, value in row.items()]
        lines.append(f"| {variant} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(sys.argv[1:])
