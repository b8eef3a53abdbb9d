"""Compare the variants: the metrics of every run, aggregated over seeds."""

import itertools
import json

import numpy as np
import pandas as pd

from aurl import UserError, metrics, text
from aurl.evaluation import protocols
from aurl.evaluation.differences import differences, group_of
from aurl.project import paths
from aurl.project.markdown import markdown_table


def changes(variants):
    """A table of the parameters that each variant overrides; ``variants`` is the section of ``params.yaml``."""
    rows = {name: "; ".join(_lines(over)) or "nothing, it is the base" for name, over in variants.items()}
    return pd.DataFrame({"what it changes": rows}).rename_axis("variant")


def _lines(over, prefix=""):
    for key, value in over.items():
        if isinstance(value, dict):
            yield from _lines(value, f"{prefix}{key}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value)
            yield f"{prefix}{key}: {' + '.join(map(str, value)) if isinstance(value, list) else text}"


def collect(variants, seeds, sets):
    """The evaluation of every run, a row per set, variant and seed: its report, ``hits``, ``labels`` and ``names``.

    ``hits`` (N,) is True for correctly classified videos, and ``labels`` (N,) are indices into ``names``.
    Raises UserError for a run that is missing or incomplete.
    """
    rows = []
    for name, variant, seed in itertools.product(sets, variants, seeds):
        file = paths.metrics(variant, seed)
        try:
            report = json.loads(file.read_text())[name]
        except FileNotFoundError:
            raise UserError(f"{file} is missing: evaluate the variant first, with `dvc repro`.") from None
        except (ValueError, KeyError, TypeError):
            raise UserError(f"{file} has no figures of {name}: delete it and run `dvc repro`.") from None
        found = protocols.load(paths.features(variant, seed, name))
        hits = metrics.hits(protocols.scores(found), found["labels"])
        run = {"set": name, "variant": variant, "seed": seed}
        names, _ = text.load_classes(paths.CLASS_VECTORS, name)
        rows.append(run | report | {"hits": hits, "labels": found["labels"], "names": names})
    return pd.DataFrame(rows)


def summary(runs, bootstrap):
    """The rows of `collect` aggregated over seeds: a row per set and variant, with means over seeds.

    ``top1_low, top1_high`` are a 95 % bootstrap interval of the mean over videos, ``top1_classes_low,
    top1_classes_high`` the same over classes, and ``top1_std`` is the standard deviation over seeds, NaN for one seed.
    If an encoder was pre-trained, ``pretraining`` is chapter 4's text on the data.
    """
    rows = []
    for (name, variant), own in runs.groupby(["set", "variant"], sort=False):
        hits, labels = np.mean([*own["hits"]], axis=0), own["labels"].iloc[0]
        (low, high), over_classes = (
            metrics.bootstrap_interval(hits, labels, np.random.default_rng(0), bootstrap, over=over)
            for over in ("videos", "classes")
        )
        means = dict(own[["chance", "top1", "gzsl_harmonic", "closeness", "dispersion"]].mean())
        spread = {"top1_low": low, "top1_high": high, "top1_std": own["top1"].std()}
        spread |= dict(zip(("top1_classes_low", "top1_classes_high"), over_classes))
        row = {"set": name, "variant": variant, "seeds": len(own)} | protocols.rounded(means | spread)
        rows.append(row | ({"pretraining": own["pretraining"].iloc[0]} if "pretraining" in own else {}))
    return pd.DataFrame(rows)


def scores(table):
    """The few figures of `summary` that DVC compares as metrics, as JSON: set -> variant -> name -> number."""
    names = ["top1", "closeness", "dispersion"]
    found = {name: own.set_index("variant")[names].to_dict("index") for name, own in table.groupby("set", sort=False)}
    return json.dumps(found, indent=1) + "\n"


def markdown(table):
    """A `summary` as a Markdown table: accuracies in percent, and a column for pre-training data if there is any."""
    columns = ["test set", "variant", "top-1 % (95 % interval)", "± over seeds", "times chance"]
    columns += ["seen and unseen, harmonic %", "closeness ↓", "dispersion ↑"]
    pretrained = "pretraining" in table
    columns += ["pre-training data"] * pretrained
    rows = [
        [
            row.set,
            row.variant,
            f"{100 * row.top1:.1f} ({100 * row.top1_low:.1f}–{100 * row.top1_high:.1f})",
            _number(100 * row.top1_std, 1),
            _number(row.top1 / row.chance, 1),
            _number(100 * row.gzsl_harmonic, 1),
            _number(row.closeness, 3),
            _number(row.dispersion, 3),
            *([row.pretraining if isinstance(row.pretraining, str) else "none"] if pretrained else []),
        ]
        for row in table.itertuples()
    ]
    return markdown_table(columns, rows)


def _number(value, digits):
    """The value as text, never "-0.0" or "nan"."""
    return f"{value:z.{digits}f}" if np.isfinite(value) else "–"


def verdicts(runs):
    """Sentences that compare every other variant with ``aurl``, or with the first variant if ``aurl`` is missing.

    ``runs`` are rows of `collect`. The p-values of `aurl.evaluation.differences` are corrected for the number of
    variants.
    """
    variants = [*runs["variant"].unique()]
    method = "aurl" if "aurl" in variants else variants[0]
    if len(variants) == 1:
        return [f"`{method}` is the only variant here: there is nothing to compare it with."]
    sentences = []
    for name, rows in runs.groupby("set", sort=False):
        others = [variant for variant in rows["variant"].unique() if variant != method]
        for row in differences(_per_class(rows), [(other, method) for other in others]).itertuples():
            sure = f" (95 %: {100 * row.low:+.1f} to {100 * row.high:+.1f}), {row.verdict}"
            alone = ", undecided: fewer than three trainings of each tell nothing about others"
            end = sure if np.isfinite(row.low) else alone
            sentences.append(f"{name}: `{row.variant}` − `{method}` is {100 * row.points:+z.1f} points{end}.")
    return sentences


def _per_class(rows):
    """The accuracy of every class in every run, with the columns that `aurl.evaluation.differences` needs."""
    tables = []
    for row in rows.itertuples():
        own = pd.DataFrame({"class": row.labels, "top1": row.hits}).groupby("class", as_index=False).mean()
        own["class"] = np.array(row.names)[own["class"]]
        own["group"] = group_of(row.set, own["class"])
        tables.append(own.assign(variant=row.variant, seed=row.seed, fold=0))
    return pd.concat(tables, ignore_index=True)


def gains(variants, sets):
    """Top-1 of ``variants`` in chapter 5's table, a row per test set, and the relative gain of the last over the first.

    The gain is NaN if the first variant's top-1 is 0. Raises UserError if the table is missing or lacks a variant or
    test set.
    """
    try:
        table = pd.read_csv(paths.SUMMARY, dtype={"set": str, "variant": str}, keep_default_na=False)
        top1 = table.pivot(index="set", columns="variant", values="top1").loc[sets, variants]
    except FileNotFoundError:
        raise UserError(f"{paths.SUMMARY} is missing: compare the variants first, with `dvc repro`.") from None
    except (KeyError, ValueError):
        raise UserError(
            f"{paths.SUMMARY} lacks one of the variants {', '.join(variants)} on {', '.join(sets)}: run `dvc repro`."
        ) from None
    found = top1.add_suffix(" top1").rename_axis(columns=None)
    if len(variants) > 1:
        first, last = top1[variants[0]], top1[variants[-1]]
        found["relative gain"] = (last / first.where(first > 0)) - 1
    return found
