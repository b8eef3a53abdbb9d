"""``params.yaml`` as typed sections: what each parameter may be, and a variant laid over the base.

``python -m aurl.config`` checks the file, every variant in it included.
"""

import difflib
import os
import sys
from functools import reduce
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Literal

import pydantic
import yaml
from pydantic import Field

from aurl import UserError
from aurl.files import write_bytes

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
MOCAP = ("mocap-seen", "mocap-composed", "mocap-novel")  # the sets of the embedded benchmark
Term = Literal["semantic", "visual", "synthetic", "alignment", "regression", "ranking", "center"]


class Section(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Run(Section):
    variants: Annotated[list[str], Field(min_length=1)]
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]


class Ablations(Section):
    variants: Annotated[list[str], Field(min_length=1)] | None
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]


class Dataset(Section):
    """A data set on disk: see ``aurl.datasets.readers`` for what its parameters mean."""

    reader: Literal["activitynet", "folders", "hmdb51", "kinetics", "ucf101"]
    root: str
    annotations: str | list[str] | None = None
    classes: Count | None = None
    split: Literal["train", "val", "test"] | None = None
    names: str | None = None


class Data(Section):
    train: Annotated[list[str], Field(min_length=1)]
    test: Annotated[list[str], Field(min_length=1)]
    datasets: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")], Dataset]


class Proxies(Section):
    folder: str
    side: Annotated[int, Field(ge=16, multiple_of=2)]
    keyframe: Count
    crf: Annotated[int, Field(ge=0, le=51)]


class Prepare(Section):
    val_videos: Count
    min_frames: Count
    broken: Annotated[float, Field(ge=0, le=1)]
    proxies: Proxies | None
    scheduler: str | None


class Mocap(Section):
    seed: Annotated[int, Field(ge=0)]
    size: Annotated[int, Field(ge=16, le=512, multiple_of=2)]
    frames: Count
    fps: Positive
    train_videos: Count
    val_videos: Count
    test_videos: Count


class Clip(Section):
    frames: Count
    stride: Count
    size: Annotated[int, Field(ge=16)]
    crop: Literal["squash", "crop"]


class Text(Section):
    vectors: str
    describe: str | None
    overlap: Annotated[float, Field(ge=0, le=2)]


class Model(Section):
    width: Annotated[int, Field(ge=4)]
    depth: Count
    projection: Literal["mlp", "linear"]
    semantic: Literal["learned", "fixed"]
    hidden: Count
    word_hidden: Count
    dim: Annotated[int, Field(ge=2)]
    dropout: Annotated[float, Field(ge=0, lt=1)]


class Loss(Section):
    terms: Annotated[list[Term], Field(min_length=1)]
    scale: Positive
    uniformity_weight: NotNegative
    margin: NotNegative


class Generator(Section):
    mode: Literal["released", "interpolate", "extrapolate", "both"]
    num_classes: Annotated[int, Field(ge=2)] | None
    beta: Positive


class Train(Section):
    epochs: Count
    steps: Count | None
    batch: Annotated[int, Field(ge=2)]
    optimizer: Literal["adamw", "sgd"]
    lr: Positive
    weight_decay: NotNegative
    schedule: Literal["cosine", "constant"]
    warmup_epochs: NotNegative


class Compute(Section):
    threads: Count | None
    precision: Literal["auto", "bf16", "float32"]
    channels_last: Literal["auto", "always", "never"]
    cache_gb: NotNegative


class Evaluate(Section):
    clips: Count
    batch: Count
    bootstrap: Annotated[int, Field(ge=100)]


class Sphere(Section):
    variants: Annotated[list[str], Field(min_length=1)]
    classes: Annotated[list[str], Field(min_length=2)]
    epochs: Count
    batch: Annotated[int, Field(ge=2)]
    lr: Positive


class Params(Section):
    """All of ``params.yaml``; see that file for what each value means."""

    run: Run
    ablations: Ablations
    data: Data
    prepare: Prepare
    mocap: Mocap
    clip: Clip
    text: Text
    model: Model
    loss: Loss
    generator: Generator
    train: Train
    compute: Compute
    evaluate: Evaluate
    sphere: Sphere
    variants: dict[str, dict[str, Any]]


VARIED = ("clip", "model", "loss", "generator", "train", "compute", "evaluate")  # sections that a variant may change


def load(path="params.yaml", variant=None, seed=0, sections=None):
    """The parameters of one variant, or the base without any, checked.

    Args:
        path: the parameter file.
        variant: a key of its ``variants``, whose lines are laid over the base sections.
        seed: carried along as ``.seed``, beside ``.variant``.
        sections: the names of the sections that the caller reads; the answer then has these and no others, so
            that a pipeline stage cannot depend on a parameter that it does not declare. All of them if ``None``.

    Raises:
        UserError: a file that cannot be read, an unknown key, a value out of range, an unknown variant.
    """
    raw = _read(path)
    params = _check(raw, path)
    if variant is not None:
        if variant not in params.variants:
            raise UserError(
                f"{path}: there is no variant {variant!r} under `variants`; there are {_list(params.variants)}{_nearest(variant, params.variants)}"
            )
        where = f"{path}: variants.{variant}"
        for section in params.variants[variant]:
            if section in Params.model_fields and section not in VARIED:
                raise UserError(
                    f"{where}.{section}: a variant cannot change the section {section}, which all variants share; it may change {_list(VARIED)}."
                )
        params = _check(_overlay(raw, params.variants[variant], where), where)
    chosen = {name: getattr(params, name) for name in sections or Params.model_fields}
    return SimpleNamespace(**chosen, variant=variant, seed=seed)


def enter_project():
    """Make the project's root (the nearest folder upwards with a ``params.yaml``) the working directory.

    A notebook opened in JupyterLab starts in its own folder and one run by the pipeline in the root; after this
    call both read and write the same paths.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "params.yaml").is_file():
            os.chdir(folder)
            return
    raise UserError(f"no params.yaml in {here} or above it: start the notebook inside the project's folder.")


def _read(path):
    try:
        raw = yaml.safe_load(Path(path).read_bytes())
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): run from the project's root, or name the parameter file."
        ) from None
    except yaml.YAMLError as error:
        where = f" at line {error.problem_mark.line + 1}" if getattr(error, "problem_mark", None) else ""
        reason = getattr(error, "problem", None) or getattr(error, "reason", "it cannot be parsed")
        raise UserError(f"{path} is not valid YAML{where}: {reason}.") from None
    if not isinstance(raw, dict):
        raise UserError(f"{path} holds no parameters: restore it with `git checkout {path}`.")
    return raw


def _overlay(base, over, where):
    """``base`` with the values of ``over``; a key must exist in ``base``, so that a slip cannot go unseen."""
    if not isinstance(over, dict):
        raise UserError(f"{where} must be parameters to change, as `section: {{name: value}}`, not {over!r}.")
    for key in over:
        if key not in base:
            raise UserError(f"{where}.{key} is not a parameter{_nearest(key, base)}")
    return {
        key: _overlay(value, over[key], f"{where}.{key}")
        if key in over and isinstance(value, dict)
        else over.get(key, value)
        for key, value in base.items()
    }


def _check(raw, where):
    try:
        params = Params.model_validate(raw)
    except pydantic.ValidationError as error:
        problems = sorted(
            error.errors(), key=lambda problem: problem["type"] != "extra_forbidden"
        )  # a misspelt key is missing, too
        raise UserError(_sentence(problems[0], where)) from None
    ablations = params.ablations.variants or []
    for key, values in (
        ("run.variants", params.run.variants), ("run.seeds", params.run.seeds), ("ablations.variants", ablations), ("ablations.seeds", params.ablations.seeds),
        ("data.train", params.data.train), ("data.test", params.data.test), ("loss.terms", params.loss.terms),
    ):  # fmt: skip
        if len(set(values)) < len(values):
            raise UserError(f"{where}: {key} names something twice: {_list(map(str, values))}.")
    known = [*MOCAP, *params.data.datasets]
    for key, names in (("data.train", params.data.train), ("data.test", params.data.test)):
        for name in names:
            if name not in known:
                raise UserError(
                    f"{where}: {key} names {name!r}, which is not under data.datasets; there are {_list(known)}{_nearest(name, known)}"
                )
    for name in set(params.data.datasets) & set(MOCAP):
        raise UserError(
            f"{where}: data.datasets.{name} has the name of a set of the embedded benchmark: give it another."
        )
    for name in set(params.data.train) & set(params.data.test):
        raise UserError(
            f"{where}: data.train and data.test both name {name}: its classes would not be unseen, so leave it out of one."
        )
    for key, names in (
        ("run.variants", params.run.variants),
        ("ablations.variants", ablations),
        ("sphere.variants", params.sphere.variants),
    ):
        for name in names:
            if name not in params.variants:
                raise UserError(
                    f"{where}: {key} names {name!r}, which is not under `variants`; there are {_list(params.variants)}{_nearest(name, params.variants)}"
                )
    for name in params.sphere.variants:
        if name not in params.run.variants:
            raise UserError(
                f"{where}: sphere.variants names {name!r}, which run.variants does not train; it trains {_list(params.run.variants)}."
            )
    return params


def _sentence(problem, where):
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        *section, key = problem["loc"]
        known = reduce(lambda model, part: model.model_fields[part].annotation, section, Params).model_fields
        return f"{where}: {name} is not a parameter{_nearest(key, known)}"
    if problem["type"] == "missing":
        return f"{where}: {name} is missing: add it, as the comments of params.yaml describe."
    return f"{where}: {name} is {problem['input']!r}: {problem['msg'][0].lower()}{problem['msg'][1:]}."


def _nearest(key, known):
    near = difflib.get_close_matches(str(key), list(known), n=1)
    return f"; did you mean {near[0]}?" if near else "."


def _list(names):
    return ", ".join(names)


def main():
    path, *stamp = sys.argv[1:] or ["params.yaml"]
    try:
        for variant in _check(_read(path), path).variants:
            load(path, variant)
        for file in stamp:  # a pipeline stage's sign that the check was passed
            write_bytes(file, b"valid\n")
    except UserError as error:
        sys.exit(f"aurl: {error}")
    print(f"{path} is valid")


if __name__ == "__main__":
    main()
