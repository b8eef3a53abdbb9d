"""Train the models of Figure 1: ten classes on a sphere in three dimensions.

    python -m aurl.pipeline.sphere VARIANT

A variant is trained again with features of three dimensions, end to end, on ``sphere.classes``, starting from the video
backbone of its checkpoint. Fixed word vectors are replaced by their first three principal components.
"""

import argparse
import sys

from aurl import UserError, text
from aurl.data.clips import open_set
from aurl.evaluation import protocols
from aurl.project import config, paths
from aurl.training import checkpoints
from aurl.training.loop import train

SECTIONS = ["run", "data", "clip", "compute", "model", "loss", "generator", "train", "evaluate", "sphere"]


def run(variant):
    """Train the variant's three-dimensional model; write it and features of held-out videos to `paths.sphere`."""
    base = config.load(sections=["run"])
    seed = base.run.seeds[0]
    params = config.load(variant=variant, seed=seed, sections=SECTIONS)
    own = {name: getattr(params.sphere, name) for name in ("epochs", "batch", "lr")}
    params = params.replace(model={"dim": 3}, train=own)
    seen = paths.merged(params.data.train)
    names, word_vectors = text.load_classes(paths.CLASS_VECTORS, seen, params.model.describe)
    word_vectors = text.select(names, word_vectors, params.sphere.classes)
    if params.model.semantic == "fixed":
        word_vectors = text.principal(word_vectors, 3)
    classes, folder = params.sphere.classes, paths.sphere(variant)
    clips = open_set(params, params.data.train, "train", classes, seed=seed)
    val = open_set(params, params.data.train, "val", classes)
    start, scratch = paths.run(variant, seed), paths.TRAININGS / "sphere"
    train(params, clips, val, classes, word_vectors, folder, scratch, start=start)
    model, _ = checkpoints.load(folder)
    protocols.save(folder / "features.npz", protocols.features(model, val, word_vectors, params))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m aurl.pipeline.sphere", description=__doc__.splitlines()[0])
    parser.add_argument("variant", help="one of sphere.variants")
    try:
        run(parser.parse_args().variant)
    except UserError as error:
        sys.exit(f"aurl: {error}")
