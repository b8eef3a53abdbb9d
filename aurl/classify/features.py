"""Compute features of data sets on disk with any video encoder.

    aurl features kinetics700 ucf101 --encoder /data/clip-vit-base-patch32 --pretraining "image-text pairs"

The parameter file defines the sets under data.datasets. Each set becomes a file for the reader "features", to train
AURL's heads on. An interrupted run continues.
"""

import argparse
import sys
from pathlib import Path

from aurl import UserError
from aurl.data import prepare, pretraining
from aurl.project import config
from aurl.project.config import FEATURES
from aurl.project.config.sentences import nearest
from aurl.training.encoders import NETWORKS
from aurl.training.extraction import extract


def count(text):
    """Parse a number of 1 or more."""
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text} is no such number: give 1 or more")
    return int(text)


def add_command(commands):
    """Add ``features`` to the subcommands of ``aurl``."""
    about = [paragraph.replace("\n", " ") for paragraph in __doc__.split("\n\n")]
    parser = commands.add_parser(
        "features", help="compute features of data sets", description=f"{about[0]} {about[2]}", allow_abbrev=False
    )
    parser.set_defaults(run=run)
    parser.add_argument("datasets", nargs="+", metavar="DATASET", help="a set of data.datasets")
    parser.add_argument(
        "--encoder", required=True, metavar="ENCODER",
        help="a folder with a model of transformers (CLIP, X-CLIP, VideoMAE), MODULE:FUNCTION, or a network of "
        f"torchvision: {', '.join(NETWORKS)}",
    )  # fmt: skip
    parser.add_argument("--weights", metavar="FILE", help="the weights of a network of torchvision, a state dict")
    parser.add_argument(
        "--pretraining", required=True, metavar="NAMES",
        help='what the encoder was trained on, separated by commas: "kinetics400" or another known set, any text, such '
        'as "image-text pairs", or none. Tables show which test classes were among it.',
    )  # fmt: skip
    parser.add_argument("--params", default="params.yaml", metavar="FILE", help="the parameter file (params.yaml)")
    parser.add_argument("--out", default="data/features", metavar="FOLDER", help="where files go (data/features)")
    parser.add_argument("--segments", type=count, default=1, metavar="N", help="clips of each video, a vector each (1)")
    parser.add_argument("--frames", type=count, metavar="N", help="frames of a clip (the encoder's own)")
    parser.add_argument(
        "--stride", type=lambda text: text if text == "spread" else count(text), metavar="N",
        help="from frame to frame of a clip, or spread, over all of its segment (the encoder's own)",
    )  # fmt: skip
    parser.add_argument("--size", type=count, metavar="N", help="height and width of a clip in pixels (the encoder's)")
    parser.add_argument(
        "--crop", choices=["crop", "squash"], default="crop", help="cut out the middle, or squash the picture (crop)"
    )
    parser.add_argument("--batch", type=count, default=16, metavar="N", help="clips at a time (16)")
    parser.add_argument("--dtype", choices=["float32", "float16"], default="float32", help="type of numbers (float32)")
    parser.add_argument("--processes", type=count, default=1, metavar="N", help="processes, one per accelerator (1)")


def run(options):
    """Compute the features of every set, print new files and how to use them, and return the exit code 0."""
    params = config.load(options.params, sections=["data", "prepare", "compute"])
    sets = list(dict.fromkeys(options.datasets))
    for name in sets:
        _check(options.params, name, params.data.datasets)
    stated = [text.strip() for text in options.pretraining.split(",") if text.strip() not in ("", "none")]
    settings = {name: getattr(options, name) for name in ("segments", "frames", "stride", "size", "crop", "batch")}
    settings |= {"dtype": options.dtype, "processes": options.processes, "compute": params.compute}
    originals = params.prepare.model_copy(update={"proxies": None})  # encoders may take larger pictures than proxies
    entries = []
    for name in sets:
        about, file = params.data.datasets[name], Path(options.out, f"{name}.npz")
        rows = prepare.usable_videos(name, about, originals, file.with_name(f"{name}-rejected.csv"))
        made = extract(rows, options.encoder, options.weights, file, settings, stated, f"features of {name}")
        print(f"{file} {'has' if made else 'is up to date, with'} the features of {len(rows)} videos")
        official, classes = rows.attrs["list"], sorted(rows["class"].unique())
        if name not in params.data.train and (said := pretraining.warning(stated, classes, official, name)):
            print(f"aurl: {said}", file=sys.stderr)
        entries.append(f"    {name}: {_entry(about, file, official, len(classes))}")
    print("\nIn params.yaml:\n\ndata:\n  datasets:", *entries, "model:\n  backbone: features", sep="\n")
    return 0


def _check(path, name, datasets):
    if name not in datasets:
        known = f"; there are {', '.join(datasets)}" if datasets else ", which is empty"
        raise UserError(f"{path}: data.datasets has no {name}{known}{nearest(name, datasets)}")
    if datasets[name].reader == FEATURES:
        raise UserError(f"{path}: data.datasets.{name} has features already: name a set of videos.")


def _entry(about, file, official, classes):
    parts = {"reader": FEATURES, "root": file, "names": official}
    if about.classes is not None:
        parts["classes"] = about.classes if isinstance(about.classes, str) else classes
    parts["test_lists"] = about.test_lists
    return "{" + ", ".join(f"{key}: {value}" for key, value in parts.items() if value is not None) + "}"
