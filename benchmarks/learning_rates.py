"""How each loss's learning rate is chosen in a fold: same grid, budget and seed for all, judged on validation videos.

    python benchmarks/learning_rates.py [VARIANT ...]
    python benchmarks/learning_rates.py --study pairs-1 [VARIANT ...]

writes reports/tables/learning_rates.csv and .md. A variant is trained at three rates for a third of the epochs. The
score is top-1 on held-out videos of the fold's training classes. Variants with the same loss terms share the rate of
the first of them (`docs/protocol.md`). Trainings run side by side, one per core. A training that was finished before is
taken over, and an interrupted one goes on. Other rows of the table stay. The first two stages of the project, or of the
study's workspace, must have run (`dvc repro 02_embed_class_names`).
"""

import argparse
import os
import sys
from pathlib import Path

import joblib
import pandas as pd

from aurl import UserError, text
from aurl.data.clips import open_set
from aurl.pipeline.studies import WORKSPACES
from aurl.project import config, paths
from aurl.project.files import write_bytes
from aurl.project.markdown import markdown_table
from aurl.training import loop as training

GRID = [3e-3, 1e-2, 3e-2]
SHARE = 3  # a search takes this part of the epochs
TABLE = Path("reports/tables/learning_rates.csv")
TRAININGS = Path("build/learning_rates")
KEYS = ["fold", "variant", "lr"]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("variants", nargs="*", metavar="VARIANT")
    parser.add_argument("--study", help="a run of a study, whose workspace has its data (default: the project itself)")
    parser.add_argument("--table", type=Path, default=TABLE, help="the CSV file to write; the Markdown lies beside it")
    options = parser.parse_args(arguments)
    path = options.table.resolve()
    if options.study:
        os.chdir(WORKSPACES / options.study)
    params = config.load(sections=["verbs", "variants"])
    variants = options.variants or first_of_each_loss(params.variants)
    table = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=[*KEYS, "epochs", "val_top1"])
    dataset(config.load(variant=variants[0]))  # decoded once, here, and not by every process
    calls = [joblib.delayed(measure)(params.verbs.fold, variant, lr) for variant in variants for lr in GRID]
    for row in joblib.Parallel(n_jobs=-1, return_as="generator_unordered")(calls):
        table = pd.concat([table, pd.DataFrame([row])]).drop_duplicates(KEYS, keep="last")
        table = table.sort_values(KEYS, ignore_index=True)
        write_bytes(path, table.to_csv(index=False).encode())
        write_bytes(path.with_suffix(".md"), markdown(table).encode())


def first_of_each_loss(variants):
    """The first of the ``variants`` with each set of loss terms and each number of clips."""
    found = {}
    for name in variants:
        params = config.load(variant=name)
        found.setdefault((frozenset(params.loss.terms), params.clip.segments), name)
    return list(found.values())


def measure(fold, variant, lr):
    """A row of the table: the best epoch's top-1 on validation videos of one training."""
    params = config.load(variant=variant)
    epochs = -(-params.train.epochs // SHARE)
    params.train = params.train.model_copy(update={"lr": lr, "epochs": epochs})
    folder = TRAININGS / f"{variant}-{lr:g}"
    vocabulary = text.load_classes(paths.CLASS_VECTORS, paths.WORDS)
    history = training.train(params, *dataset(params), folder / "run", folder, vocabulary=vocabulary)
    top1 = round(history["val_top1"].max(), 4)
    return {"fold": fold, "variant": variant, "lr": lr, "epochs": epochs, "val_top1": top1}


def dataset(params):
    """Training clips, validation clips, class names and their vectors."""
    seen = paths.merged(params.data.train)
    names, word_vectors = text.load_classes(paths.CLASS_VECTORS, seen, params.model.describe)
    clips = open_set(params, params.data.train, "train", names, seed=params.seed)
    return clips, open_set(params, params.data.train, "val", names), names, word_vectors


def markdown(table):
    """Top-1 in percent on validation videos: a row per fold and variant, a column per rate, the best in bold."""
    wide = table.pivot(index=["fold", "variant"], columns="lr", values="val_top1")
    rows = [
        [
            str(fold),
            variant,
            *(
                "–" if pd.isna(value) else f"**{100 * value:.1f}**" if lr == row.idxmax() else f"{100 * value:.1f}"
                for lr, value in row.items()
            ),
        ]
        for (fold, variant), row in wide.iterrows()
    ]
    return markdown_table(["fold", "variant", *(f"lr {lr:g}" for lr in wide.columns)], rows)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"aurl: {error}")
