"""Put generated tables and sentences into the documents: ``make docs``.

``<!-- begin FILE -->`` in a document stands for a file that the pipeline or a benchmark made, ``<!-- begin NAME() -->``
for a function of this module. The text between it and the next ``<!-- end -->`` is replaced.
"""

import json
import re
import sys
from io import StringIO
from pathlib import Path

import pandas as pd
import yaml

from aurl import UserError, models, text
from aurl.evaluation import reported
from aurl.project.config import Sections
from aurl.project.files import write_bytes
from aurl.project.markdown import markdown_table

SUMMARY = "reports/tables/ablations.csv"
STUDY = "reports/studies/pairs"
LOSSES = {  # in the README's table
    "aurl": "$L_S + L_C + L_{US}$, class generator of the paper",
    "aurl_released": "$L_S + L_C + L_{US}$, class generator as released",
    "visual_centers": "$L_S + L_C$",
    "contrastive": "$L_S$",
    "alignment": "$L_S$ without uniformity",
    "e2e": "the baseline: regression onto fixed word vectors",
}
METHOD_SECTIONS = ["data", "prepare", "clip", "text", "model", "loss", "generator", "train", "evaluate"]
OWN = ["datasets", "proxies", "descriptions"]  # depend on a machine or a data set
AUTHORS_HOURS, AUTHORS_GPUS = 45, 8  # of one training, on V100
KINETICS, TRAINED, TESTED = 558_278, 521_647, 20_086  # the authors' videos: all, those they trained on, both test sets
MARKED = re.compile(r"(<!-- begin (\S+) -->\n)(.*?)(<!-- end -->)", re.S)


def read(path):
    """The text of a generated file. Raises UserError where it does not exist yet."""
    try:
        return Path(path).read_text()
    except FileNotFoundError:
        raise UserError(f"{path} is missing: make it with `make reproduce`, or `make ablations` for studies.") from None


def content(name):
    """The text that belongs between the markers of ``name``."""
    return TABLES[name]() if name in TABLES else read(name)


def fill(document):
    """The text of a document with the content of all its markers."""
    return MARKED.sub(lambda found: found[1] + content(found[2]) + found[4], document)


def frame(path):
    """A generated CSV file as a data frame."""
    return pd.read_csv(StringIO(read(path)))


def summary():
    """The README's table: top-1 of the main variants over the confirmatory folds, with intervals."""
    table = frame(f"{STUDY}/summary.csv")
    tests = list(table["set"].unique())
    rows = []
    for variant, own in table.groupby("variant", sort=False):
        if variant in LOSSES:
            cells = [
                f"{100 * row.top1:.1f}"
                + (f" ({100 * row.low:.1f} to {100 * row.high:.1f})" if row.low == row.low else "")  # not NaN
                + f", {row.times:.0f} times chance"
                for row in own.set_index("set").loc[tests].itertuples()
            ]
            rows.append([f"`{variant}`", LOSSES[variant], *cells])
    return markdown_table(["variant", "loss", *(f"`{name}`, top-1 % (95 %)" for name in tests)], rows)


def verdict():
    """How many of the paper's claims hold on each test set of the study."""
    gains = frame(f"{STUDY}/gains.csv")
    return "".join(
        f"- `{row.set}`, {row.folds}: {read(f'{STUDY}/{row.set}-claims.md').splitlines()[0]}\n"
        for row in gains.itertuples()
    )


def gains():
    """The relative gain of `aurl` over `e2e` on each test set of the study, and the paper's."""
    rows = [
        [f"`{row.set}`", f"{100 * row.mean:.0f} ({100 * row.low:.0f} to {100 * row.high:.0f})"]
        for row in frame(f"{STUDY}/gains.csv").itertuples()
    ]
    rows += [[f"{name.upper()}, the paper", f"{100 * gain:.1f}"] for name, gain in reported.GAINS.items()]
    return markdown_table(["test set", "relative gain, % (95 %)"], rows)


def installation():
    """The downloads and the disk space of the environment."""
    size = frame("reports/tables/installation.csv").set_index("what")["gb"]
    download, disk = size["download"], size["environment"]
    return f"The environment, installed on first use, takes {download:.1f} GB of downloads and {disk:.1f} GB on disk.\n"


def settings():
    """Every parameter of the method that differs between the default and the paper's setting."""
    default, paper = yaml.safe_load(read("params.yaml")), yaml.safe_load(read("params.paper.yaml"))
    rows = [
        [f"`{section}.{name}`", f"`{paper[section].get(name)}`", f"`{value}`"]
        for section in METHOD_SECTIONS
        for name, value in default[section].items()
        if name not in OWN and value != paper[section].get(name)
    ]
    return markdown_table(["parameter", "`params.paper.yaml`", "`params.yaml`"], rows)


def model():
    """Facts on the checkpoint of the variant ``aurl``."""
    params = Sections.model_validate(yaml.safe_load(read("params.yaml")))
    seen = len(frame("reports/tables/overlap.csv").query("not removed")["class"].unique())
    chance = frame(SUMMARY).groupby("set", sort=False)["chance"].first()
    dim = text.WordVectors.load(params.text.vectors).embed(["walk"]).shape[1]
    count = sum(weight.numel() for weight in models.build(params.model, seen, dim).parameters())
    clip, train = params.clip, params.train
    rows = [
        ["parameters", f"{count:,}"],
        ["input", f"clips of {clip.frames} frames, {clip.stride} apart, of {clip.size}x{clip.size} pixels, in RGB"],
        ["output", f"a unit vector of {params.model.dim} numbers for each video and for each class name"],
        ["class names", f"word vectors of {dim} dimensions, `{params.text.vectors}`"],
        ["training set", f"{' and '.join(f'`{name}`' for name in params.data.train)}, {seen} classes"],
        *(["test set", f"`{name}`, {1 / level:.0f} other classes"] for name, level in chance.items()),
        ["training", f"{train.epochs} epochs of batches of {train.batch}, learning rate {train.lr}"],
    ]
    return markdown_table(["variant `aurl`", ""], rows)


def beside_others():
    """What others report on each test set, and our accuracies where the pipeline has measured some."""
    params = Sections.model_validate(yaml.safe_load(read("params.yaml")))
    ours: dict[str, dict] = {name: {} for name in ("ucf101", "hmdb51", "kinetics600")}
    for path in sorted(Path("reports/metrics").glob("*.json")):
        for name, figures in json.loads(path.read_text()).items():
            about = params.data.datasets.get(name)
            official = about and (about.names or about.reader)
            if official in ours and name in params.data.test:
                ours[official][path.stem] = figures
    return reported.table(ours, params.evaluate.clips[0])


def cost():
    """The cost of one training at the paper's size, of its data and of its evaluation."""
    params = yaml.safe_load(read("params.paper.yaml"))
    steps = params["train"]["epochs"] * params["train"]["steps"]
    clips, tested = steps * params["train"]["batch"], TESTED * sum(params["evaluate"]["clips"])
    rate = clips / AUTHORS_HOURS / 3600
    step, loader = frame("reports/tables/paper_scale.csv"), frame("reports/tables/loader.csv")
    hours = steps * step["seconds"].median() / 3600
    per_core = loader[loader["crop"] == params["clip"]["crop"]].groupby("video")["per_core"].last()
    proxy = frame("reports/tables/decoding.csv").query("video == 'H.264 340x256' and way == 'proxy'").iloc[0]
    making, disk = KINETICS * proxy["seconds_to_make"] / 3600, KINETICS * proxy["kilobytes"] / 1e6
    rows = [
        ["one training", f"{steps:,} steps, {clips:,} clips", "`params.paper.yaml`"],
        [
            "the authors' time for it",
            f"{AUTHORS_HOURS} hours on {AUTHORS_GPUS} V100, {rate:.0f} clips a second",
            "the authors",
        ],
        ["on GPUs that together train M clips a second", f"{clips / 3600:,.0f} / M hours", "arithmetic"],
        [
            f"on {step['device'][0]}",
            f"{hours:,.0f} hours at {step['seconds'].median():.0f} s a step",
            "`benchmarks/paper_scale.py`",
        ],
        [
            f"memory there, `train.micro_batch: {step['micro_batch'][0]}`",
            f"{step['peak_gb'][0]:.1f} GB",
            "`benchmarks/paper_scale.py`",
        ],
        [
            f"cores that decode {rate:.0f} clips a second",
            f"{rate / per_core['proxy']:.1f} from proxies, {rate / per_core['original']:.1f} from 340x256 pixels",
            "`benchmarks/loader.py`",
        ],
        [
            f"proxies of {KINETICS:,} videos of ten seconds, 340x256",
            f"{making:,.0f} core hours, {disk:,.0f} GB",
            "`benchmarks/decoding.py`",
        ],
        [
            f"features of {TESTED:,} test videos",
            f"{tested:,} clips, {tested / clips:.1%} of a training's, forward only",
            "arithmetic",
        ],
        [
            "features of all training videos, for `heads`",
            f"{TRAINED:,} clips, {TRAINED / clips:.1%} of a training's, forward only",
            "arithmetic",
        ],
    ]
    return markdown_table(["item", "cost", "source"], rows)


MADE_HERE = summary, verdict, gains, installation, settings, model, cost, beside_others
TABLES = {f"{function.__name__}()": function for function in MADE_HERE}


def main():
    documents = {path: fill(path.read_text()) for path in (*Path().glob("*.md"), *Path("docs").glob("*.md"))}
    for path, document in documents.items():  # or none, where a table is missing
        if document != path.read_text():
            write_bytes(path.resolve(), document.encode())


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"aurl: {error}")
