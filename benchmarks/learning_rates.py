"""How each variant's learning rate was chosen: same grid, budget and seed for all, judged on validation videos.

    python benchmarks/learning_rates.py [VARIANT ...]

writes reports/tables/learning_rates.csv and .md, or the file that ``--table`` names. Every variant of
`params.yaml` is trained at three rates, then at the next one outward for as long as its best lies at an
edge. The score is top-1 on held-out videos of the training classes, which are unseen classes of other folds. Variants
that differ only in their class generator share the rate of `aurl`. Trainings run side by side, one per core.
A training that was finished before is taken over, one that was killed goes on. Rows of variants that are not
named stay in the table. The pipeline's first two stages must have run (`dvc repro 02_embed_class_names`).
"""

import argparse
import sys
from pathlib import Path

import joblib
import pandas as pd

from aurl import UserError, text
from aurl.data.clips import open_set
from aurl.project import config, paths
from aurl.project.files import write_bytes
from aurl.project.markdown import markdown_table
from aurl.training import loop as training

GRID = [3e-4, 1e-3, 3e-3, 1e-2, 3e-2]
TABLE = Path("reports/tables/learning_rates.csv")
TRAININGS = Path("build/learning_rates")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("variants", nargs="*", metavar="VARIANT")
    parser.add_argument("--table", type=Path, default=TABLE, help="the CSV file to write; the Markdown lies beside it")
    options = parser.parse_args(arguments)
    variants = options.variants or with_their_own_rate(config.load(sections=["variants"]).variants)
    table = pd.DataFrame(columns=["variant", "lr", "epochs", "val_top1"])
    if options.table.exists():
        table = pd.read_csv(options.table)
        table = table[~table["variant"].isin(variants)]
    dataset(config.load(variant=variants[0]))  # decoded once, here, and not by every process
    todo = [(variant, lr) for variant in variants for lr in GRID[1:4]]
    while todo:
        calls = [joblib.delayed(measure)(*run) for run in todo]
        for row in joblib.Parallel(n_jobs=-1, return_as="generator_unordered")(calls):
            rows = [*table.to_dict("records"), row]
            table = pd.DataFrame(rows).sort_values(["variant", "lr"], ignore_index=True)
            write_bytes(options.table, table.to_csv(index=False).encode())
            write_bytes(options.table.with_suffix(".md"), markdown(table).encode())
        todo = [(variant, lr) for variant in variants if (lr := outward(table[table["variant"] == variant]))]


def with_their_own_rate(variants):
    """The names of the ``variants`` that do not share the rate of `aurl`: those that change more than the generator."""
    return [name for name, lines in variants.items() if set(lines) != {"generator"}]


def measure(variant, lr):
    """A row of the table: the best epoch's top-1 on validation videos of one training."""
    params = config.load(variant=variant)
    params.train = params.train.model_copy(update={"lr": lr})
    folder = TRAININGS / f"{variant}-{lr:g}"
    vocabulary = text.load_classes(paths.CLASS_VECTORS, paths.WORDS)
    history = training.train(params, *dataset(params), folder / "run", folder, vocabulary=vocabulary)
    top1 = round(history["val_top1"].max(), 4)
    return {"variant": variant, "lr": lr, "epochs": params.train.epochs, "val_top1": top1}


def dataset(params):
    """Training clips, validation clips, class names and their vectors."""
    seen = paths.merged(params.data.train)
    names, word_vectors = text.load_classes(paths.CLASS_VECTORS, seen, params.model.describe)
    clips = open_set(params, params.data.train, "train", names, seed=params.seed)
    return clips, open_set(params, params.data.train, "val", names), names, word_vectors


def outward(rows):
    """The next rate of the grid beyond the best one if that is the lowest or highest measured, else None."""
    best = GRID.index(rows.loc[rows["val_top1"].idxmax(), "lr"])
    beyond = [GRID[i] for i in (best - 1, best + 1) if 0 <= i < len(GRID) and GRID[i] not in set(rows["lr"])]
    return beyond[0] if beyond else None


def markdown(table):
    """Top-1 in percent on validation videos: one row per variant, one column per learning rate, the best in bold."""
    wide = table.pivot(index="variant", columns="lr", values="val_top1")
    rows = [
        [
            variant,
            *(
                "–" if pd.isna(value) else f"**{100 * value:.1f}**" if lr == row.idxmax() else f"{100 * value:.1f}"
                for lr, value in row.items()
            ),
        ]
        for variant, row in wide.iterrows()
    ]
    return markdown_table(["variant", *(f"lr {lr:g}" for lr in wide.columns)], rows)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"aurl: {error}")
