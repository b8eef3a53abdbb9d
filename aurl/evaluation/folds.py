"""Combine the folds of a study: every class's accuracy in every training, compared class by class.

All folds have the same variants and seeds. Some variants may have more seeds than others; two variants are compared on
the seeds that both have.
"""

import numpy as np
import pandas as pd

from aurl import UserError
from aurl.evaluation.differences import accuracy, difference, group_of
from aurl.project.markdown import markdown_table

RUN = ["variant", "seed"]
MORE = {  # columns of trainings -> columns of the table
    "first_word_top1": "first word right, %",
    "last_word_top1": "last word right, %",
    "gzsl_harmonic": "seen and unseen, harmonic %",
}


def read(files, name):
    """The accuracy of every class of the test set ``name`` in every training of a study, as one table.

    ``files`` maps a fold to the files ``classes.csv`` of its runs (`aurl.pipeline.studies`). Columns: ``fold, variant,
    seed, class, top1, top5``; ``group`` of the class (`aurl.evaluation.differences.group_of`); and ``chance``, the
    chance level among the fold's classes. Raises UserError for a file that is missing or is no such
    table, for a training that occurs twice with a class, and for folds with different trainings.
    """
    places = [(fold, file) for fold, own in files.items() for file in own]
    table = pd.concat([_rows(file, name).assign(fold=fold) for fold, file in places], ignore_index=True)
    twice = table[table.duplicated([*RUN, "class", "fold"])]
    if len(twice):
        variant, seed, label = twice.iloc[0][[*RUN, "class"]]
        raise UserError(
            f"{variant} with the seed {seed} has the class {label!r} in two tables of a fold: give seeds that no other "
            "study has."
        )
    runs = table.groupby("fold")[RUN].apply(lambda own: frozenset(own.itertuples(index=False, name=None)))
    if runs.nunique() > 1:
        raise UserError("the folds do not have the same variants and seeds: run `make ablations` for all of them.")
    return table.assign(group=group_of(name, table["class"]))


def _rows(file, name):
    try:
        table = pd.read_csv(file, dtype={"set": str, "variant": str, "class": str}, keep_default_na=False)
        own = table.loc[(table["set"] == name) & (table["videos"] > 0), [*RUN, "class", "top1", "top5"]]
        own = own.astype({"seed": int, "top1": float, "top5": float})
        return own.assign(chance=1 / own["class"].nunique())
    except FileNotFoundError:
        raise UserError(f"{file} is missing: run `make ablations`.") from None
    except (KeyError, ValueError, ZeroDivisionError):
        raise UserError(f"{file} is no table of the classes of {name}: delete it and run `make ablations`.") from None


def per_class(table, variant):
    """Mean top-1 of every class over folds and seeds: a series with classes as its index, best first."""
    own = table[table["variant"] == variant]
    return own.groupby("class")["top1"].mean().sort_values(ascending=False, kind="stable")


def summary(table):
    """A row per variant, with means over classes and trainings.

    ``top1``, and ``times`` (``top1`` divided by chance), have 95 % intervals (`aurl.evaluation.differences`); ``top5``
    has none.
    """
    rows = []
    for variant, own in table.groupby("variant", sort=False):
        top1, chance = accuracy(table, variant), own["chance"].mean()
        rows.append(
            {
                "variant": variant, "seeds": own["seed"].nunique(), "classes": own["class"].nunique(),
                "chance": chance, "top1": top1.mean, "low": top1.low, "high": top1.high,
                "times": top1.mean / chance, "times_low": top1.low / chance, "times_high": top1.high / chance,
                "top5": own["top5"].mean(),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def comparable(table, variant, baseline):
    """Whether the two variants have a seed in common."""
    seeds = [set(table.loc[table["variant"] == name, "seed"]) for name in (variant, baseline)]
    return not seeds[0].isdisjoint(seeds[1])


def markdown(table, method, trainings):
    """`summary`, and each other variant's difference from ``method``, as one Markdown table; accuracies in percent.

    ``trainings`` has a row per training; means of its columns in `MORE` are added.
    """
    others = [name for name in table["variant"].unique() if name != method and comparable(table, method, name)]
    versus = {name: difference(table, name, method) for name in others}
    known = [name for name in MORE if name in trainings and trainings[name].notna().any()]
    means = trainings.groupby("variant")[known].mean()
    columns = ["variant", "seeds", "top-1 % (95 %)", "times chance (95 %)", "top-5 %", *(MORE[name] for name in known)]
    columns.append(f"variant − {method}, points (95 %)")
    rows = []
    for row in summary(table).itertuples():
        cells = [
            row.variant,
            str(row.seeds),
            _with_interval("{:.1f}", 100 * row.top1, 100 * row.low, 100 * row.high),
            _with_interval("{:.1f}", row.times, row.times_low, row.times_high),
            f"{100 * row.top5:.1f}",
            *(f"{100 * share:.1f}" for share in means.loc[row.variant]),
        ]
        other = versus.get(row.variant)
        cells += [_with_interval("{:+z.1f}", *(100 * value for value in other[:3])) if other else "–"]
        rows.append(cells)
    return markdown_table(columns, rows)


def _with_interval(form, mean, low, high):
    """A number with its interval as text; without the interval if it is infinite (too few trainings)."""
    return form.format(mean) + (f" ({form.format(low)} to {form.format(high)})" if low > -np.inf else "")
