"""Choose the learning rate of each loss: the same grid, budget and seed for all, scored on held-out videos.

    python benchmarks/learning_rates.py [VARIANT ...] [--verbs FOLD]

writes reports/tables/learning_rates.csv and .md. Trainings see only the verbs that are unseen in fold FOLD, by default
0. All other folds train on these verbs, so the search uses no video of a verb that is unseen there. Each class has four
times as many videos as in the pipeline, so that an epoch has as many steps as there.

A variant is trained at three rates for a third of the epochs, and at lower or higher ones while the best rate is the
lowest or highest that was tried. The score is top-1 on held-out videos. Variants with the same loss terms and number of
clips share the rate of the first of them (`docs/protocol.md`). Trainings run in parallel, one per core. Finished
trainings are reused and interrupted ones continue. Other rows of the table stay.
"""

import argparse
import sys
from pathlib import Path

import joblib
import pandas as pd

from aurl import UserError, text
from aurl.data.clips import Clips, decode_once
from aurl.project import config
from aurl.project.files import write_bytes
from aurl.project.markdown import markdown_table
from aurl.rendered import rendering, sets
from aurl.training import loop as training

LADDER = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1]
GRID = LADDER[2:5]  # tried first
SHARE = 3  # a search trains for 1 / SHARE of the epochs
VIDEOS = 4  # times the pipeline's videos per class, because its training sets have four times as many verbs
TABLE = Path("reports/tables/learning_rates.csv")
TRAININGS = Path("build/learning_rates")
KEYS = ["verbs", "variant", "lr"]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("variants", nargs="*", metavar="VARIANT", help="default: one for each loss")
    parser.add_argument("--verbs", type=int, default=0, metavar="FOLD", help="train on the verbs of this fold")
    parser.add_argument("--table", type=Path, default=TABLE, help="the CSV file to write; the Markdown lies beside it")
    options = parser.parse_args(arguments)
    variants = options.variants or first_of_each_loss(config.load(sections=["variants"]).variants)
    table = (
        pd.read_csv(options.table) if options.table.exists() else pd.DataFrame(columns=[*KEYS, "epochs", "val_top1"])
    )
    manifest = render(config.load(sections=["verbs"]).verbs, options.verbs)
    for split in ("train", "val"):  # decode here, not in every process
        opened(manifest, options.verbs, config.load(variant=variants[0]), [], split, None)
    found = {variant: {} for variant in variants}
    while rates := [(variant, lr) for variant, own in found.items() for lr in untried(own)]:
        calls = [joblib.delayed(measure)(manifest, options.verbs, variant, lr) for variant, lr in rates]
        for row in joblib.Parallel(n_jobs=-1, return_as="generator_unordered")(calls):
            found[row["variant"]][row["lr"]] = row["val_top1"]
            table = pd.concat([table, pd.DataFrame([row])]).drop_duplicates(KEYS, keep="last")
            table = table.sort_values(KEYS, ignore_index=True)
            write_bytes(options.table, table.to_csv(index=False).encode())
            write_bytes(options.table.with_suffix(".md"), markdown(table).encode())


def untried(scores):
    """The rates to try next; ``scores`` maps those that were tried to their accuracies.

    >>> untried({}), untried({1e-3: 0.5, 3e-3: 0.6, 1e-2: 0.4}), untried({1e-3: 0.5, 3e-3: 0.6, 1e-2: 0.7})
    ([0.001, 0.003, 0.01], [], [0.03])
    """
    if not scores:
        return GRID
    place = LADDER.index(max(sorted(scores), key=scores.get))  # the lowest of equal ones
    return [lr for lr in LADDER[max(place - 1, 0) : place + 2] if lr not in scores]


def first_of_each_loss(variants):
    """The first of the ``variants`` with each set of loss terms and each number of clips."""
    found = {}
    for name in variants:
        params = config.load(variant=name)
        found.setdefault((frozenset(params.loss.terms), params.clip.segments), name)
    return list(found.values())


def render(params, fold):
    """The manifest of `pairs-seen`, with the verbs of one fold only; ``params`` is the section ``verbs``."""
    changed = {"videos": VIDEOS * params.videos, "val_videos": VIDEOS * params.val_videos}
    changed["fold"] = (fold + 1) % config.FOLDS  # any in which these verbs are seen
    verbs = {verb for verb in sets.VERBS if sets.fold(verb) == fold}
    return rendering.build(TRAININGS / "videos", params.model_copy(update=changed), sets.SETS[:1], verbs)


def measure(manifest, fold, variant, lr):
    """A row of the table: the best epoch's top-1 on held-out videos of one training."""
    params = config.load(variant=variant)
    epochs = -(-params.train.epochs // SHARE)
    params.train = params.train.model_copy(update={"lr": lr, "epochs": epochs})
    names = sorted(manifest["class"].unique())
    clips, val = (opened(manifest, fold, params, names, *how) for how in (("train", params.seed), ("val", None)))
    folder = TRAININGS / f"{fold}-{variant}-{lr:g}"
    vectors = text.open_source(**params.text.source).embed(names)
    history = training.train(params, clips, val, names, vectors, folder / "run", folder)
    return {
        "verbs": fold, "variant": variant, "lr": lr, "epochs": epochs, "val_top1": round(history["val_top1"].max(), 4)
    }  # fmt: skip


def opened(manifest, fold, params, names, split, seed):
    """The clips of one split, from frames that are decoded once."""
    own = manifest[manifest["split"] == split].reset_index(drop=True)
    frames = decode_once(own, params.clip.size, f"rates-{fold}-{split}", params.compute.cache_gb)
    return Clips(own, names, params.clip, params.clip.segments, seed, frames)


def markdown(table):
    """Top-1 in percent on held-out videos: a row per fold and variant, a column per rate, the best in bold."""
    wide = table.pivot(index=["verbs", "variant"], columns="lr", values="val_top1")
    rows = [
        [str(fold), variant, *(_cell(value, lr == row.idxmax()) for lr, value in row.items())]
        for (fold, variant), row in wide.iterrows()
    ]
    return markdown_table(["verbs of fold", "variant", *(f"lr {lr:g}" for lr in wide.columns)], rows)


def _cell(value, best):
    if pd.isna(value):
        return "–"
    return f"**{100 * value:.1f}**" if best else f"{100 * value:.1f}"


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"aurl: {error}")
