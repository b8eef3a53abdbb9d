"""The head trainings of a parameter file, for `aurl.pipeline.heads`, which runs them, and for the check."""

from pathlib import Path
from typing import Any

from aurl import UserError
from aurl.project import config

SECTIONS = ["run", "data", "clip", "text", "compute", "model", "loss", "generator", "train", "evaluate", "heads"]


def trainable(path: str | Path = "params.yaml") -> list[config.Params]:
    """The parameters of each variant under ``heads.variants``, with features in place of a backbone.

    Null stands for all variants with the clips and the backbone of ``heads.backbone``; naming any other variant raises
    UserError.
    """
    heads = config.load(path, sections=["heads"]).heads
    own = config.load(path, heads.backbone, sections=SECTIONS)
    found = []
    for name in config.load(path).variants if heads.variants is None else heads.variants:
        params = config.load(path, name, sections=SECTIONS)
        if params.shares_backbone(own):
            found.append(params.replace(model={"backbone": config.FEATURES, "weights": None}))
        elif heads.variants:
            raise UserError(
                f"heads.variants names {name}, whose clips or backbone are not those of {heads.backbone}: leave it out."
            )
    return found


def sweeps(path: str | Path = "params.yaml") -> list[tuple[str, Any, bool, config.Params]]:
    """Every value of ``heads.sweeps``: parameter, value, whether the variant has it, and parameters with this value.

    The variant is the first that is `trainable`. Raises UserError for a ``text.share`` above the file's.
    """
    base, *_ = (*trainable(path), None)
    found: list[tuple[str, Any, bool, config.Params]] = []
    if base is None:
        return found
    kept = base.text.share
    for name, values in base.heads.sweeps.items():
        section, _, key = name.partition(".")
        for value in values:
            params = base.replace(**{section: {key: value}})
            if params.text.share > kept:
                raise UserError(
                    f"heads.sweeps has the text.share {value}, but no more than {kept} was kept: raise text.share."
                )
            found.append((name, "(null)" if value is None else value, params == base, params))
    return found
