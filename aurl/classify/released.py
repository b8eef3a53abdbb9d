"""Evaluate one of the authors' checkpoints on the test sets on your disk, without training.

    aurl released AURL662_checkpoint.pth.tar --params params.paper.yaml

Test sets are the sets on disk under ``data.test``; no training set is needed. The command runs every protocol of the
fourth chapter that needs no seen class, at 1 clip and at 25 clips per video. Clips have the checkpoint's own format and
come from the original videos, not from proxies. The table goes to the terminal and to ``reports/released``. Below it,
one line for each expected accuracy of the checkpoint says whether ours agrees.
"""

import re
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd

from aurl import UserError
from aurl.classify.features import count
from aurl.data import prepare
from aurl.data.clips import Clips
from aurl.data.names import truze
from aurl.data.readers import test_lists
from aurl.evaluation import protocols, published
from aurl.project import config
from aurl.project.files import write_bytes
from aurl.text import WordVectors
from aurl.training import devices
from aurl.training.inference import encode, encode_classes
from aurl.training.released import CLIP, load_released

RESULTS = Path("reports/released")
EXPECTED = Path(__file__).with_suffix(".csv")  # the authors' own results, with sources
TOLERANCE = 0.3  # points between an expected accuracy and ours; decoders and resizing change accuracies by less
LINES = {
    "videos": "{videos}",
    "classes": "{classes}",
    "all classes, top-1 (95 % interval over videos)": "{top1:.1%} ({top1_low:.1%}–{top1_high:.1%})",
    "all classes, top-1, 95 % interval over classes": "{top1_classes_low:.1%}–{top1_classes_high:.1%}",
    "all classes, top-5": "{top5:.1%}",
    "all classes, mean per class": "{mean_per_class:.1%}",
    "half of the classes, top-1 (10 draws)": "{half_top1:.1%} ± {half_top1_std:.1%}",
    "half of the classes, top-5 (10 draws)": "{half_top5:.1%} ± {half_top5_std:.1%}",
    "half of the classes, mean per class (10 draws)": "{half_mean_per_class:.1%} ± {half_mean_per_class_std:.1%}",
    "TruZe's unseen classes": "{truze_classes}",
    "TruZe's unseen classes, top-1": "{truze_top1:.1%}",
    "TruZe's unseen classes, top-5": "{truze_top5:.1%}",
    "TruZe's unseen classes, mean per class": "{truze_mean_per_class:.1%}",
    "official splits, top-1": "{lists_top1:.1%} ± {lists_top1_std:.1%}",
    "official splits, top-5": "{lists_top5:.1%} ± {lists_top5_std:.1%}",
    "official splits, mean per class": "{lists_mean_per_class:.1%} ± {lists_mean_per_class_std:.1%}",
    "160 new classes of Kinetics-600, top-1 (3 draws)": "{draws_top1:.1%} ± {draws_top1_std:.1%}",
    "160 new classes of Kinetics-600, top-5 (3 draws)": "{draws_top5:.1%} ± {draws_top5_std:.1%}",
    "160 new classes, mean per class (3 draws)": "{draws_mean_per_class:.1%} ± {draws_mean_per_class_std:.1%}",
    "closeness ↓": "{closeness:.3f}",
    "dispersion ↑": "{dispersion:.3f}",
}


@devices.explain_out_of_memory("evaluate.batch")
def evaluate(checkpoint, path="params.yaml", counts=(1, 25), expected=EXPECTED):
    """Every figure of a released checkpoint, as a table with one row per number of clips and test set.

    Columns are as in `aurl.evaluation.protocols.report` and `aurl.evaluation.published`, and NaN for sets that lack a
    protocol. ``official`` names the class list of a set that has all its classes. TruZe's figures are over its
    ``truze_classes`` unseen classes. After every row, the table is written to ``reports/released`` as CSV and Markdown,
    with a list of rejected videos. Raises UserError for a checkpoint that is missing, word vectors of another
    dimension, and test sets that are missing or refused by their readers.

    Args:
        checkpoint: a file for `aurl.training.released.load_released`.
        path: the parameter file.
        counts: numbers of clips per video.
        expected: as in `agreement`.
    """
    params = config.load(path)
    sets = [name for name in params.data.test if name in params.data.datasets]
    if not sets:
        raise UserError(
            f"{path}: data.test names no test set on disk: write UCF101 or HMDB51 there and under data.datasets, "
            "as params.paper.yaml does."
        )
    if features := [name for name in sets if params.data.datasets[name].reader == config.FEATURES]:
        raise UserError(
            f"{path}: {features[0]} has precomputed features, but a released checkpoint needs videos: name other sets "
            "in data.test."
        )
    _expected(checkpoint, expected)  # fail early
    model = load_released(checkpoint).to(devices.best_device())
    vectors, word_dim = WordVectors.load(params.text.vectors), model.class_encoder[0].in_features
    if vectors.dim != word_dim:
        raise UserError(
            f"{params.text.vectors} has word vectors of {vectors.dim} dimensions but {checkpoint} takes {word_dim}: "
            "set text.vectors to those it was trained on, GoogleNews-vectors-negative300.bin for the authors' own."
        )
    stem = RESULTS / re.sub(r"(\.(pth|pt|tar))+$", "", Path(checkpoint).name)
    rejected = stem.with_name(f"{stem.name}-rejected.csv")
    data = params.data.model_copy(update={"train": [], "test": sets})
    originals = params.prepare.model_copy(update={"proxies": None})
    tests = dict(zip(sets, prepare.datasets(data, originals, rejected)[0]))
    embedded = {name: _embedded(videos, vectors) for name, videos in tests.items()}
    official = {name: params.data.datasets[name].official for name in sets}
    folders = {name: params.data.datasets[name].test_lists for name in sets}
    lists = {name: test_lists.read(folder, official[name]) for name, folder in folders.items() if folder}
    rows = []
    for number in dict.fromkeys(counts):
        batch = max(1, params.evaluate.batch // number)  # a constant number of clips at a time
        for name, (classes, word_vectors) in embedded.items():
            clips = Clips(tests[name], classes, CLIP, number)
            video, labels = encode(model, clips, batch, params.compute, f"{name}, {_clips(number)} per video")
            features = {"video": video, "classes": encode_classes(model, word_vectors), "labels": labels}
            unseen = truze(official[name])["unseen"]
            unseen = [place for place, label in enumerate(classes) if label in unseen]
            row = {"set": name, "clips": number, "videos": len(labels), "classes": len(classes)}
            row["official"] = official[name] if params.data.datasets[name].classes is None else None
            row |= {"truze_classes": len(unseen)} | protocols.report(features, params.evaluate.bootstrap, truze=unseen)
            if name in lists:
                row |= published.over_lists(features, clips.ids, lists[name])
            if official[name] == "kinetics600" and (draws := published.kinetics600_draws(classes)):
                row |= published.over_draws(features, draws)
            rows.append(row)
            table, arithmetic = pd.DataFrame(rows), devices.choose_arithmetic(model, CLIP, batch, params.compute)
            facts = f"Word vectors: {Path(params.text.vectors).name}. Arithmetic: {arithmetic.precision}."
            write_bytes(f"{stem}.csv", table.to_csv(index=False).encode())
            compared = "".join(f"- {line}\n" for line in agreement(checkpoint, table, expected))
            page = f"# {Path(checkpoint).name}\n\n{markdown(table)}\n{facts}\n\n{compared}"
            write_bytes(f"{stem}.md", page.encode())
    return table


def agreement(checkpoint, table, expected=EXPECTED):
    """One line for each expected accuracy of a checkpoint: expected, found, and whether both agree.

    If none is expected, one line says so.

    ``table`` is the result of `evaluate`; ``expected`` is a CSV file with the columns ``checkpoint`` (the beginning of
    the file's name), ``set`` (its official class list), ``clips, figure, expected`` (in percent) and ``source``.
    Accuracies agree where they differ by at most `TOLERANCE` points. Raises UserError for a file of another kind.
    """
    found = table.drop_duplicates(["official", "clips"]).set_index(["official", "clips"])
    known, lines = _expected(checkpoint, expected), []
    if known.empty:
        return [f"{Path(checkpoint).name}: {expected} lists no checkpoint of this name, so nothing is compared"]
    for row in known.itertuples():
        name = f"{row.set}, {_clips(row.clips)}, {row.figure}: expected {row.expected:.2f} % ({row.source})"
        place = (row.set, row.clips)
        ours = 100 * found.loc[place, row.figure] if place in found.index and row.figure in found else np.nan
        if np.isnan(ours):
            lines.append(f"{name}, not evaluated")
            continue
        apart = round(abs(ours - row.expected), 6)  # 27.37 and 27.07 differ by 0.3
        verdict = "agrees" if apart <= TOLERANCE else f"differs by {apart:.2f} points"
        lines.append(f"{name}, found {ours:.2f} %: {verdict}")
    return lines


def _expected(checkpoint, file):
    """The rows of a file of expected accuracies that are about this checkpoint."""
    try:
        rows = pd.read_csv(file)
        mine = [Path(checkpoint).name.startswith(name) for name in rows["checkpoint"].astype(str)]
        columns = ["set", "clips", "figure", "expected", "source"]
        rows = rows.loc[mine, columns].astype({"clips": int, "expected": float})
        if rows["expected"].isna().any():
            raise ValueError
        return rows
    except (OSError, ValueError, KeyError):
        columns = "checkpoint, set, clips, figure, expected and source"
        raise UserError(f"{file} is no table of expected accuracies: give a CSV file with {columns}.") from None


def _embedded(videos, vectors):
    """Sorted class names and their word vectors (C, W)."""
    classes = videos.drop_duplicates("class").sort_values("class")
    return classes["class"].tolist(), vectors.embed(classes["words"].tolist())


def _clips(count):
    return f"{count} clip{'s' if count > 1 else ''}"


def markdown(table):
    """The result of `evaluate` as an aligned Markdown table: a line per figure that a row has, a column per row."""
    columns = [["", *LINES]]
    for row in table.to_dict("records"):
        cells = [line.format_map(defaultdict(lambda: np.nan, row)) for line in LINES.values()]
        cells = ["–" if "nan" in cell else cell for cell in cells]
        columns.append([f"{row['set']}, {_clips(row['clips'])}", *cells])
    columns = list(zip(*[line for line in zip(*columns) if {*line[1:]} != {"–"}]))
    widths = [max(map(len, column)) for column in columns]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(line, widths)) for line in zip(*columns)]
    lines.insert(1, " | ".join("-" * width for width in widths))
    return "".join(f"| {line} |\n" for line in lines)


def add_command(commands):
    """Add ``released`` to the subcommands of ``aurl``."""
    about = [paragraph.replace("\n", " ") for paragraph in __doc__.split("\n\n")]
    parser = commands.add_parser(
        "released", help="evaluate one of the authors' checkpoints", description=f"{about[0]} {about[2]}",
        allow_abbrev=False,
    )  # fmt: skip
    parser.set_defaults(run=run)
    parser.add_argument("checkpoint", help="AURL662_checkpoint.pth.tar, or another of that layout")
    parser.add_argument(
        "--params", default="params.yaml", help="where the test sets and word vectors are (params.yaml)"
    )
    parser.add_argument("--clips", type=count, nargs="+", default=[1, 25], help="clips per video (1 25)", metavar="N")
    parser.add_argument("--expected", default=EXPECTED, help="accuracies to compare with (the authors' own)")


def run(options):
    """Evaluate, print, and return the exit code 0."""
    table = evaluate(options.checkpoint, options.params, options.clips, options.expected)
    print(markdown(table), *agreement(options.checkpoint, table, options.expected), sep="\n")
    return 0
