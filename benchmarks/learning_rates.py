"""How each variant's learning rate was chosen: the same grid, budget and seed for all, judged on validation videos.

    python benchmarks/learning_rates.py [VARIANT ...]      # about 2 minutes a run on two cores; writes reports/learning_rates.csv

The score is top-1 on held-back videos of the training classes; no unseen class is looked at. Needs the pipeline's
first two stages (`dvc repro 02_embed_class_names`). Runs that the file already holds are not repeated.
"""
import sys
from pathlib import Path

import pandas as pd

from aurl import config, text, training
from aurl.clips import open_set

GRID = [3e-4, 1e-3, 3e-3, 1e-2]
TABLE = Path("reports/learning_rates.csv")


def main(variants):
    rows = pd.read_csv(TABLE).to_dict("records") if TABLE.exists() else []
    for variant in variants or config.load().run.variants:
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
            pd.DataFrame(rows).to_csv(TABLE, index=False)
            print(rows[-1], flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
