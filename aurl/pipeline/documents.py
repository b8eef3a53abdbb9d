"""Tables of the documents that are computed: from parameter files, from measurements and from what the authors state.

``<!-- begin NAME() -->`` in a page stands for the function NAME of `TABLES`; `aurl.pipeline.readme` puts it there. Each
takes ``read``, which gives the text of a file of the project, and returns Markdown, or None where the parameters are
not those that the table is about.
"""

import csv
import re
from statistics import median

import yaml

from aurl.project.config import Sections

DEFAULT, PAPER, STUDIES = "params.yaml", "params.paper.yaml", "reports/ablations"
AUTHORS = {"hours": 45, "gpus": 8}  # of one training, on V100
VIDEOS = {
    "kinetics700": 558_278,
    "trained": 521_647,
    "tested": 20_086,
}  # the authors' copy; without overlap; both tests
COMPARED = ("data", "prepare", "clip", "text", "model", "loss", "generator", "train", "compute", "evaluate", "sphere")
OWN = ("datasets", "classes", "proxies", "descriptions")  # parameters that are no part of the method


def settings(read):
    """Every parameter in which the default, the paper-scale file and the paper are not all alike."""
    small, large, notes = yaml.safe_load(read(DEFAULT)), yaml.safe_load(read(PAPER)), _notes(read(DEFAULT))
    rows = []
    for section in COMPARED:
        for name, value in small[section].items():
            paper, other = notes.get((section, name)), large[section][name]
            if name not in OWN and (value != other or _is_other(paper, other)):
                rows.append((f"`{section}.{name}`", paper or "–", f"`{_short(other)}`", f"`{_short(value)}`"))
    return _table(("parameter", "paper and its released code", f"`{PAPER}`", f"`{DEFAULT}`"), rows)


def cost(read):
    """What one training at the paper's size costs, and what comes before and after it."""
    from aurl.pipeline.heads import RATE_SEEDS  # PyTorch, which takes a while to import

    params = yaml.safe_load(read(PAPER))
    train, tested = params["train"], params["evaluate"]["clips"]
    steps = train["epochs"] * train["steps"]
    clips = steps * train["batch"]
    measured = _rows(read("reports/tables/paper_scale.csv"))
    seconds = median(float(row["seconds"]) for row in measured)
    hours = steps * seconds / 3600
    gpu_hours = AUTHORS["hours"] * AUTHORS["gpus"]
    rate = clips / AUTHORS["hours"] / 3600
    loader = [row for row in _rows(read("reports/tables/loader.csv")) if row["crop"] == params["clip"]["crop"]]
    core = {row["video"]: float(row["per_core"]) for row in loader}  # the last of each kind has the most workers
    made = next(
        row
        for row in _rows(read("reports/tables/decoding.csv"))
        if (row["video"], row["way"]) == ("H.264 340x256", "proxy")
    )
    making = VIDEOS["kinetics700"] * float(made["seconds_to_make"]) / 3600
    disk = VIDEOS["kinetics700"] * float(made["kilobytes"]) / 1e6
    rates, seeds = len(params["heads"]["rates"]), params["heads"]["seeds"]
    trainings = rates * RATE_SEEDS + seeds - RATE_SEEDS
    rows = [
        ("one training", f"{steps:,} steps, {clips:,} clips", f"`{PAPER}`"),
        (
            "the authors' time for it",
            f"{AUTHORS['hours']} hours on {AUTHORS['gpus']} V100: {gpu_hours} GPU hours, {rate:.0f} clips a second",
            "the paper",
        ),
        ("on GPUs that together train M clips a second", f"{clips / 3600:,.0f} / M hours", "arithmetic"),
        (
            f"as measured on {measured[0]['device']}",
            f"{hours:,.0f} hours, or {hours / 24:,.0f} days, at {seconds:.0f} s a step",
            "`benchmarks/paper_scale.py`",
        ),
        (
            f"memory there, `train.micro_batch: {measured[0]['micro_batch']}`",
            f"{float(measured[0]['peak_gb']):.1f} GB",
            "the same",
        ),
        (
            f"cores that decode {rate:.0f} clips a second",
            f"{rate / core['proxy']:.1f} from proxies, {rate / core['original']:.1f} from videos of 340x256 pixels",
            "`benchmarks/loader.py`",
        ),
        (
            f"proxies of {VIDEOS['kinetics700']:,} videos of ten seconds, 340x256",
            f"{making:,.0f} core hours, {disk:,.0f} GB",
            "`benchmarks/decoding.py`",
        ),
        (
            f"features of {VIDEOS['tested']:,} test videos, {' and '.join(map(str, tested))} clips",
            f"{_of(VIDEOS['tested'] * sum(tested), clips)}, and forward only",
            "arithmetic",
        ),
        (
            "features of all training videos, for `heads`",
            f"{_of(VIDEOS['trained'], clips)}, and forward only",
            "arithmetic",
        ),
        (
            f"heads of one variant with {seeds} seeds, at the best of {rates} learning rates",
            f"{trainings * steps:,} steps, without a backbone",
            f"`{PAPER}`",
        ),
    ]
    return _table(("what", "how much", "from"), rows)


def folds(read):
    """What the end-to-end trainings of all folds took together; None where no study is a fold of the verbs."""
    studies = yaml.safe_load(read(DEFAULT))["ablations"]["studies"]
    rows = [
        row for name, lines in studies.items() if "verbs" in lines for row in _rows(read(f"{STUDIES}/{name}/runs.csv"))
    ]
    hours = sum(float(row["seconds"]) for row in rows) / 3600
    return f"Behind this table are {len(rows)} trainings, which took {hours:.1f} hours in sum.\n" if rows else None


def model(read):
    """What the checkpoint of the variant ``aurl`` is; None where it was not trained on the verbs."""
    from aurl import models  # PyTorch, which takes a while to import
    from aurl.rendered import verbs

    params = Sections.model_validate(yaml.safe_load(read(DEFAULT)))
    if params.data.train != ["verbs-seen"]:
        return None
    classes = verbs.classes(params.verbs.fold)
    seen, unseen = len(classes["verbs-seen"]), len(classes["verbs-unseen"])
    dim = int(re.search(r"-(\d+)d", params.text.vectors)[1])
    count = sum(weight.numel() for weight in models.build(params.model, seen, dim).parameters())
    clip, own = params.clip, params.verbs
    kept = own.videos - own.val_videos
    rows = [
        ("parameters", f"{count:,}"),
        ("takes", f"clips of {clip.frames} frames, {clip.stride} apart, of {clip.size}x{clip.size} pixels, in RGB"),
        ("gives", f"{params.model.dim} numbers of unit length for a video, and as many for a class name"),
        ("knows classes by", f"word vectors of {dim} dimensions, `{params.text.vectors}`"),
        ("trained on", f"{seen} verbs, {kept} videos each; {own.val_videos} more choose the epoch"),
        ("tested on", f"{unseen} other verbs, {own.videos} videos each (fold {own.fold})"),
        ("videos", f"{own.frames} frames of {own.size}x{own.size} pixels, rendered"),
        (
            "training",
            f"{params.train.epochs} epochs of batches of {params.train.batch}, learning rate {params.train.lr}",
        ),
    ]
    return _table(("the variant `aurl`", ""), rows)


TABLES = {f"{function.__name__}()": function for function in (settings, cost, folds, model)}


def _notes(text):
    """(section, name) -> what a parameter file's comment says of the paper."""
    found, section = {}, None
    for line in text.splitlines():
        if top := re.match(r"(\w+):", line):
            section = top[1]
        elif own := re.match(r"  (\w+):.*#.*paper: (.+)$", line):
            found[section, own[1]] = own[2]
    return found


def _is_other(note, value):
    """Whether a comment gives one number or name, and another than ``value``: "1e-4" and 0.0001 are the same."""
    if note is None or value is None or not re.fullmatch(r"[\w.-]+", note):
        return False
    try:
        return float(note) != value
    except ValueError:
        return note.removesuffix("_18") != str(value).lower()


def _of(some, clips):
    return f"{some:,} clips, {some / clips:.1%} of a training's"


def _short(value):
    return yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("...\n").strip()


def _rows(text):
    return list(csv.DictReader(text.splitlines()))


def _table(head, rows):
    lines = [f"| {' | '.join(cells)} |" for cells in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]]) + "\n"
