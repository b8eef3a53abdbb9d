"""Paths of the files that one stage writes and another reads, relative to the project's root."""

from pathlib import Path

MANIFEST = Path("data/manifest.csv")  # 01: one row per video
CLASS_VECTORS = Path("data/class_vectors.npz")  # 02: class names and their vectors, by data set
WORDS = "words of the training classes"  # 02: the entry of CLASS_VECTORS with these words and their vectors
VERBS = Path("data/verbs")  # 01: the videos of the built-in benchmark
REJECTED = Path("reports/tables/rejected.csv")  # 01: videos left out, each with its reason
OVERLAP = Path("reports/tables/overlap.csv")  # 02: training classes and their nearest test class
KINETICS_OVERLAP = Path("reports/tables/kinetics_overlap.csv")  # 02: the same at the paper's scale
SUMMARY = Path("reports/tables/ablations.csv")  # 05: the variants side by side
SUMMARY_MARKDOWN = SUMMARY.with_suffix(".md")
CLAIMS = SUMMARY.with_name("claims.md")  # 05: the comparison in sentences
STUDIES = Path("reports/studies")  # results of `make ablations`
HEADS = Path("reports/tables/heads.csv")  # heads: every class's accuracy in every training on fixed features
HEADS_RUNS = HEADS.with_name("heads_runs.csv")  # heads: a row per training
HEADS_SWEEPS = HEADS.with_name("heads_sweeps.csv")  # heads: the same for every value of heads.sweeps
FIGURES = Path("reports/figures")
SITE = Path("build/site")  # site: the report, to open in a browser
STAGE_CODE = Path("build/code")  # code: digests of the code of stages that are modules
SCORES = Path("reports/scores.json")  # 05: the few figures that `dvc metrics diff` compares

LIVE = Path("build/live")  # curves of running trainings
CACHE = Path("build/cache")  # kept between runs, and made again where missing; see `aurl.project.cache`
RENDERED = CACHE / "rendered"  # videos of the built-in benchmark
FRAMES = CACHE / "frames"  # decoded frames
PROBED = CACHE / "probed"  # length, size and digest of every video
TRAININGS = CACHE / "trainings"  # states of unfinished trainings, and finished ones
ENCODED = CACHE / "features"  # features of videos
HEADS_TRAINED = CACHE / "heads"  # trainings on fixed features
ARITHMETIC = CACHE / "arithmetic"  # measured precision and memory layout


def merged(names):
    """The name of several training sets that are used as one, in `CLASS_VECTORS`, features and metrics.

    >>> merged(["kinetics700", "activitynet"])
    'kinetics700+activitynet'
    """
    return "+".join(names)


def run(variant, seed):
    """03: the checkpoint's folder."""
    return Path(f"runs/{variant}-{seed}")


def history(variant, seed):
    """03: one row per epoch."""
    return Path(f"reports/history/{variant}-{seed}.csv")


def live(variant, seed):
    """03: live curves."""
    return LIVE / f"{variant}-{seed}"


def features(variant, seed, name, clips=None):
    """04: the features of the data set ``name``, with the first of ``evaluate.clips``, or another number."""
    return Path(f"build/features/{variant}-{seed}", f"clips{clips}" if clips else "", f"{name}.npz")


def encoded(variant, seed, name, clips):
    """04: the cache's copy of `features`."""
    return ENCODED / f"{variant}-{seed}" / f"clips{clips}" / f"{name}.npz"


def predictions(variant, seed, name):
    """04: the five best classes of every video of the data set ``name``."""
    return Path(f"build/predictions/{variant}-{seed}/{name}.csv")


def per_class(variant, seed, name):
    """04: the accuracies of every class of the data set ``name``."""
    return Path(f"build/predictions/{variant}-{seed}/classes/{name}.csv")


def metrics(variant, seed):
    """04: the figures of every data set."""
    return Path(f"reports/metrics/{variant}-{seed}.json")


def sphere(variant):
    """06: the checkpoint and features of the three-dimensional model for Figure 1."""
    return Path(f"build/sphere/{variant}")


def heads(name):
    """heads: the features of the data set ``name`` by one backbone, in the layout of `aurl.data.readers.features`."""
    return Path(f"build/heads/{name}.npz")
