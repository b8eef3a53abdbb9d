"""The sections of ``params.yaml``: the type and range of each parameter, and rules between parameters."""

import re
from typing import Annotated, Any, Literal, TypeVar

import pydantic
from pydantic import AfterValidator, BeforeValidator, Field

from aurl.project import machines
from aurl.project.config.sentences import nearest, refusal, sentence

ADDED = {"run", "heads"}  # sections of a study that adds trainings to another one
BUILT_IN = ("pairs-seen", "pairs-unseen", "verbs-unseen", "colors-seen")  # the sets of the built-in benchmark
FOLDS = 5  # of the built-in benchmark's verbs
FEATURES = "features"  # the reader, and the backbone, of features that were computed elsewhere
LISTED = ("ucf101", "hmdb51")  # the sets with three official splits
ANNOTATED = ("activitynet", "kinetics")  # the readers that take ``annotations``; the first needs them


# --- kinds of values --------------------------------------------------------------------------------------------------


def unique(values):
    for value in values:
        if values.count(value) > 1:
            raise refusal(f"names {value} twice: remove one.")
    return values


def _name(kind, pattern, rule):
    """A validator of keys that become part of file names and shell commands."""

    def check(key):
        if not (isinstance(key, str) and re.fullmatch(pattern, key)):
            raise refusal(f"cannot name a {kind}: use {rule}, 40 at most.")
        return key

    return BeforeValidator(check)


Value = TypeVar("Value")
Distinct = Annotated[list[Value], Field(min_length=1), AfterValidator(unique)]
LARGEST = 10**9  # so that products of counts stay below the largest integer
Count = Annotated[int, Field(ge=1, le=LARGEST)]
Several = Annotated[int, Field(ge=2, le=LARGEST)]
Side = Annotated[int, Field(ge=16, le=LARGEST)]  # pixels
Processes = Annotated[int, Field(ge=1, le=1024)]  # or threads
Rate = Annotated[float, Field(ge=0.1, le=1000)]  # frames per second
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**32)]  # strict, because it is part of file names
Place = Annotated[str, Field(min_length=1)]  # a path
Term = Literal["semantic", "visual", "synthetic", "alignment", "regression", "ranking", "center", "relation"]
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
Swept = Literal[  # by heads.sweeps: parameters that do not change the features of a trained backbone
    "loss.scale", "loss.uniformity_weight", "loss.margin", "generator.mode", "generator.num_classes", "generator.beta",
    "model.hidden", "model.word_hidden", "model.dim", "model.dropout", "text.share", "train.epochs", "train.batch",
]  # fmt: skip
Names = Distinct[str]
Seeds = Distinct[Seed]


# --- sections ---------------------------------------------------------------------------------------------------------


def _auto(count):
    """``auto`` stands for the result of ``count()``."""
    return BeforeValidator(lambda value: count() if value == "auto" else value)


Accelerators = Annotated[Processes, _auto(lambda: max(1, machines.accelerators()))]
Fold = Annotated[int, Field(ge=0, lt=FOLDS)]


class Section(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Run(Section):
    variants: Names
    seeds: Seeds


class StudyChanges(Section):
    """The parameters of a study: all further keys are sections, which override the file's."""

    model_config = pydantic.ConfigDict(extra="allow", frozen=True)

    folds: Distinct[Fold] | None = None
    adds_to: str | None = None

    @pydantic.model_validator(mode="after")
    def _what_adds_has_trainings_of_its_own(self):
        if self.adds_to is not None and (self.folds or "run" not in self.model_extra or {*self.model_extra} - ADDED):
            raise refusal(
                f"adds to {self.adds_to}, whose folds and other parameters it shares: give it a run of its own, and "
                "nothing else but heads."
            )
        return self


class Ablations(Section):
    variants: Names | None
    seeds: Seeds
    studies: dict[Study, StudyChanges]

    @pydantic.model_validator(mode="after")
    def _others_can_be_added_to(self):
        for name, own in self.studies.items():
            if own.adds_to is not None and getattr(self.studies.get(own.adds_to), "adds_to", "") is not None:
                raise refusal(
                    f"has the study {name}, which adds to {own.adds_to}: name another study, which adds to none."
                )
        return self


class Dataset(Section):
    """A data set on disk; ``aurl.data.readers`` describes its parameters."""

    reader: Literal["activitynet", "features", "folders", "hmdb51", "kinetics", "ucf101"]
    root: Place
    annotations: Place | Annotated[list[Place], Field(min_length=1)] | None = None
    classes: Count | Place | Names | None = None  # how many, a file of names, or names
    split: Literal["train", "val", "test"] | None = None
    names: str | None = None
    test_lists: Place | None = None
    pretraining: Annotated[list[str], AfterValidator(unique)] | None = None

    @property
    def official(self) -> str | None:
        """The official list of the set's classes, if the parameters name it."""
        return self.names or (self.reader if self.reader in LISTED else None)

    @pydantic.model_validator(mode="after")
    def _facts_suit_the_reader(self):
        if self.test_lists and self.official not in LISTED:
            raise refusal(
                f"has test_lists, which only {' and '.join(LISTED)} have: remove them, or set names to one of these."
            )
        if self.pretraining is not None and self.reader != FEATURES:
            raise refusal("has pretraining, which is of the encoder of features: remove it, or read features.")
        if self.annotations and self.reader not in ANNOTATED:
            raise refusal(
                f"has annotations, which the reader {self.reader} does not take: remove them, as only "
                f"{' and '.join(ANNOTATED)} take any."
            )
        if self.reader == "activitynet" and not isinstance(self.annotations, str):
            raise refusal("needs one path as its annotations, of ActivityNet's JSON file.")
        return self


class Data(Section):
    train: Names
    test: Names
    datasets: dict[SetName, Dataset]


class Proxies(Section):
    folder: Place
    side: Annotated[Side, Field(multiple_of=2)]
    keyframe: Count
    crf: Annotated[int, Field(ge=0, le=51)]


class Prepare(Section):
    val_videos: Count
    min_frames: Count
    broken: Annotated[float, Field(ge=0, le=1)]
    damaged: Literal["refuse", "keep"]
    proxies: Proxies | None
    scheduler: Place | None


class Verbs(Section):
    seed: Seed
    fold: Fold
    size: Annotated[int, Field(ge=16, le=512, multiple_of=2)]
    frames: Several
    fps: Rate
    videos: Several
    val_videos: Count
    test_videos: Count

    @pydantic.model_validator(mode="after")
    def _some_are_left_to_train_on(self):
        if self.val_videos >= self.videos:
            raise refusal(f"holds back all {self.videos} videos of a class for validation: lower val_videos.")
        return self


class Clip(Section):
    frames: Count
    segments: Count
    stride: Count
    size: Side
    crop: Literal["squash", "crop"]


class Text(Section):
    vectors: Place
    embeddings: Place | None
    encoder: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*(\(.+\))?$")] | None
    templates: Distinct[Annotated[str, Field(pattern=r"\{\}")]]
    describe: bool
    descriptions: Place
    overlap: Annotated[float, Field(ge=0, le=2)]
    share: Annotated[float, Field(gt=0, le=1)]

    @property
    def source(self) -> dict[str, Any]:
        """The one source of class vectors, as the arguments of ``aurl.text.open_source``."""
        if self.encoder is not None:
            return {"encoder": self.encoder, "templates": self.templates}
        return {"vectors": self.vectors} if self.embeddings is None else {"embeddings": self.embeddings}

    @pydantic.model_validator(mode="after")
    def _there_is_one_source(self):
        if self.embeddings is not None and self.encoder is not None:
            raise refusal("has embeddings and an encoder: set one of them to null.")
        if self.embeddings is not None and self.describe:
            raise refusal("has embeddings, which have no vectors of descriptions: set describe to false.")
        return self


class Model(Section):
    backbone: Backbone
    weights: Place | None
    width: Annotated[int, Field(ge=4, le=LARGEST)]
    depth: Count
    pooling: Literal["mean", "attention", "recurrent", "instances"]
    projection: Literal["mlp", "linear", "attributes"]
    semantic: Literal["learned", "fixed"]
    score: Literal["cosine", "relation"]
    describe: bool
    hidden: Count
    word_hidden: Count
    dim: Several
    dropout: Annotated[float, Field(ge=0, lt=1)]

    @pydantic.model_validator(mode="after")
    def _attributes_are_words(self):
        if self.projection == "attributes" and self.semantic != "fixed":
            raise refusal(
                "has the projection attributes, whose features are means of word vectors: set semantic to fixed."
            )
        if self.projection == "attributes" and self.describe:
            raise refusal("has the projection attributes, whose words are not described: set describe to false.")
        return self


class Loss(Section):
    terms: Distinct[Term]
    scale: Positive
    uniformity_weight: NotNegative
    margin: NotNegative
    sources: Literal["together", "apart"]


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
    processes: Accelerators
    nodes: Annotated[Processes, _auto(lambda: machines.nodes())]
    rendezvous: Annotated[str, Field(pattern=r"^[^\s:]+:\d{1,5}$")] | None
    save_minutes: NotNegative | None
    save_steps: Count | None
    log_every: Count

    @property
    def world(self):
        """The number of processes on all machines."""
        return self.processes * self.nodes

    @property
    def parts(self):
        """The number of micro-batches of every process in a step."""
        share = -(-self.batch // self.world)
        return -(-share // self.micro_batch) if self.micro_batch else 1

    @pydantic.model_validator(mode="before")
    @classmethod
    def _machines_meet_where_slurm_says(cls, values):
        if isinstance(values, dict) and values.get("nodes", 1) != 1 and values.get("rendezvous") is None:
            return values | {"rendezvous": machines.rendezvous()}
        return values

    @pydantic.model_validator(mode="after")
    def _a_step_can_be_divided(self):
        if self.batch < 2 * self.world * self.parts:  # BatchNorm needs two
            raise refusal(
                f"divides a batch of {self.batch} videos into {self.world * self.parts} parts, and a part needs two: "
                "raise batch or micro_batch, or lower processes."
            )
        if self.nodes > 1 and not self.rendezvous:
            raise refusal(
                "has several nodes and no rendezvous: give the address of one of them, as HOST:29400, or start it by "
                "SLURM's srun."
            )
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
    clips: Distinct[Count]
    batch: Count
    processes: Accelerators
    bootstrap: Annotated[int, Field(ge=100, le=LARGEST)]


class Sphere(Section):
    variants: Names
    classes: Annotated[list[str], Field(min_length=3), AfterValidator(unique)]
    epochs: Count
    batch: Several
    lr: Positive


class Heads(Section):
    backbone: str
    variants: Annotated[list[str], AfterValidator(unique)] | None
    seeds: Count
    segments: Count
    rates: Distinct[Positive]
    sweep_seeds: Count
    sweeps: dict[Swept, Distinct[Any]]


class Sections(Section):
    """All of ``params.yaml``, whose comments describe each value."""

    run: Run
    ablations: Ablations
    data: Data
    prepare: Prepare
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
    variants: dict[Variant, dict[str, Any]]

    def shares_backbone(self, other: "Sections") -> bool:
        """Whether both have the same backbone and clips, so that either can use the other's trained backbone."""
        same = ("backbone", "weights", "width", "depth")
        return self.clip == other.clip and all(getattr(self.model, key) == getattr(other.model, key) for key in same)

    @pydantic.model_validator(mode="after")
    def _named_things_exist(self):
        datasets, variants = self.data.datasets, self.variants
        for name in datasets:
            if name in BUILT_IN:
                raise refusal(f"data.datasets.{name} has the name of a set of the built-in benchmark: give it another.")
        for key, wanted, known, place in (
            ("data.train", self.data.train, [*BUILT_IN, *datasets], "data.datasets"),
            ("data.test", self.data.test, [*BUILT_IN, *datasets], "data.datasets"),
            ("run.variants", self.run.variants, variants, "`variants`"),
            ("ablations.variants", self.ablations.variants or [], variants, "`variants`"),
            ("heads.variants", self.heads.variants or [], variants, "`variants`"),
            ("heads.backbone", [self.heads.backbone], self.run.variants, "run.variants"),
            ("sphere.variants", self.sphere.variants, self.run.variants, "run.variants"),
        ):
            for name in wanted:
                if name not in known:
                    raise refusal(
                        f"{key} names {name!r}, which is not under {place}; there are {', '.join(known)}"
                        f"{nearest(name, known)}"
                    )
        for name in self.data.train:
            if name in self.data.test:
                raise refusal(
                    f"data.train and data.test both name {name}: its classes would not be unseen, so leave it out of "
                    "one."
                )
        if (self.model.score == "relation") != ("relation" in self.loss.terms):
            raise refusal(
                f"model.score is {self.model.score} and loss.terms are {', '.join(self.loss.terms)}: the score "
                "relation is learned by the term relation, so name both or neither."
            )
        for name, values in self.heads.sweeps.items():
            section, _, key = name.partition(".")
            own = getattr(self, section)
            for value in values:
                try:
                    type(own).model_validate(own.model_dump() | {key: value})
                except pydantic.ValidationError as error:
                    raise refusal(sentence(error, Sections, "heads.sweeps", (section,))) from None
        return self
