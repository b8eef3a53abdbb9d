"""Validate params.yaml, and everything that it names, before anything runs.

    python -m aurl.pipeline.check [params.yaml] [STAMP]

`aurl.project.config` checks the values of the file. This module checks paths, relative to the project's root; lists the
videos of every data set, without opening one; and checks that all classes have word vectors, and that there are enough
classes and training videos. Later stages can still fail on the content of videos, or if a training diverges.
"""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from aurl import UserError
from aurl.project import config, machines
from aurl.project.config import FEATURES
from aurl.project.config.heads import sweeps
from aurl.project.files import write_bytes


class Class(NamedTuple):
    name: str
    words: str  # the name as embedded
    videos: int = 0  # training videos


def check(path: str | Path = "params.yaml") -> None:
    """Check a parameter file with all its variants. Raises UserError for the first mistake."""
    variants = config.load_all(path)
    params = config.load(path)
    _check_local(Path(path).with_name(config.file.LOCAL))
    for name in params.run.variants:  # a study's own file lists its variants here
        _check_backbone(f"{path}: in variant {name}", variants[name])
    with _prefixed(path):
        swept = sweeps(path)
    with_sphere = bool(params.ablations.studies)  # false in a study's own file: studies skip chapter 6
    for name in params.sphere.variants if with_sphere else []:
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
    for name, about in params.data.datasets.items():
        if about.names is not None:
            from aurl.data import names

            with _prefixed(f"{path}: data.datasets.{name}.names"):
                names.load(about.names)
        if name in used:
            _check_paths(f"{path}: data.datasets.{name}", about)
            if about.reader == FEATURES:
                from aurl.data import pretraining

                with _prefixed(path):
                    pretraining.of_set(name, about)
    _check_kinds(path, used, params, variants)
    for key, file in (("vectors", params.text.vectors), ("descriptions", params.text.descriptions)):
        _check_file(f"{path}: text.{key}", file)
    tables = {}
    if any(name in params.data.datasets for name in used):
        from aurl.data import prepare

        with _prefixed(path):
            tables = prepare.list_videos(params.data, params.prepare)
    for name, table in tables.items():
        about = params.data.datasets[name]
        if about.test_lists is not None:
            from aurl.data.readers import test_lists
            from aurl.evaluation.published import of_lists

            with _prefixed(f"{path}: data.datasets.{name}.test_lists"):
                of_lists(table["id"], test_lists.read(about.test_lists, about.official))
    _check_segments(path, tables, params, variants)
    classes = {
        name: _classes_of(tables[name]) if name in tables else known_classes(name, params) or [] for name in used
    }
    _check_source(path, params, {name: variants[name].model for name in params.run.variants}, classes)
    describing = [f"model.describe of variant {name}" for name in params.run.variants if variants[name].model.describe]
    videos = _training_classes(path, params, classes, ["text.describe"] * params.text.describe + describing)
    if with_sphere:
        own = {name: videos[name] for name in params.sphere.classes}
        _check_batch(f"{path}: sphere.batch is {params.sphere.batch}", params.sphere.batch, own)
    for name in dict.fromkeys([*params.run.variants, *(params.heads.variants or [])]):
        batch = variants[name].train.batch
        _check_batch(f"{path}: train.batch is {batch} in the variant {name}", batch, videos)
    for key, value, _, heads in swept:
        batch, part = heads.train.batch, heads.text.share / params.text.share
        _check_batch(f"{path}: train.batch is {batch} for {key} {value} of heads.sweeps", batch, _shared(videos, part))


def unused_accelerators(path: str | Path = "params.yaml") -> str | None:
    """A warning if no variant under ``run`` trains on all accelerators of this machine, else None."""
    params, found = config.load_all(path), machines.accelerators()
    used = max(params[name].train.processes for name in config.load(path, sections=["run"]).run.variants)
    if used >= found:
        return None
    return f"{path}: train.processes is {used} and this machine has {found} accelerators: to use all, set it to auto."


@contextmanager
def _prefixed(where: str | Path) -> Iterator[None]:
    """Put the place ``where`` in front of an error's sentence."""
    try:
        yield
    except UserError as error:
        sentence = str(error)
        raise UserError(f"{where}: {sentence}" + "." * (sentence[-1] not in ".?")) from None


def _check_backbone(where, params):
    """Check that the video backbone accepts the clips, and that the file of its weights exists."""
    name, frames, size = params.model.backbone, params.clip.frames, params.clip.size
    need = None
    if name.startswith("mvit") and (frames, size) != (16, 224):  # its position embeddings have this size
        need = "clip.frames 16 and clip.size 224 exactly"
    elif name == "s3d" and (frames < 13 or size < 209):  # it pools 2 x 7 x 7 places with strides 8 x 32 x 32
        need = "clip.frames 13 and clip.size 209 or more"
    if need:
        raise UserError(f"{where}, model.backbone {name} needs {need}, not {frames} and {size}: change one of these.")
    if params.model.weights is not None:
        _check_file(f"{where}, model.weights", params.model.weights)


def _check_local(path):
    """Check that ``params.local.yaml`` links into the watched folder; an editor may have replaced the link."""
    watched = path.with_name("data") / "local"
    if path.is_file() and path.resolve().parent != watched.resolve():
        raise UserError(
            f"{path} is no link into {watched}, which the stages watch: move it to {watched}/params.yaml, and run "
            f"`git checkout {path}`."
        )


def _check_paths(where, about):
    if about.reader == FEATURES:
        _check_file(f"{where}.root", about.root)
    elif not os.path.isdir(about.root):  # False also for an invalid name
        raise UserError(f"{where}.root: there is no folder {about.root}: write where the videos are.")
    files = [about.annotations] if isinstance(about.annotations, str) else about.annotations or []
    for file in files:
        _check_file(f"{where}.annotations", file)


def _check_kinds(path, used, params, variants):
    """Check that all sets are videos or all are features, as every variant's backbone needs."""
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


def _check_segments(path, tables, params, variants):
    """Check that sets of features have enough segments for every variant."""
    most = max(params.run.variants, key=lambda name: variants[name].clip.segments)
    wanted = variants[most].clip.segments
    for name, table in tables.items():
        found = int(table["frames"].iloc[0]) if variants[most].model.backbone == FEATURES else wanted
        if found < wanted:
            raise UserError(
                f"{path}: in variant {most}, clip.segments is {wanted}, but {name} has {found} of them for each video: "
                "compute features of more segments, or leave the variant out."
            )


def _check_file(where, file):
    if not os.path.isfile(file):
        raise UserError(f"{where}: there is no file {file}: write the path of one, from the project's root.")


def _check_source(path, params, models, classes):
    """Check that the stages watch the file of class vectors, and that every class has one."""
    from aurl.text import check_source

    file = params.text.embeddings
    if file is not None and Path(os.path.abspath(file)).parent != Path("data/embeddings").absolute():
        raise UserError(f"{path}: text.embeddings: the stages do not watch {file}: copy or link it to data/embeddings.")
    check_source(path, params.text, {name: [label.name for label in own] for name, own in classes.items()}, models)


def known_classes(name: str, params: config.Sections) -> list[Class] | None:
    """The classes that the parameters imply for a data set; None if only its folders name them.

    Their ``videos`` are counted for the built-in benchmark only, and 0 elsewhere.
    """
    if name in config.BUILT_IN:
        from aurl.rendered import sets

        videos = Counter(video.name for video in sets.videos(params.verbs, [name]) if video.split == "train")
        return [Class(label, label, videos[label]) for label in sets.classes(params.verbs.fold)[name]]
    from aurl.data import names
    from aurl.text import words

    about = params.data.datasets[name]
    lists = [about.names] if about.names else names.LISTS.get(about.reader, ())
    if about.classes is not None or len(lists) != 1:
        return None
    labels, rules = names.load(lists[0])
    return [Class(label, " ".join(words(label, rules))) for label in labels]


def _classes_of(table) -> list[Class]:
    """The classes of a reader's table."""
    training = (table["use"] == "train").groupby(table["class"]).sum()
    spoken = table.drop_duplicates("class").set_index("class")["words"]
    return [Class(label, text, int(training[label])) for label, text in spoken.items()]


def _training_classes(
    path, params: config.Params, classes: Mapping[str, list[Class]], describing: list[str]
) -> dict[str, int]:
    """The number of training videos of every class that chapter 2 keeps.

    ``describing`` lists the parameters that need descriptions. Raises UserError for a class without a vector or a
    description, and for ``sphere.classes`` that are not kept.
    """
    from aurl.text import closest, describe, embed_described, load_sentences, open_source

    spoken = {name: [label.words for label in own] for name, own in classes.items()}
    with _prefixed(path):
        sentences = load_sentences(params.text.descriptions) if describing else {}
        source = open_source(**params.text.source)
    for name in classes if describing else ():
        with _prefixed(f"{path}: {describing[0]} is true, but for the set {name}"):
            spoken[f"the descriptions of {name}"] = [" ".join(describe(text, sentences)) for text in spoken[name]]
    if "vectors" in params.text.source:  # `_check_source` checks the other sources
        with _prefixed(path):
            source.fetch({word for texts in spoken.values() for text in texts for word in text.split()})  # in one pass
        for name, texts in spoken.items():
            with _prefixed(f"{path}: in {name}"):
                source.embed(texts)
    seen: dict[str, Class] = {}  # classes with the same words count as one
    for label in (label for name in params.data.train for label in classes[name]):
        first = seen.get(label.words, label._replace(videos=0))
        seen[label.words] = first._replace(videos=first.videos + label.videos)
    videos = {label.name: label.videos for label in seen.values()}
    for name in params.sphere.classes:
        if name not in videos:
            near = closest(name, videos) or ": take classes that are trained on."
            raise UserError(f"{path}: sphere.classes names {name!r}, which is not a class of data.train{near}")
    if params.text.overlap > 0:
        from aurl.text import check_sphere, without_overlap

        def named(own):
            texts = [label.words if source.column == "words" else label.name for label in own]
            described = params.text.describe
            vectors = embed_described(source, texts, sentences) if described else source.embed(texts)
            return [label.name for label in own], vectors

        with _prefixed(path):
            tests = {name: named(classes[name]) for name in params.data.test}
            (names, _), table = without_overlap(named(seen.values()), tests, params.text.overlap)
            check_sphere(params.sphere.classes, table)
        videos = {name: videos[name] for name in names}
    return _shared(videos, params.text.share, params.sphere.classes)


def _shared(videos: dict[str, int], part: float, always: Collection[str] = ()) -> dict[str, int]:
    """The ``part`` of the training classes that `aurl.text.share` keeps, with all of ``always``."""
    if part == 1:
        return videos
    import numpy as np

    from aurl.text import share

    return {name: videos[name] for name in share(list(videos), np.zeros((len(videos), 1)), part, always)[0]}


def _check_batch(where: str, batch: int, videos: Mapping[str, int]) -> None:
    """Raise UserError if the classes have fewer training videos than a batch."""
    number = sum(videos.values())
    if number < batch:
        raise UserError(f"{where}, but its classes have only {number} training videos: lower it.")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m aurl.pipeline.check", description=__doc__.splitlines()[0])
    parser.add_argument("path", nargs="?", default="params.yaml", help="the parameter file (default: params.yaml)")
    parser.add_argument("stamp", nargs="?", help="a file to write if it is valid, which the pipeline depends on")
    path, stamp = vars(parser.parse_args()).values()
    try:
        check(path)
        if warning := unused_accelerators(path):
            print(f"aurl: {warning}", file=sys.stderr)
        if stamp:
            write_bytes(stamp, b"valid\n")
    except UserError as error:
        sys.exit(f"aurl: {error}")
    print(f"{path} is valid")


if __name__ == "__main__":
    main()
