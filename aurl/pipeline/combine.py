"""Combine the folds of a study into the tables and pictures in ``reports/studies/STUDY``.

For every test set there are ``SET.md``, a table of variants; ``SET-claims.md``, the verdicts; ``SET-classes.png``, the
accuracy of every class; ``SET-distance.png``, this accuracy against the distance to the nearest seen class; and
``SET-metrics.png``, accuracy against dispersion and closeness. Over all test sets there are ``summary.csv``, the
accuracy of every variant; ``gains.csv``, the relative gain of AURL over E2E; ``staircase.png``, the losses added one by
one; and ``seen.png``, accuracy on unseen against seen classes. Heads on fixed features have ``SET-heads.md``,
``SET-heads-claims.md``, ``SET-heads-metrics.png`` and, for the sweeps, ``SET-heads-sweeps.png``.

All use the confirmatory folds, or the exploratory fold `aurl.evaluation.claims.EXPLORATORY` if there is no other. One
column of the verdicts always shows the exploratory fold.
"""

import sys

import numpy as np
import pandas as pd

from aurl import UserError, figures, text
from aurl.evaluation import claims, folds, protocols
from aurl.evaluation.differences import gain
from aurl.figures import ablations, evaluation
from aurl.pipeline.check import known_classes
from aurl.project import config, paths
from aurl.project.files import write_bytes

FIGURES = ["top1", "top5", "gzsl_harmonic", "closeness", "dispersion"]  # of each training on a test set
WORDS = ["first_word_top1", "last_word_top1"]  # also, if all class names have several words
GAIN = "aurl", "e2e"  # the method and the baseline of the paper's relative gain


def combine_folds():
    """Combine every study's runs that have results; an addition counts only if every fold with results has it."""
    found, variants = config.studies(), config.load_all()
    for key in dict.fromkeys(study.key for study in found.values() if study.base is None):
        for kind in ("", "heads"):
            part = f"{kind}_" if kind else ""
            folds_of = {
                config.study(name)["verbs"]["fold"]: [name, *(own for own in found if found[own].base == name)]
                for name, study in found.items()
                if study.key == key and study.base is None and (paths.STUDIES / name / f"{part}classes.csv").exists()
            }
            added = [
                {found[name].key for name in own if (paths.STUDIES / name / f"{part}classes.csv").exists()}
                for own in folds_of.values()
            ]
            everywhere = set.intersection(*added) if added else set()
            runs = {fold: [name for name in own if found[name].key in everywhere] for fold, own in folds_of.items()}
            combined = {}
            for test in config.study(runs[min(runs)][0])["data"]["test"] if runs else ():
                try:
                    combined[test] = _combine(key, test, kind, runs, variants)
                except UserError as error:  # the runs stay; only their combination is missing
                    print(f"aurl: no table of {test} over the folds of {key}: {error}", file=sys.stderr)
            if combined and not kind:
                _over_sets(key, combined, runs)


def _combine(key, test, kind, runs, variants):
    """Write the tables and pictures of one test set; ``runs`` maps a fold to the runs with its trainings.

    ``variants`` maps the names of variants to their parameters, in the order of the tables. Returns the rows of
    `aurl.evaluation.folds.read` of the confirmatory folds.
    """
    stem, part = (f"{test}-{kind}", f"{kind}_") if kind else (test, "")
    stem = f"{key}/{stem}"
    every = folds.read(
        {fold: [paths.STUDIES / name / f"{part}classes.csv" for name in own] for fold, own in runs.items()}, test
    )
    order = {name: place for place, name in enumerate(variants)}
    every = every.sort_values("variant", key=lambda names: names.map(order), kind="stable", ignore_index=True)
    every_training = _rows(f"{part}runs.csv", runs, test)
    every_training = every_training.sort_values("variant", key=lambda names: names.map(order), kind="stable")
    table, trainings = _confirming(every), _confirming(every_training)
    method = table["variant"].iloc[0]
    write_bytes(paths.STUDIES / f"{stem}.md", folds.markdown(table, method, trainings).encode())
    verdicts = claims.markdown(claims.decide(every, every_training, claims.learn_classes(variants)))
    write_bytes(paths.STUDIES / f"{stem}-claims.md", verdicts.encode())
    chance, title = table["chance"].mean(), f"{test}, {_among(table)}"
    _save(f"{stem}-metrics", ablations.accuracy_and_metrics(trainings, chance, f"{title}, {_seeds(table)}"))
    if kind:
        sweeps = _confirming(_rows("heads_sweeps.csv", runs, test))
        if len(sweeps):
            keys = ["parameter", "value", "seed"]
            sweeps = sweeps.groupby(keys, sort=False)[["chosen", "top1"]].mean().reset_index()
            _save(f"{stem}-sweeps", ablations.parameter_sweeps(sweeps, chance, title))
        return table
    accuracy, title = folds.per_class(table, method), f"{method} on {title}, {_seeds(table)}"
    own = f"{title}: {len(accuracy)} classes"
    _save(f"{stem}-classes", evaluation.class_accuracies(accuracy.to_numpy(), list(accuracy.index), chance, own))
    near = [_nearest_seen(runs[fold][0], test) for fold in table["fold"].unique()]
    if all(own is not None for own in near):
        near = pd.concat(near).groupby("class", as_index=False).first().merge(accuracy.reset_index(), on="class")
        source = config.study(runs[table["fold"].iloc[0]][0])["text"]
        vector = "class vector" if source["embeddings"] or source["encoder"] else "word vector"
        _save(f"{stem}-distance", evaluation.semantic_distance({title: near}, {title: chance}, vector))
    return table


def _over_sets(key, combined, runs):
    """Write a study's files over all test sets; ``combined`` maps each test set to the result of `_combine`."""
    summary = pd.concat([folds.summary(table).assign(set=test) for test, table in combined.items()])
    summary = summary.replace([-np.inf, np.inf], np.nan)  # intervals of too few trainings
    write_bytes(paths.STUDIES / key / "summary.csv", summary.round(6).to_csv(index=False).encode())
    both = {test: table for test, table in combined.items() if folds.comparable(table, *GAIN)}
    rows = [{"set": test, "folds": _among(table)} | gain(table, *GAIN)._asdict() for test, table in both.items()]
    gains = pd.DataFrame(rows, columns=["set", "folds", "mean", "low", "high"])
    gains = gains.replace([-np.inf, np.inf], np.nan)
    write_bytes(paths.STUDIES / key / "gains.csv", gains.round(6).to_csv(index=False).encode())
    first = next(iter(combined.values()))
    title = f"{_among(first)}, {_seeds(first)}"
    _save(f"{key}/staircase", ablations.staircase(summary, title))
    seen = config.study(next(iter(runs.values()))[0])["data"]["train"]
    trainings = _confirming(pd.concat([_rows("runs.csv", runs, name) for name in [*combined, paths.merged(seen)]]))
    _save(f"{key}/seen", ablations.seen_and_unseen(trainings, paths.merged(seen), title))


def _rows(file, runs, test):
    """The rows of the set ``test`` in the table ``file`` of all runs; the column ``fold`` has the fold."""
    kinds = {"set": str, "variant": str, "value": str}  # text, as parameters have values of different types
    parts = [
        pd.read_csv(paths.STUDIES / name / file, dtype=kinds).assign(fold=fold)
        for fold, own in runs.items()
        for name in own
    ]
    parts = pd.concat(parts)
    return parts[parts["set"] == test]


def _confirming(table):
    """The rows of the confirmatory folds, or all where there is only the exploratory one."""
    own = table[table["fold"] != claims.EXPLORATORY]
    return own if len(own) else table


def _among(table):
    numbers = sorted(table["fold"].unique())
    return f"fold{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"


def _seeds(table):
    counts = table.groupby("variant")["seed"].nunique()
    low, high = counts.min(), counts.max()
    return f"{low} to {high} seeds" if low < high else f"{high} seed{'s' * bool(high > 1)}"


def _save(name, figure):
    write_bytes(paths.STUDIES / f"{name}.png", figures.picture(figure).data)


def _nearest_seen(study, test):
    """`aurl.evaluation.protocols.nearest_seen` of a study's test set and the training classes that chapter 2 keeps.

    None if only folders name the classes.
    """
    params = config.Sections.model_validate(config.study(study))
    labels = {name: known_classes(name, params) for name in params.data.train + params.data.test}
    if None in labels.values():
        return None
    source = text.open_source(**params.text.source)
    sentences = text.load_sentences(params.text.descriptions) if params.text.describe else None

    def embedded(*sets):
        own = {label.name: label for name in sets for label in labels[name]}
        spoken = [label.words if source.column == "words" else label.name for label in own.values()]
        return list(own), text.embed_described(source, spoken, sentences) if sentences else source.embed(spoken)

    tests = {name: embedded(name) for name in params.data.test}
    far, _ = text.without_overlap(embedded(*params.data.train), tests, params.text.overlap)
    return protocols.nearest_seen(text.share(*far, params.text.share, params.sphere.classes), tests[test])
