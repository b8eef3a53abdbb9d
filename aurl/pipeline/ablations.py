"""``make ablations``: the same pipeline with more variants and seeds, in a workspace of its own.

    python -m aurl.pipeline.ablations

lays the project out anew in ``build/ablations``, with the section ``ablations`` of ``params.yaml`` in place of ``run``, and
brings chapter 5 back to ``reports/ablations/``. It shares DVC's cache, so that what was trained before is not trained again,
and leaves ``params.yaml``, ``dvc.lock`` and the other reports as they are. A run that was stopped goes on where it was.
"""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import yaml

from aurl import UserError, config
from aurl.files import write_bytes
from aurl.progress import bar

WORKSPACE, RESULTS = Path("build/ablations"), Path("reports/ablations")
PROJECT = [
    "aurl",
    "notebooks",
    "data/vectors",
    "data/descriptions.yaml",
    "dvc.yaml",
    "dvc.lock",
    ".dvc/config",
    ".dvcignore",
]
CHAPTER = {
    "reports/tables/ablations.csv": "ablations.csv",
    "reports/tables/ablations.md": "ablations.md",
    "reports/figures/ablations.png": "ablations.png",
    "reports/figures/closeness_dispersion.png": "closeness_dispersion.png",
    "reports/notebooks/05_ablations.ipynb": "05_ablations.ipynb",
}


def run():
    """Train, evaluate and compare every variant and seed under ``ablations``, as many at a time as ``compute.threads`` leaves cores for.

    Raises UserError with the sentence of the first stage that failed.
    """
    params = config.load(sections=["ablations", "compute", "variants"])
    variants, seeds = params.ablations.variants or list(params.variants), params.ablations.seeds
    lay_out(variants, seeds)
    dvc("repro", "strip", "02_embed_class_names")
    runs = [f"{variant}-{seed}" for seed, variant in product(seeds, variants)]
    cores = os.cpu_count()
    with ThreadPoolExecutor(max(1, cores // (params.compute.threads or cores))) as pool:
        stages = [
            pool.submit(dvc, "--wait-for-lock", "repro", "--single-item", f"03_train@{name}", f"04_evaluate@{name}")
            for name in runs
        ]
        for name, stage in zip(bar(runs, desc="training and evaluating", unit="run"), stages):
            try:
                stage.result()
            except UserError:
                pool.shutdown(cancel_futures=True)
                raise
    dvc("repro", "05_ablations")
    for source, target in CHAPTER.items():
        write_bytes(RESULTS / target, (WORKSPACE / source).read_bytes())


def lay_out(variants, seeds):
    """The project in ``build/ablations``; what earlier runs made there stays, for DVC to judge."""
    for name in PROJECT:
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
    local = f"[cache]\n    dir = {Path('.dvc/cache').resolve()}\n[core]\n    no_scm = true\n"
    write_bytes(WORKSPACE / ".dvc/config.local", local.encode())
    params = yaml.safe_load(Path("params.yaml").read_bytes()) | {"run": {"variants": variants, "seeds": seeds}}
    params["sphere"]["variants"] = variants[:1]  # of chapter 6, which does not run here
    write_bytes(WORKSPACE / "params.yaml", yaml.safe_dump(params, sort_keys=False).encode())


def _places():
    """Files and folders outside of the project proper that its parameters name, where they do so relative to its root."""
    params = config.load(sections=["data", "prepare", "text"])
    places = [params.text.vectors, params.text.describe]
    if params.prepare.proxies:
        places.append(params.prepare.proxies.folder)
        Path(places[-1]).mkdir(parents=True, exist_ok=True)  # or the workspace could not fill it
    for about in params.data.datasets.values():
        places += [
            about.root,
            *([about.annotations] if isinstance(about.annotations, str) else about.annotations or []),
        ]
    return [path for path in places if path and not Path(path).is_absolute()]


def dvc(*arguments):
    """Run DVC in the workspace, quietly; what it says goes into one UserError if it fails."""
    environment = os.environ | {"PYTHONPATH": str(WORKSPACE.resolve())}
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=WORKSPACE, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines()
        said = [line.removeprefix("aurl: ") for line in lines if line.startswith("aurl: ")]
        if not said:
            print(*lines, sep="\n", file=sys.stderr)
        raise UserError(said[-1] if said else f"`dvc {' '.join(arguments)}` failed in {WORKSPACE}, as shown above.")


if __name__ == "__main__":
    try:
        run()
    except UserError as error:
        sys.exit(f"aurl: {error}")
