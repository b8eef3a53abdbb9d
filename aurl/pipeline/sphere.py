"""Figure 1's models: ten classes on a sphere in three dimensions.

    python -m aurl.pipeline.sphere VARIANT

A model of many dimensions cannot be drawn without distortion. So a variant is trained anew with three, end to end, on
the classes of ``sphere.classes``, from the video backbone of its trained checkpoint. Fixed word vectors become their
first three principal components.
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
    """Train the variant's three-dimensional model; it and the features of held-back videos go to `paths.sphere`."""
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
    clips = open_set(params, params.data.train, "train", params.sphere.classes, seed=seed)
    val = open_set(params, params.data.train, "val", params.sphere.classes)
    folder = paths.sphere(variant)
    train(
        params,
        clips,
        val,
        params.sphere.classes,
        word_vectors,
        folder,
        paths.TRAININGS / "sphere",
        start=paths.run(variant, seed),
    )
    model, _ = checkpoints.load(folder)
    protocols.save(folder / "features.npz", protocols.features(model, val, word_vectors, params))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m aurl.pipeline.sphere", description=__doc__.splitlines()[0])
    parser.add_argument("variant", help="one of sphere.variants")
    try:
        run(parser.parse_args().variant)
    except UserError as error:
        sys.exit(f"aurl: {error}")
