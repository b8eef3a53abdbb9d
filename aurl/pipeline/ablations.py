"""``make ablations``: the same pipeline with more variants and seeds, in a workspace of its own.

    python -m aurl.pipeline.ablations

lays the project out anew in ``build/ablations``, with the section ``ablations`` of ``params.yaml`` in place of ``run``,
and brings chapter 5 back to ``reports/ablations/``. The workspace shares DVC's cache, so a training that was done
before is not repeated. ``params.yaml``, ``dvc.lock`` and the other reports stay as they are. An interrupted run
continues where it was.
"""

import os
import shutil
from pathlib import Path

import yaml

from aurl import config, paths
from aurl.files import write_bytes
from aurl.pipeline.reproduce import Job, at_once, run_as_command, side_by_side

WORKSPACE, RESULTS = Path("build/ablations"), Path("reports/ablations")
PROJECT = [
    "aurl",
    "notebooks",
    "data/vectors",
    "data/descriptions.yaml",
    "dvc.yaml",
    ".dvc/config",
    ".dvcignore",
]
MADE = ["dvc.lock", "reports"]  # with which DVC brings back what the project has made, when a workspace begins
CHAPTER = {
    "reports/tables/ablations.csv": "ablations.csv",
    "reports/tables/ablations.md": "ablations.md",
    "reports/tables/claims.md": "claims.md",
    "reports/figures/ablations.png": "ablations.png",
    "reports/figures/closeness_dispersion.png": "closeness_dispersion.png",
    "reports/notebooks/05_ablations.ipynb": "05_ablations.ipynb",
}


def run():
    """Train, evaluate and compare every variant and seed under ``ablations``, as many at a time as there are cores for.

    Raises UserError with the sentence of the first stage that failed.
    """
    params = config.load(sections=["ablations", "compute", "train", "variants"])
    ablations = params.ablations.model_copy(update={"variants": params.ablations.variants or list(params.variants)})
    lay_out(ablations.variants, ablations.seeds)
    Job(WORKSPACE, "checkout", "--force", "--allow-missing", name="what was made before").run()
    side_by_side(WORKSPACE, ablations, at_once(params))
    Job(WORKSPACE, "repro", "05_ablations", name="05_ablations").run()
    for source, target in CHAPTER.items():
        write_bytes(RESULTS / target, (WORKSPACE / source).read_bytes())


def lay_out(variants, seeds):
    """The project in ``build/ablations``; what earlier runs made there stays, for DVC to judge."""
    for name in PROJECT if (WORKSPACE / "dvc.lock").exists() else PROJECT + MADE:
        source, target = Path(name), WORKSPACE / name
        if source.is_dir():
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
        elif source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    for path in _places():
        (WORKSPACE / path).parent.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(WORKSPACE / path):
            (WORKSPACE / path).symlink_to(Path(path).resolve())
    for kind in ("plots", "metrics"):  # where dvc.yaml looks for curves
        (WORKSPACE / paths.LIVE / kind).mkdir(parents=True, exist_ok=True)
    local = f"[cache]\n    dir = {Path('.dvc/cache').resolve()}\n[core]\n    no_scm = true\n"
    write_bytes(WORKSPACE / ".dvc/config.local", local.encode())
    params = yaml.safe_load(Path("params.yaml").read_bytes()) | {"run": {"variants": variants, "seeds": seeds}}
    params["sphere"]["variants"] = variants[:1]  # of chapter 6, which does not run here
    write_bytes(WORKSPACE / "params.yaml", yaml.safe_dump(params, sort_keys=False).encode())


def _places():
    """Files and folders outside of the project proper that its parameters name relative to its root."""
    params = config.load(sections=["data", "prepare", "text"])
    places = [params.text.vectors, params.text.descriptions]
    for kept in (paths.ARITHMETIC, paths.FRAMES, paths.PROBED, paths.TRAININGS):  # what was done once is not repeated
        kept.mkdir(parents=True, exist_ok=True)
        places.append(str(kept))
    if params.prepare.proxies:
        places.append(params.prepare.proxies.folder)
        Path(places[-1]).mkdir(parents=True, exist_ok=True)  # or the workspace could not fill it
    for about in params.data.datasets.values():
        annotations = [about.annotations] if isinstance(about.annotations, str) else about.annotations or []
        places += [about.root, *annotations]
    return [path for path in places if not Path(path).is_absolute()]


if __name__ == "__main__":
    run_as_command(run)
