"""Classify your own videos by any class names.

    aurl classify juggling.mp4 vacation/ --classes "walking a dog, juggling"

The classes need no training videos. The model is one of this project (on disk, on the Hugging Face hub, or at an
address with a digest) or one of the authors' checkpoints. A score is the cosine between video and class name. A margin
is a score minus the next lower one. Skipped files and words without a vector are named on stderr.
"""

import argparse
import json
import sys

from aurl import UserError
from aurl.classify import features, released
from aurl.classify.classifier import Classifier, plain
from aurl.data import names
from aurl.project import config, paths
from aurl.project.files import to_csv


def read_classes(text):
    """Class names from ``text``: separated by commas, or ``@FILE`` with one name a line. Empty names are skipped.

    Raises UserError if the file cannot be read, or if there is no name.
    """
    if text.startswith("@"):
        return names.read(text[1:])
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise UserError("--classes names no class: give names separated by commas, or @FILE with one name a line.")
    return found


def text_table(table):
    """Format a table of `aurl.classify.classifier.COLUMNS` for a terminal, a block per video."""
    labels = table["class"].map(plain)
    width = max((len(label) for label in labels), default=0)
    lines = []
    for video, own in table.groupby("video", sort=False):
        lines += [plain(video), f"     {'class':<{width}}  {'score':>7}  {'margin':>7}"]
        for row, name in zip(own.itertuples(), labels[own.index]):
            margin = "–" if row.margin != row.margin else f"{row.margin:.3f}"
            lines.append(f"{row.rank:>3}  {name:<{width}}  {row.score:>7.3f}  {margin:>7}")
        lines.append("")
    return "\n".join(lines)


def run(options):
    """Classify, print, and return the exit code: 1 if a video was broken."""
    model = options.model or paths.run("aurl", 0)
    clips = options.clips or config.load(sections=["evaluate"]).evaluate.clips[0]
    classes = read_classes(options.classes)
    table, notes, broken = Classifier(model, options.vectors).classify(options.videos, classes, clips, options.top)
    for line in notes + broken:
        print(f"aurl: {plain(line)}", file=sys.stderr)
    if options.json:
        # The last class has no margin, and JSON has no NaN.
        print(json.dumps(table.astype(object).where(table.notna(), None).to_dict("records"), indent=1))
    elif options.csv:
        safe = table.assign(**{name: table[name].map(plain) for name in ("video", "class")})
        print(to_csv(safe), end="")
    elif len(table):
        print(text_table(table), end="")
    return 1 if broken else 0


def parser():
    main_parser = argparse.ArgumentParser("aurl", description="Zero-shot video classification.", allow_abbrev=False)
    commands = main_parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    about = [paragraph.replace("\n", " ") for paragraph in __doc__.split("\n\n")]
    classify = commands.add_parser(
        "classify", help="name what your own videos show", description=f"{about[0]} {about[2]}", allow_abbrev=False
    )
    classify.set_defaults(run=run)
    classify.add_argument(
        "videos", nargs="+", metavar="VIDEO", help="a video, or a folder whose videos are all classified"
    )
    classify.add_argument(
        "--classes", required=True, metavar="NAMES",
        help='class names separated by commas, such as "walking a dog, juggling", or @FILE with one name a line',
    )  # fmt: skip
    classify.add_argument(
        "--model", metavar="MODEL",
        help="a folder with a trained model, a hub id OWNER/NAME, an address https://...#sha256=DIGEST, or a released "
        "checkpoint (runs/aurl-0)",
    )  # fmt: skip
    classify.add_argument(
        "--vectors",
        metavar="SOURCE",
        help="word vectors, class vectors (.npz, .csv, .mat) or a text encoder MODULE:FUNCTION to embed names with "
        "(what the model was trained with)",
    )
    classify.add_argument("--top", type=features.count, default=5, metavar="N", help="classes shown for each video (5)")
    classify.add_argument(
        "--clips", type=features.count, metavar="N",
        help="clips spread over each video, whose features are averaged (the first of evaluate.clips in params.yaml); "
        "more suit long videos",
    )  # fmt: skip
    written = classify.add_mutually_exclusive_group()
    written.add_argument("--csv", action="store_true", help="print CSV, safe to open in a spreadsheet")
    written.add_argument("--json", action="store_true", help="print JSON")
    features.add_command(commands)
    released.add_command(commands)
    return main_parser


def main(arguments=None):
    options = parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # do not fail on a name that the terminal cannot show
    try:
        sys.exit(options.run(options))
    except UserError as error:
        sys.exit(f"aurl: {plain(error)}")


if __name__ == "__main__":
    main()
