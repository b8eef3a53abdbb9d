"""Train one variant by hand, as the stage ``03_train`` does.

    python -m aurl.pipeline.train VARIANT SEED
    torchrun --nproc-per-node 8 -m aurl.pipeline.train VARIANT SEED

The first command starts ``train.processes`` itself. On several machines that share the project's folder
(``train.nodes``), run it on each, or the pipeline on one and this on the others. `dvc repro` then reuses the training.
"""

import argparse
import sys

from aurl import UserError, text
from aurl.data.clips import open_set
from aurl.project import config, paths
from aurl.training.loop import train


def run(variant, seed):
    """Train, and return the history. Raises UserError as `aurl.training.loop.train` does."""
    sections = ["data", "text", "clip", "compute", "model", "loss", "generator", "train"]
    params = config.load(variant=variant, seed=seed, sections=sections)
    seen = paths.merged(params.data.train)
    names, word_vectors = text.load_classes(paths.CLASS_VECTORS, seen, params.model.describe)
    vocabulary = text.load_classes(paths.CLASS_VECTORS, paths.WORDS)
    clips = open_set(params, params.data.train, "train", names, seed=seed)
    val = open_set(params, params.data.train, "val", names)
    folder, live = paths.run(variant, seed), paths.live(variant, seed)
    return train(params, clips, val, names, word_vectors, folder, paths.TRAININGS, live=live, vocabulary=vocabulary)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m aurl.pipeline.train", description=__doc__.splitlines()[0])
    parser.add_argument("variant", help="a key under `variants` in params.yaml")
    parser.add_argument("seed", type=int)
    arguments = parser.parse_args()
    try:
        run(arguments.variant, arguments.seed)
    except UserError as error:
        sys.exit(f"aurl: {error}")
