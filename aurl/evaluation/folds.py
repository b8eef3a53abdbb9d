"""What several studies say together of one test set, whose classes they share out: folds over classes.

Each class is unseen in one study, and all studies have the same variants and seeds. So variants are compared class by
class, and an interval over classes says what to expect of other classes. Some variants may have more seeds than others:
two are compared by the seeds that both have.
"""

from itertools import product

import numpy as np
import pandas as pd

from aurl import UserError
from aurl.project.markdown import markdown_table

RUN = ["variant", "seed"]
SURE = 0.05  # a p-value below this decides


def share_out(studies, name):
    """Whether no class of the test set ``name`` is in the tables of two of the studies."""
    classes = [set().union(*(_rows(file, name)["class"] for file in files)) for files in studies]
    return sum(map(len, classes)) == len(set().union(*classes))


def read(studies, name):
    """The rows of the test set ``name`` in the tables that `aurl.pipeline.studies` left.

    ``studies`` has a list of tables for each study: its own, and those of trainings that were added to it. Further
    columns are ``study``, its place in the list, and ``chance``, that of guessing among its classes. Raises UserError
    for a file that is missing or no such table, for a training that occurs twice with a class, and for trainings that
    not all classes have.
    """
    places = [(place, file) for place, files in enumerate(studies) for file in files]
    table = pd.concat([_rows(file, name).assign(study=place) for place, file in places], ignore_index=True)
    twice = table[table.duplicated([*RUN, "class"])]
    if len(twice):
        variant, seed, label = twice.iloc[0][[*RUN, "class"]]
        raise UserError(
            f"{variant} with the seed {seed} has the class {label!r} in two tables: give folds that share no class, "
            "and seeds that no other study has."
        )
    runs = table.groupby("class", sort=False)[RUN].apply(lambda own: frozenset(own.itertuples(index=False, name=None)))
    if runs.nunique() > 1:
        raise UserError("the studies do not have the same variants and seeds: run `make ablations` for all of them.")
    return table


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
    """Top-1 of every class, a mean over seeds, as a series, best first."""
    own = table[table["variant"] == variant]
    return own.groupby("class")["top1"].mean().sort_values(ascending=False, kind="stable")


def summary(table, resamples=10_000, seed=0):
    """A row per variant: ``seeds``, ``classes``, ``top1`` with its 95 % interval ``low``, ``high``, ``times`` chance
    with ``times_low``, ``times_high``, and ``top5``.

    All are means over classes of means over seeds. Intervals are percentile bootstraps over classes.
    """
    rows = []
    for variant, own in table.groupby("variant", sort=False):
        classes = own.groupby("class")[["top1", "top5", "chance"]].mean()
        top1, chance = classes["top1"].to_numpy(), classes["chance"].mean()
        low, high = _interval(top1, resamples, seed)
        rows.append(
            {
                "variant": variant, "seeds": own["seed"].nunique(), "classes": len(classes), "chance": chance,
                "top1": top1.mean(), "low": low, "high": high, "times": top1.mean() / chance,
                "times_low": low / chance, "times_high": high / chance,
                "top5": classes["top5"].mean(),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def comparable(table, ours, theirs):
    """Whether both variants were trained with one and the same seed."""
    return not set(_top1(table, ours)).isdisjoint(_top1(table, theirs))


def paired(table, pairs, resamples=10_000, seed=0):
    """Variants against variants, a row for each (ours, theirs) in ``pairs``, all of which are `comparable`.

    ``points`` is the mean difference of top-1 in [-1, 1]. For its 95 % interval, ``low`` to ``high``, classes
    and seeds are drawn anew together. Two tests flip signs at random: ``p_classes`` those of whole classes, which says
    whether the difference would be there with other classes, and ``p_trainings`` those of whole trainings, a seed in a
    study, which says the same of other trainings; where those of a study share a backbone, of other trainings on these
    backbones. ``p`` is the larger one, corrected by Holm's method for the number of
    rows; ``verdict`` is "above" or "below" where p < 0.05, else "undecided".
    """
    rows = []
    for ours, theirs in pairs:
        ours_at, theirs_at = (_top1(table, name) for name in (ours, theirs))
        difference = (ours_at - theirs_at).dropna(axis=1)  # a row per class, a column per seed of both
        study = table.drop_duplicates("class").set_index("class")["study"].loc[difference.index]
        means, trainings = difference.mean(axis=1).to_numpy(), difference.groupby(study.to_numpy()).sum().to_numpy()
        low, high = _interval(difference.to_numpy(), resamples, seed)
        rows.append(
            {
                "ours": ours, "theirs": theirs, "points": means.mean(), "low": low, "high": high,
                "p_classes": _flipped(means, resamples, seed),
                "p_trainings": _flipped(trainings.ravel(), resamples, seed),
            }
        )  # fmt: skip
    found = pd.DataFrame(rows, columns=["ours", "theirs", "points", "low", "high", "p_classes", "p_trainings"])
    found["p"] = holm(found[["p_classes", "p_trainings"]].max(axis=1).to_numpy(float))
    sure = found["p"] < SURE
    found["verdict"] = np.where(~sure, "undecided", np.where(found["points"] > 0, "above", "below"))
    return found


def _top1(table, variant):
    return table[table["variant"] == variant].pivot(index="class", columns="seed", values="top1")


def markdown(table, method, minutes):
    """What `summary` and `paired` return, as one Markdown table, accuracies in percent.

    ``minutes`` maps a variant to how long a training took, in the mean; without any, there is no such column.
    """
    others = [name for name in table["variant"].unique() if name != method and comparable(table, method, name)]
    versus = paired(table, [(method, name) for name in others]).set_index("theirs")
    cost = ["minutes"] if len(minutes) else []
    columns = ["variant", "seeds", "top-1 % (95 % over classes)", "times chance (95 %)", "top-5 %", *cost]
    columns += [f"{method} against it, points (95 %)", "p", ""]
    rows = []
    for row in summary(table).itertuples():
        cells = [
            row.variant,
            str(row.seeds),
            f"{100 * row.top1:.1f} ({100 * row.low:.1f}–{100 * row.high:.1f})",
            f"{row.times:.1f} ({row.times_low:.1f}–{row.times_high:.1f})",
            f"{100 * row.top5:.1f}",
            *([f"{minutes[row.variant]:.1f}" if row.variant in minutes else "–"] if cost else []),
        ]
        if row.variant in versus.index:
            other = versus.loc[row.variant]
            cells += [f"{100 * other.points:+.1f} ({100 * other.low:+.1f} to {100 * other.high:+.1f})"]
            cells += [f"{other.p:.3f}", other.verdict]
        else:
            cells += ["–", "–", ""]
        rows.append(cells)
    return markdown_table(columns, rows)


def _interval(values, resamples, seed):
    """Of the mean of ``values``, (classes,) or (classes, seeds), whose rows and columns are drawn anew."""
    values = values.reshape(len(values), -1)
    rng = np.random.default_rng(seed)
    rows, columns = (rng.multinomial(count, [1 / count] * count, resamples) / count for count in values.shape)
    means = ((rows @ values) * columns).sum(axis=1)
    return tuple(np.quantile(means, [0.025, 0.975]))


def _flipped(differences, resamples, seed):
    """The two-sided p-value of a sum, if every one of its terms might as well have the other sign: exact for few."""
    count, exact = len(differences), 2 ** len(differences) <= resamples
    signs = (
        np.array(list(product([-1.0, 1.0], repeat=count)))
        if exact
        else np.random.default_rng(seed).choice([-1.0, 1.0], (resamples, count))
    )
    extreme = np.abs(signs @ differences) >= abs(differences.sum()) - 1e-12
    return extreme.mean() if exact else (extreme.sum() + 1) / (resamples + 1)


def holm(p):
    """Holm's step-down correction of several p-values."""
    order = np.argsort(p)
    corrected = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    result = np.empty_like(p)
    result[order] = np.minimum(corrected, 1)
    return result
