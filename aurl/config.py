"""``params.yaml`` as typed sections: what each parameter may be, and a variant laid over the base.

``python -m aurl.pipeline.check`` checks the file, with every variant and all that the parameters name.
"""

import difflib
import os
import re
from collections.abc import Collection, Iterable, Mapping
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import pydantic
import yaml
from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from aurl import UserError

VERBS = ("verbs-seen", "verbs-unseen")  # the sets of the embedded benchmark of unseen actions
FOLDS = 5  # of it
MOCAP = ("mocap-seen", "mocap-composed")  # and of the one of motion capture
EMBEDDED = (*VERBS, *MOCAP)
FEATURES = "features"  # the reader, and the backbone, of features that were computed elsewhere
ANNOTATED = ("activitynet", "kinetics")  # the readers that take ``annotations``; the first needs them


def _refusal(text):
    """The end of a sentence that begins with the parameter's name."""
    return PydanticCustomError("refused", "{text}", {"text": text})


def _unique(values):
    for value in values:
        if values.count(value) > 1:
            raise _refusal(f"names {value} twice: remove one.")
    return values


def _name(kind, pattern, rule):
    """A key that becomes part of file names and of shell commands."""

    def check(key):
        if not (isinstance(key, str) and re.fullmatch(pattern, key)):
            raise _refusal(f"cannot name a {kind}: use {rule}, 40 at most.")
        return key

    return BeforeValidator(check)


def _apart(keyed):
    known = {}
    for key in keyed:
        other = known.setdefault(key.casefold(), key)
        if other != key:
            raise _refusal(f"has the keys {other} and {key}, which are the same file on some systems: rename one.")
    return keyed


def _one_line(path):
    if not all(letter.isprintable() for letter in path):
        raise _refusal(f"is {path!r}, which holds a character that no path here can have: remove it.")
    return path


LARGEST = 10**9  # of numbers of things: larger ones would overflow somewhere, far from here
Count = Annotated[int, Field(ge=1, le=LARGEST)]
Several = Annotated[int, Field(ge=2, le=LARGEST)]
Side = Annotated[int, Field(ge=16, le=LARGEST)]  # pixels
Processes = Annotated[int, Field(ge=1, le=1024)]  # or threads
Rate = Annotated[float, Field(ge=0.1, le=1000)]  # frames per second
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**32)]  # strict, as the pipeline writes it into file names as it is
Place = Annotated[str, Field(min_length=1), AfterValidator(_one_line)]  # a path
Term = Literal["semantic", "visual", "synthetic", "alignment", "regression", "ranking", "center"]
Backbone = Literal[
    "r2plus1d", "r3d_18", "mc3_18", "r2plus1d_18", "s3d", "mvit_v1_b", "mvit_v2_s", "swin3d_t", "swin3d_s", "swin3d_b",
    "features",
]  # fmt: skip
Variant = Annotated[
    str, _name("variant", r"[A-Za-z][A-Za-z0-9_]{0,39}", "a letter, then letters, digits and underscores")
]
Study = Annotated[str, _name("study", r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", "letters, digits, underscores and hyphens")]
SetName = Annotated[
    str,
    _name("data set", r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}", "a letter or digit, then also dots, hyphens and underscores"),
]
Swept = Literal[  # by heads.sweeps: parameters that the features of a trained backbone do not depend on
    "loss.scale", "loss.uniformity_weight", "loss.margin", "generator.mode", "generator.num_classes", "generator.beta",
    "model.hidden", "model.word_hidden", "model.dim", "model.dropout", "text.share", "train.epochs", "train.batch",
]  # fmt: skip
Names = Annotated[list[str], Field(min_length=1), AfterValidator(_unique)]
Seeds = Annotated[list[Seed], Field(min_length=1), AfterValidator(_unique)]


class Section(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Run(Section):
    variants: Names
    seeds: Seeds


class Ablations(Section):
    variants: Names | None
    seeds: Seeds
    studies: Annotated[dict[Study, dict[str, Any]], Field(min_length=1), AfterValidator(_apart)]


class Dataset(Section):
    """A data set on disk: see ``aurl.datasets.readers`` for what its parameters mean."""

    reader: Literal["activitynet", "features", "folders", "hmdb51", "kinetics", "ucf101"]
    root: Place
    annotations: Place | Annotated[list[Place], Field(min_length=1)] | None = None
    classes: Count | None = None
    split: Literal["train", "val", "test"] | None = None
    names: str | None = None

    @pydantic.model_validator(mode="after")
    def _annotations_suit_the_reader(self):
        if self.annotations and self.reader not in ANNOTATED:
            raise _refusal(
                f"has annotations, which the reader {self.reader} does not take: remove them, as only "
                f"{' and '.join(ANNOTATED)} take any."
            )
        if self.reader == "activitynet" and not isinstance(self.annotations, str):
            raise _refusal("needs one path as its annotations, of ActivityNet's JSON file.")
        return self


class Data(Section):
    train: Names
    test: Names
    datasets: Annotated[dict[SetName, Dataset], AfterValidator(_apart)]


class Proxies(Section):
    folder: Place
    side: Annotated[Side, Field(multiple_of=2)]
    keyframe: Count
    crf: Annotated[int, Field(ge=0, le=51)]


class Prepare(Section):
    val_videos: Count
    min_frames: Count
    broken: Annotated[float, Field(ge=0, le=1)]
    proxies: Proxies | None
    scheduler: Place | None


class Mocap(Section):
    seed: Seed
    size: Annotated[int, Field(ge=16, le=512, multiple_of=2)]
    frames: Count
    fps: Rate
    train_videos: Count
    val_videos: Count
    test_videos: Count


class Verbs(Section):
    seed: Seed
    fold: Annotated[int, Field(ge=0, lt=FOLDS)]
    size: Annotated[int, Field(ge=16, le=512, multiple_of=2)]
    frames: Several
    fps: Rate
    videos: Several
    val_videos: Count

    @pydantic.model_validator(mode="after")
    def _some_are_left_to_train_on(self):
        if self.val_videos >= self.videos:
            raise _refusal(f"holds back all {self.videos} videos of a verb for validation: lower val_videos.")
        return self


class Clip(Section):
    frames: Count
    segments: Count
    stride: Count
    size: Side
    crop: Literal["squash", "crop"]


class Text(Section):
    vectors: Place
    describe: bool
    descriptions: Place
    overlap: Annotated[float, Field(ge=0, le=2)]
    share: Annotated[float, Field(gt=0, le=1)]


class Model(Section):
    backbone: Backbone
    weights: Place | None
    width: Annotated[int, Field(ge=4, le=LARGEST)]
    depth: Count
    pooling: Literal["mean", "attention", "recurrent", "instances"]
    projection: Literal["mlp", "linear", "attributes"]
    semantic: Literal["learned", "fixed"]
    describe: bool
    hidden: Count
    word_hidden: Count
    dim: Several
    dropout: Annotated[float, Field(ge=0, lt=1)]

    @pydantic.model_validator(mode="after")
    def _attributes_are_words(self):
        if self.projection == "attributes" and self.semantic != "fixed":
            raise _refusal(
                "has the projection attributes, whose features are means of word vectors: set semantic to fixed."
            )
        if self.projection == "attributes" and self.describe:
            raise _refusal("has the projection attributes, whose words are not described: set describe to false.")
        return self


class Loss(Section):
    terms: Annotated[list[Term], Field(min_length=1), AfterValidator(_unique)]
    scale: Positive
    uniformity_weight: NotNegative
    margin: NotNegative


class Generator(Section):
    mode: Literal["released", "interpolate", "extrapolate", "both"]
    num_classes: Several | None
    beta: Positive


class Train(Section):
    epochs: Count
    steps: Count | None
    batch: Several
    micro_batch: Several | None
    optimizer: Literal["adamw", "adam", "sgd"]
    lr: Positive
    weight_decay: NotNegative
    decay_norms: bool
    schedule: Literal["cosine", "steps", "constant"]
    milestones: list[Positive]
    warmup_epochs: NotNegative
    ema: Annotated[float, Field(gt=0, lt=1)] | None
    processes: Processes
    nodes: Processes
    rendezvous: Annotated[str, Field(pattern=r"^[^\s:]+:\d{1,5}$")] | None
    save_minutes: NotNegative | None
    save_steps: Count | None
    log_every: Count
    tensorboard: bool

    @property
    def world(self):
        """Processes on all machines together."""
        return self.processes * self.nodes

    @property
    def parts(self):
        """Passes that every process makes in a step."""
        share = -(-self.batch // self.world)
        return -(-share // self.micro_batch) if self.micro_batch else 1

    @pydantic.model_validator(mode="after")
    def _a_step_can_be_divided(self):
        if self.batch < 2 * self.world * self.parts:  # BatchNorm wants two
            raise _refusal(
                f"divides a batch of {self.batch} videos into {self.world * self.parts} parts, and a part needs two: "
                "raise batch or micro_batch, or lower processes."
            )
        if self.nodes > 1 and not self.rendezvous:
            raise _refusal("has several nodes and no rendezvous: give the address of one of them, as HOST:29400.")
        return self


class Compute(Section):
    threads: Processes | None
    precision: Literal["auto", "bf16", "float32"]
    channels_last: Literal["auto", "always", "never"]
    compile: Literal["auto", "always", "never"]
    cache_gb: NotNegative
    workers: Annotated[int, Field(ge=0, le=1024)] | None
    workers_gb: Positive | None
    pin_workers: bool


class Evaluate(Section):
    clips: Annotated[list[Count], Field(min_length=1), AfterValidator(_unique)]
    batch: Count
    processes: Processes
    bootstrap: Annotated[int, Field(ge=100, le=LARGEST)]


class Sphere(Section):
    variants: Names
    classes: Annotated[list[str], Field(min_length=3), AfterValidator(_unique)]
    epochs: Count
    batch: Several
    lr: Positive


class Heads(Section):
    backbone: str
    variants: Names | None
    seeds: Count
    segments: Count
    rates: Annotated[list[Positive], Field(min_length=1), AfterValidator(_unique)]
    sweep_seeds: Count
    sweeps: dict[Swept, Annotated[list[Any], Field(min_length=1), AfterValidator(_unique)]]


class Sections(Section):
    """All of ``params.yaml``; see that file for what each value means."""

    run: Run
    ablations: Ablations
    data: Data
    prepare: Prepare
    mocap: Mocap
    verbs: Verbs
    clip: Clip
    text: Text
    model: Model
    loss: Loss
    generator: Generator
    train: Train
    compute: Compute
    evaluate: Evaluate
    sphere: Sphere
    heads: Heads
    variants: Annotated[dict[Variant, dict[str, Any]], AfterValidator(_apart)]

    @pydantic.model_validator(mode="after")
    def _named_things_exist(self):
        datasets, variants = self.data.datasets, self.variants
        for name in datasets:
            if name.casefold() in EMBEDDED:
                raise _refusal(
                    f"data.datasets.{name} has the name of a set of the embedded benchmark: give it another."
                )
        for key, wanted, known, place in (
            ("data.train", self.data.train, [*EMBEDDED, *datasets], "data.datasets"),
            ("data.test", self.data.test, [*EMBEDDED, *datasets], "data.datasets"),
            ("run.variants", self.run.variants, variants, "`variants`"),
            ("ablations.variants", self.ablations.variants or [], variants, "`variants`"),
            ("sphere.variants", self.sphere.variants, variants, "`variants`"),
            ("heads.backbone", [self.heads.backbone], variants, "`variants`"),
            ("heads.variants", self.heads.variants or [], variants, "`variants`"),
        ):
            for name in wanted:
                if name not in known:
                    raise _refusal(
                        f"{key} names {name!r}, which is not under {place}; there are {_list(known)}"
                        f"{_nearest(name, known)}"
                    )
        for name in self.data.train:
            if name in self.data.test:
                raise _refusal(
                    f"data.train and data.test both name {name}: its classes would not be unseen, so leave it out of "
                    "one."
                )
        if self.heads.backbone not in self.run.variants:
            raise _refusal(
                f"heads.backbone names {self.heads.backbone!r}, which run.variants does not train; it trains "
                f"{_list(self.run.variants)}."
            )
        for name, values in self.heads.sweeps.items():
            section, _, key = name.partition(".")
            own = getattr(self, section)
            for value in values:
                try:
                    type(own).model_validate(own.model_dump() | {key: value})
                except pydantic.ValidationError as error:
                    raise _refusal(_sentence(error, "heads.sweeps", (section,))) from None
        for name in self.sphere.variants:
            if name not in self.run.variants:
                raise _refusal(
                    f"sphere.variants names {name!r}, which run.variants does not train; it trains "
                    f"{_list(self.run.variants)}."
                )
        return self


class Params(Sections):
    """What `load` returns: the sections that were asked for, ``variant`` and ``seed``."""

    model_config = pydantic.ConfigDict(frozen=False)

    variant: str | None = None
    seed: int = 0

    def replace(self, **changes: Mapping[str, Any]) -> "Params":
        """These parameters with some values changed, by section, and checked: ``params.replace(train={"lr": 0.1})``.

        Raises UserError for an unknown key and for a value out of range.
        """
        new = {}
        for name, values in changes.items():
            section = getattr(self, name)
            try:
                new[name] = type(section).model_validate(section.model_dump() | dict(values))
            except pydantic.ValidationError as error:
                raise UserError(_sentence(error, "the parameters", (name,))) from None
        return self.model_copy(update=new)

    if not TYPE_CHECKING:  # a type checker then still finds a misspelled section

        def __getattr__(self, name):
            if name in Sections.model_fields:
                raise AttributeError(
                    f"the section {name} was not loaded: name it in the `sections` of aurl.config.load, and in the "
                    "stage's `params` in dvc.yaml."
                )
            return super().__getattr__(name)


OWN_KEYS = ("datasets", "sweeps")  # in a section, whose keys are no parameters
VARIED = ("clip", "model", "loss", "generator", "train", "compute", "evaluate")  # sections that a variant may change


def load(
    path: str | Path = "params.yaml",
    variant: str | None = None,
    seed: int = 0,
    sections: Collection[str] | None = None,
) -> Params:
    """The parameters of one variant, or the base without any, checked.

    Args:
        path: the parameter file.
        variant: a key of its ``variants``, whose lines are laid over the base sections.
        seed: carried along as ``.seed``, beside ``.variant``.
        sections: the names of the sections that the caller reads; the answer then has these and no others, so
            that a pipeline stage cannot depend on a parameter that it does not declare. All of them if ``None``.

    Raises:
        UserError: a file that cannot be read, an unknown key, a value out of range, an unknown variant or section.
    """
    raw = _read(path)
    checked = _check(raw, path)
    if variant is not None:
        if variant not in checked.variants:
            raise UserError(
                f"{path}: there is no variant {variant!r} under `variants`; there are {_list(checked.variants)}"
                f"{_nearest(variant, checked.variants)}"
            )
        where = f"{path}: variants.{variant}"
        for section in checked.variants[variant]:
            if section in Sections.model_fields and section not in VARIED:
                raise UserError(
                    f"{where}.{section}: a variant cannot change the section {section}, which all variants share; it "
                    f"may change {_list(VARIED)}."
                )
        checked = _check(_overlay(raw, checked.variants[variant], where), where)
    wanted = Sections.model_fields if sections is None else sections
    for name in wanted:
        if name not in Sections.model_fields:
            raise UserError(f"{path}: there is no section {name!r}{_nearest(name, Sections.model_fields)}")
    return Params.model_construct(**{name: getattr(checked, name) for name in wanted}, variant=variant, seed=seed)


def load_all(path: str | Path = "params.yaml") -> dict[str, Params]:
    """The parameters of every variant in the file. Raises UserError as `load` does."""
    return {variant: load(path, variant) for variant in load(path).variants}


def study(name: str, path: str | Path = "params.yaml") -> dict[str, Any]:
    """The parameters of the study ``name`` of ``ablations``, as a parameter file of its own has them.

    Its lines are laid over the base sections, and it runs the variants and seeds of ``ablations``. Raises UserError as
    `load` does.
    """
    raw = _read(path)
    ablations, where = _check(raw, path).ablations, f"{path}: ablations.studies.{name}"
    whole = _overlay(raw, ablations.studies[name], where)
    variants = ablations.variants or list(whole["variants"])
    whole["run"] = {"variants": variants, "seeds": ablations.seeds}
    whole["sphere"] = whole["sphere"] | {"variants": variants[:1]}  # of chapter 6, which is no part of a study
    _check(whole, where)
    return whole


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


class _Loader(yaml.SafeLoader):
    """YAML in which a key that stands twice in a mapping is a mistake; PyYAML takes the last one silently."""

    def compose_mapping_node(self, anchor):
        node, known = super().compose_mapping_node(anchor), {}
        for key, _ in node.value:
            name = (key.tag, str(key.value))
            if name in known:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value!r} stands in line {known[name].line + 1} already, so remove one",
                    problem_mark=key.start_mark,
                )
            known[name] = key.start_mark
        return node


def _read(path):
    try:
        raw = yaml.load(Path(path).read_bytes(), _Loader)
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): run from the project's root, or name the parameter file."
        ) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        where = f" at line {error.problem_mark.line + 1}" if getattr(error, "problem_mark", None) else ""
        reason = getattr(error, "problem", None) or getattr(error, "reason", "it cannot be parsed")
        raise UserError(f"{path} is not valid YAML{where}: {reason}.") from None
    if not isinstance(raw, dict):
        raise UserError(f"{path} holds no parameters: restore it with `git checkout {path}`.")
    return raw


def _overlay(base, over, where):
    """``base`` with the values of ``over``; a key must exist in ``base``, so that a slip cannot go unseen.

    What is under `OWN_KEYS` is replaced as a whole.
    """
    if not isinstance(over, dict):
        raise UserError(f"{where} must be parameters to change, as `section: {{name: value}}`, not {over!r}.")
    for key in over:
        if key not in base:
            raise UserError(f"{where}.{_shown(key)} is not a parameter{_nearest(key, base)}")
    return {
        key: _overlay(value, over[key], f"{where}.{key}")
        if key in over and isinstance(value, dict) and key not in OWN_KEYS
        else over.get(key, value)
        for key, value in base.items()
    }


def _check(raw, where):
    try:
        return Sections.model_validate(raw)
    except pydantic.ValidationError as error:
        raise UserError(_sentence(error, where)) from None


def _sentence(error, where, section=()):
    """One of the problems that pydantic found, the likeliest cause of the others, with its full name in the file."""
    problem = min(
        error.errors(), key=lambda found: found["type"] != "extra_forbidden"
    )  # a misspelled key is missing, too
    place = (*section, *problem["loc"])
    name, said = ".".join(map(_shown, place)), problem["msg"][0].lower() + problem["msg"][1:]
    if place and place[-1] == "[key]":
        why = said if problem["type"] == "refused" else "is no text: put it between quotes."
        return f"{where}: {'.'.join(map(_shown, place[:-2]))} has the key {problem['input']!r}, which {why}"
    if problem["type"] == "refused":
        return f"{where}: {name} {said}" if name else f"{where}: {said}"
    if problem["type"] == "extra_forbidden":
        *above, key = place
        return f"{where}: {name} is not a parameter{_nearest(key, reduce(_below, above, Sections).model_fields)}"
    if problem["type"] == "missing":
        return f"{where}: {name} is missing: add it, as the comments of params.yaml describe."
    return f"{where}: {name} is {problem['input']!r}: {said}."


def _below(model, part):
    """The section that ``part`` of another one is; the same one for a key of a dictionary of sections."""
    field = model.model_fields.get(part)
    return (field and _section(field.annotation)) or model


def _section(annotation):
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next(filter(None, map(_section, get_args(annotation))), None)


def _shown(key):
    """A key of the file as a sentence has it, on one line."""
    return str(key) if str(key).isprintable() else repr(key)


def _nearest(key, known):
    near = difflib.get_close_matches(str(key), list(known), n=1)
    return f"; did you mean {near[0]}?" if near else "."


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)
