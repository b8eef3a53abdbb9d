"""``make ablations``: run the pipeline with more variants and seeds, once for each study, in a workspace of its own.

    python -m aurl.pipeline.studies [STUDY ...]

A study is the project with some parameters changed and with the variants and seeds under ``ablations`` in place of
those under ``run``; docs/pipeline.md describes ``folds`` and ``adds_to``. Each run has a workspace in
``build/ablations`` and leaves tables in ``reports/studies/RUN``: ``runs.csv``, the metrics and cost of every training,
and ``classes.csv``, the accuracy of every class in every training. If the study has a section ``heads``, the stage of
that name gives ``heads_runs.csv`` and ``heads_classes.csv``, the same on the fixed features of one backbone, and
``heads_sweeps.csv``, where one parameter of one variant has other values. `aurl.pipeline.combine` then brings all folds
of a study together in ``reports/studies/STUDY``.

The workspaces share the caches, so no training is repeated. ``params.yaml``, ``dvc.lock`` and the other reports stay as
they are. An interrupted run continues where it was.
"""

import argparse
import json
import os
import re
import shutil
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from aurl import UserError
from aurl.pipeline import reproduce
from aurl.pipeline.check import check, known_classes
from aurl.pipeline.combine import FIGURES, WORDS, combine_folds
from aurl.pipeline.reproduce import Job, jobs_at_a_time, run_as_command, run_parallel
from aurl.project import config, paths
from aurl.project.files import write_bytes
from aurl.training import checkpoints

WORKSPACES = Path("build/ablations")
PROJECT = [
    "aurl",
    "notebooks",
    "data/vectors",
    "data/embeddings",
    "data/local",
    "data/descriptions.yaml",
    "dvc.yaml",
    ".dvc/config",
    ".dvcignore",
]
RESULTS = ["reports", "dvc.lock"]  # only for a new workspace, where DVC checks out the project's results
HEADS = {
    "reports/tables/heads.csv": "heads_classes.csv",
    "reports/tables/heads_runs.csv": "heads_runs.csv",
    "reports/tables/heads_sweeps.csv": "heads_sweeps.csv",
}


def run(*studies):
    """Train, evaluate and compare every variant and seed of ``studies`` (default: all), with jobs in parallel.

    Raises UserError with the sentence of the first stage that failed, and for a mistake in any study before the first
    one begins.
    """
    found = config.studies()
    for given in studies:
        if not any(given in (name, study.key) for name, study in found.items()):
            raise UserError(f"there is no study {given!r}: ablations.studies has {', '.join(found)}.")
    chosen = {name: own for name, own in found.items() if not studies or {name, own.key} & set(studies)}
    for name in chosen:
        make_workspace(name)
    for name in chosen:
        check(WORKSPACES / name / "params.yaml")
    size, jobs, before = jobs_at_a_time(config.load(sections=["compute", "train"])), {}, set()
    for name, study in chosen.items():
        workspace, made = WORKSPACES / name, f"{name}: what was made before"
        jobs[made] = Job(workspace, "checkout", "--force", "--allow-missing", name=made).run, before
        files = HEADS if "heads" in study.lines else {}
        wanted = ["04_evaluate", *(["heads"] if files else [])]
        own = reproduce.jobs_of(workspace, size, wanted, needs={made})
        jobs |= own
        first = next(iter(own))
        evaluated = {first} | {job for job in own if job.startswith(f"{name}: 04_evaluate")}
        jobs[f"{name}: tables"] = partial(_write_tables, name), evaluated  # another study's failure does not lose them
        jobs[f"{name}: results"] = partial(_keep_heads, name, files), set(own)
        before = {first}  # render one study at a time, on all cores, because folds share videos
    run_parallel(jobs, size)
    combine_folds()


def _write_tables(name):
    """Write `TABLES` of a study's trainings to its reports."""
    own = config.load(WORKSPACES / name / "params.yaml", sections=["run", "data"])
    for table, make in TABLES.items():
        write_bytes(paths.STUDIES / name / table, make(WORKSPACES / name, own).to_csv(index=False).encode())


def _keep_heads(name, files):
    """Copy files of a study's workspace to its reports; ``files`` maps their paths to names there."""
    for source, target in files.items():
        write_bytes(paths.STUDIES / name / target, (WORKSPACES / name / source).read_bytes())


def _classes(workspace, params):
    """Every class's accuracy in every run of a study: ``set, variant, seed, class, videos, top1, top5``."""
    parts = []
    for name, variant, seed in product(params.data.test, params.run.variants, params.run.seeds):
        table = pd.read_csv(
            workspace / paths.per_class(variant, seed, name), dtype={"class": str}, keep_default_na=False
        )
        table = table[["class", "videos", "top1", "top5"]].sort_values("class")
        parts.append(table.assign(set=name, variant=variant, seed=seed))
    return pd.concat(parts)[["set", "variant", "seed", "class", "videos", "top1", "top5"]]


def _runs(workspace, params):
    """The metrics and cost of every training of a study.

    Columns: ``set``, a test set or the training set (its held-out videos); ``variant``; ``seed``; those that
    `FIGURES` and `WORDS` name; ``seconds``, the length of the training; and ``synthetic``, L_US in the last epoch
    divided by ln U, its value for U synthetic classes that cannot be told apart.
    """
    rows, seen = [], paths.merged(params.data.train)
    for variant, seed in product(params.run.variants, params.run.seeds):
        reports = json.loads((workspace / paths.metrics(variant, seed)).read_text())
        last = pd.read_csv(workspace / paths.history(variant, seed)).iloc[-1]
        made = config.load(workspace / "params.yaml", variant).generator.num_classes or 1 / reports[seen]["chance"]
        training = {
            "synthetic": last["synthetic"] / np.log(made) if "synthetic" in last else None,
            "seconds": checkpoints.seconds(workspace / paths.run(variant, seed), paths.TRAININGS),
        }
        for name in [*params.data.test, seen]:
            run = {"set": name, "variant": variant, "seed": seed}
            rows.append(run | {figure: reports[name].get(figure) for figure in FIGURES + WORDS} | training)
    return pd.DataFrame(rows)


TABLES = {"classes.csv": _classes, "runs.csv": _runs}


def make_workspace(name):
    """Copy the project with a study's parameters to its workspace; DVC decides whether earlier results are outdated."""
    workspace, params = WORKSPACES / name, config.study(name)
    for part in PROJECT if (workspace / "dvc.lock").exists() else PROJECT + RESULTS:
        source, target = Path(part), workspace / part
        if source.is_dir():
            shutil.rmtree(target, ignore_errors=True)
            kept = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "studies")
            shutil.copytree(source, target, ignore=kept)
        elif source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    _keep_classes_of_the_sphere(params)
    write_bytes(workspace / "params.yaml", yaml.safe_dump(params, sort_keys=False).encode())
    for path in _places(workspace / "params.yaml"):
        (workspace / path).parent.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(workspace / path):
            (workspace / path).symlink_to(Path(path).resolve())
    (workspace / paths.LIVE / "plots").mkdir(parents=True, exist_ok=True)  # where dvc.yaml looks for curves
    local = f"[cache]\n    dir = {Path('.dvc/cache').resolve()}\n[core]\n    no_scm = true\n"
    write_bytes(workspace / ".dvc/config.local", local.encode())


def _keep_classes_of_the_sphere(params):
    """Replace ``sphere.classes``, which chapter 2 requires, if the study's training sets lack any of them."""
    checked = config.Sections.model_validate(params)
    known = [known_classes(name, checked) for name in checked.data.train]
    if None not in known:
        names = [label.name for own in known for label in own]
        if not set(params["sphere"]["classes"]) <= set(names):
            params["sphere"]["classes"] = names[: len(params["sphere"]["classes"])]


def _places(file):
    """Files and folders outside of the project proper that the parameters in ``file`` name relative to its root."""
    params = config.load(file)
    places = [params.text.vectors, params.text.descriptions]
    # Studies share these caches, so nothing is repeated. Decoded frames belong to one study's sets and are not shared.
    for kept in (paths.ARITHMETIC, paths.HEADS_TRAINED, paths.PROBED, paths.RENDERED, paths.TRAININGS):
        kept.mkdir(parents=True, exist_ok=True)
        places.append(str(kept))
    if params.prepare.proxies:
        places.append(params.prepare.proxies.folder)
        Path(places[-1]).mkdir(parents=True, exist_ok=True)  # so that the workspace can fill it
    for about in params.data.datasets.values():
        annotations = [about.annotations] if isinstance(about.annotations, str) else about.annotations or []
        places += [about.root, *annotations]
        places += [own for own in (about.classes, about.test_lists) if isinstance(own, str)]
        if about.reader == config.FEATURES:
            beside = Path(about.root).with_suffix(".csv"), Path(about.root).with_name("att_splits.mat")
            places += [str(path) for path in beside if path.is_file()]
    places += {own.model.weights for own in config.load_all(file).values()} - {None}
    if params.text.encoder:  # a module in the project's root, and the folder of its weights
        module, _, weights = re.fullmatch(r"(\w+).*?:\w+(\((.+)\))?", params.text.encoder).groups()
        places += [own for own in (f"{module}.py", module, weights) if own and Path(own).exists()]
    return [path for path in places if not Path(path).is_absolute()]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m aurl.pipeline.studies", description=__doc__.splitlines()[0])
    parser.add_argument("study", nargs="*", help="a key under `ablations.studies` in params.yaml (default: all)")
    studies = parser.parse_args().study
    run_as_command(lambda: run(*studies))
