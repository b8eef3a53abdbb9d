"""Types of the values in ``params.yaml``: kinds of numbers, names and lists."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from aurl.project.config.sentences import refusal


def unique(values):
    for value in values:
        if values.count(value) > 1:
            raise refusal(f"names {value} twice: remove one.")
    return values


def _name(kind, pattern, rule):
    """A key that becomes part of file names and of shell commands."""

    def check(key):
        if not (isinstance(key, str) and re.fullmatch(pattern, key)):
            raise refusal(f"cannot name a {kind}: use {rule}, 40 at most.")
        return key

    return BeforeValidator(check)


def distinct_files(keyed):
    """Refuse keys that differ in case only: they become names of files."""
    known = {}
    for key in keyed:
        other = known.setdefault(key.casefold(), key)
        if other != key:
            raise refusal(f"has the keys {other} and {key}, which are the same file on some systems: rename one.")
    return keyed


def _one_line(path):
    if not all(letter.isprintable() for letter in path):
        raise refusal(f"is {path!r}, which holds a character that no path here can have: remove it.")
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
Swept = Literal[  # by heads.sweeps: parameters that the features of a trained backbone do not depend on
    "loss.scale", "loss.uniformity_weight", "loss.margin", "generator.mode", "generator.num_classes", "generator.beta",
    "model.hidden", "model.word_hidden", "model.dim", "model.dropout", "text.share", "train.epochs", "train.batch",
]  # fmt: skip
Names = Annotated[list[str], Field(min_length=1), AfterValidator(unique)]
Seeds = Annotated[list[Seed], Field(min_length=1), AfterValidator(unique)]
