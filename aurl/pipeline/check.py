"""Refuse a parameter file with a slip in it before the first stage runs.

    python -m aurl.pipeline.check [params.yaml] [STAMP]

`aurl.project.config` checks the values of the file. This module checks what they name: paths, relative to the
project's root,
and class names, by the package's own lists. Chapter 2 checks what only the data can tell.
"""

import argparse
import difflib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from aurl import UserError
from aurl.project import config
from aurl.project.config import FEATURES
from aurl.project.config.heads import sweeps
from aurl.project.files import write_bytes


class Class(NamedTuple):
    name: str
    words: str  # what it is embedded by


def check(path: str | Path = "params.yaml") -> None:
    """Check a parameter file, every variant in it included. Raises UserError for the first thing that is amiss."""
    variants = config.load_all(path)
    params = config.load(path)
    for name in params.run.variants:  # a study of `ablations` has its own under run
        _suits_the_backbone(f"{path}: in variant {name}", variants[name])
    try:
        sweeps(path)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    for name in params.sphere.variants if params.ablations.studies else []:  # a study's own file has no chapter 6
        try:
            variants[name].replace(train={"batch": params.sphere.batch})
        except UserError as error:
            raise UserError(f"{path}: with sphere.batch {params.sphere.batch} in variant {name}, {error}") from None
        if variants[name].model.projection == "attributes":
            raise UserError(f"{path}: sphere.variants names {name}, whose features are among all words: leave it out.")
        if variants[name].model.score == "relation":
            raise UserError(f"{path}: sphere.variants names {name}, whose scores are no distances: leave it out.")
    for name in config.studies(path):
        config.study(name, path)
    used = [*params.data.train, *params.data.test]
    for name in used:
        if name in params.data.datasets:
            _has_paths(f"{path}: data.datasets.{name}", params.data.datasets[name])
    _suits_the_model(path, used, params, variants)
    _has_segments(path, used, params, variants)
    for key, file in (("vectors", params.text.vectors), ("descriptions", params.text.descriptions)):
        _is_file(f"{path}: text.{key}", file)
    classes = {name: known_classes(f"{path}: data.datasets.{name}", name, params) for name in params.data.datasets}
    classes |= {name: known_classes(path, name, params) for name in config.VERBS if name in used}
    _is_embedded(path, params, {name: variants[name].model for name in params.run.variants}, [classes[n] for n in used])
    describing = [f"model.describe of variant {name}" for name in params.run.variants if variants[name].model.describe]
    if params.text.describe or describing:
        what = f"{path}: {'text.describe' if params.text.describe else describing[0]}"
        _are_described(what, params.text.descriptions, {name: classes[name] for name in used})
    _are_classes(f"{path}: sphere.classes", params.sphere.classes, [classes[name] for name in params.data.train])


def _suits_the_backbone(where, params):
    """Whether the video backbone can take the clips, and its weights are there."""
    name, frames, size = params.model.backbone, params.clip.frames, params.clip.size
    need = None
    if name.startswith("mvit") and (frames, size) != (16, 224):  # its positions are learned, one by one
        need = "clip.frames 16 and clip.size 224 exactly"
    elif name == "s3d" and (frames < 13 or size < 209):  # its last average is over 2 x 7 x 7 places, each 8 x 32 x 32
        need = "clip.frames 13 and clip.size 209 or more"
    if need:
        raise UserError(f"{where}, model.backbone {name} needs {need}, not {frames} and {size}: change one of these.")
    if params.model.weights is not None:
        _is_file(f"{where}, model.weights", params.model.weights)


def _has_paths(where, about):
    if about.reader == FEATURES:
        _is_file(f"{where}.root", about.root)
    elif not os.path.isdir(about.root):  # false, too, for a name that no file can have
        raise UserError(f"{where}.root: there is no folder {about.root}: write where the videos are.")
    files = [about.annotations] if isinstance(about.annotations, str) else about.annotations or []
    for file in files:
        _is_file(f"{where}.annotations", file)


def _suits_the_model(path, used, params, variants):
    """Whether the sets are all of videos or all of features, and every variant's backbone is for these."""
    fixed = [name for name in used if name in params.data.datasets and params.data.datasets[name].reader == FEATURES]
    videos = [name for name in used if name not in fixed]
    if fixed and videos:
        raise UserError(
            f"{path}: data names {fixed[0]}, which has features, and {videos[0]}, which has videos: one model cannot "
            "see both, so take sets of one kind."
        )
    for variant, own in variants.items():
        if (own.model.backbone == FEATURES) != bool(fixed):
            kind, wanted = ("features", "features") if fixed else ("videos", "a video backbone, such as r2plus1d")
            raise UserError(
                f"{path}: model.backbone is {own.model.backbone} in the variant {variant}, but {used[0]} has {kind}: "
                f"set it to {wanted}."
            )


def _has_segments(path, used, params, variants):
    """Whether features have as many vectors for each video as any variant sees segments of it."""
    most = max(params.run.variants, key=lambda name: variants[name].clip.segments)
    wanted = variants[most].clip.segments
    if wanted == 1 or variants[most].model.backbone != FEATURES:
        return
    from aurl.data.readers import features

    for name in used:
        found = features.load(params.data.datasets[name].root).features.shape[1]
        if found < wanted:
            raise UserError(
                f"{path}: in variant {most}, clip.segments is {wanted}, but {name} has {found} of them for each video: "
                "compute features of more segments, or leave the variant out."
            )


def _is_file(where, file):
    if not os.path.isfile(file):
        raise UserError(f"{where}: there is no file {file}: write the path of one, from the project's root.")


def _is_embedded(path, params, models, sets):
    """Whether the stages see a file of class vectors change, and what replaces the word vectors suits the classes."""
    from aurl.text import check_source

    file = params.text.embeddings
    if file is not None and Path(os.path.abspath(file)).parent != Path("data/embeddings").absolute():
        raise UserError(f"{path}: text.embeddings: the stages do not watch {file}: copy or link it to data/embeddings.")
    check_source(path, params.text, [label.name for own in sets for label in own or []], models)


def known_classes(where, name, params) -> list[Class] | None:
    """The classes of a data set; None where only its folders tell."""
    if name in config.VERBS:
        from aurl.rendered import verbs

        return [Class(label, label) for label in verbs.classes(params.verbs.fold)[name]]
    about = params.data.datasets[name]
    if about.names is None:
        return None
    from aurl.data import names
    from aurl.text import words

    try:
        labels, rules = names.load(about.names)
    except UserError as error:
        raise UserError(f"{where}.names: {error}") from None
    if about.classes is not None:  # the names then only say how the folders' names become words
        return None
    return [Class(label, " ".join(words(label, rules))) for label in labels]


def _are_described(what, file, classes: Mapping[str, list[Class] | None]):
    from aurl.text import describe, load_sentences

    sentences = load_sentences(file)
    for name, known in classes.items():
        for label in known or []:
            try:
                describe(label.words, sentences)
            except UserError as error:
                raise UserError(f"{what} is true, but for the set {name} {error}") from None


def _are_classes(where, wanted, sets: list[list[Class] | None]):
    """Whether all are training classes, as far as the names of all training sets are known."""
    if None in sets:
        return
    known = [label.name for own in sets for label in own or []]
    for name in wanted:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise UserError(
                f"{where} names {name!r}, which is not a class of data.train"
                + (f"; did you mean {near[0]!r}?" if near else ": take classes that are trained on.")
            )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m aurl.pipeline.check", description=__doc__.splitlines()[0])
    parser.add_argument("path", nargs="?", default="params.yaml", help="the parameter file (default: params.yaml)")
    parser.add_argument("stamp", nargs="?", help="a file to write if it is valid, the pipeline's sign of that")
    path, stamp = vars(parser.parse_args()).values()
    try:
        check(path)
        if stamp:
            write_bytes(stamp, b"valid\n")
    except UserError as error:
        sys.exit(f"aurl: {error}")
    print(f"{path} is valid")


if __name__ == "__main__":
    main()
