"""``params.yaml`` as typed, validated sections, where a variant's values override the base.

`aurl.project.config.sections` has the type and range of each parameter. ``python -m aurl.pipeline.check`` also checks
that the file's paths and classes exist.
"""

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pydantic

from aurl import UserError
from aurl.project.config.file import overlay, read
from aurl.project.config.sections import ADDED, BUILT_IN, FEATURES, FOLDS, Clip, Model, Sections
from aurl.project.config.sentences import nearest, sentence


class Params(Sections):
    """The result of `load`: the wanted sections, ``variant`` and ``seed``."""

    model_config = pydantic.ConfigDict(frozen=False)

    variant: str | None = None
    seed: int = 0

    def replace(self, **changes: Mapping[str, Any]) -> "Params":
        """These parameters with some values changed and checked: ``params.replace(train={"lr": 0.1})``."""
        new = {}
        for name, values in changes.items():
            section = getattr(self, name)
            try:
                new[name] = type(section).model_validate(section.model_dump() | dict(values))
            except pydantic.ValidationError as error:
                raise UserError(sentence(error, Sections, "the parameters", (name,))) from None
        return self.model_copy(update=new)


VARIED = ("clip", "model", "loss", "generator", "train", "compute", "evaluate")  # sections that a variant may change


def load(
    path: str | Path = "params.yaml",
    variant: str | None = None,
    seed: int = 0,
    sections: Collection[str] | None = None,
) -> Params:
    """The checked parameters of one variant, or of the base.

    ``sections`` names those to return, all if ``None``, so that a pipeline stage cannot depend on a parameter that it
    does not declare. Raises UserError for a file that cannot be read, unknown keys, values out of range, and an unknown
    variant.
    """
    raw = read(path)
    checked = _check(raw, path)
    if variant is not None:
        if variant not in checked.variants:
            raise UserError(
                f"{path}: there is no variant {variant!r} under `variants`; there are {', '.join(checked.variants)}"
                f"{nearest(variant, checked.variants)}"
            )
        where = f"{path}: variants.{variant}"
        for section in checked.variants[variant]:
            if section in Sections.model_fields and section not in VARIED:
                raise UserError(
                    f"{where}.{section}: a variant cannot change the section {section}, which all variants share; it "
                    f"may change {', '.join(VARIED)}."
                )
        checked = _check(overlay(raw, checked.variants[variant], where), where)
    wanted = Sections.model_fields if sections is None else sections
    return Params.model_construct(**{name: getattr(checked, name) for name in wanted}, variant=variant, seed=seed)


def load_all(path: str | Path = "params.yaml") -> dict[str, Params]:
    """The parameters of every variant in the file. Raises UserError as `load` does."""
    return {variant: load(path, variant) for variant in load(path).variants}


class Study(NamedTuple):
    """One run of a study of ``ablations``: the study itself, or one of its folds."""

    key: str  # in the parameter file
    lines: dict[str, Any]  # override the sections of the file
    base: str | None  # the run that it adds trainings to


def studies(path: str | Path = "params.yaml") -> dict[str, Study]:
    """The studies under ``ablations``, by name: KEY, KEY-FOLD for a fold, or BASE-KEY for a study that adds to BASE.

    Raises UserError as `load` does, and for two studies of the same name.
    """
    keyed, found = _check(read(path), path).ablations.studies, {}
    for key, own in keyed.items():
        base = keyed[own.adds_to] if own.adds_to else own
        shared = {name: lines for name, lines in base.model_extra.items() if name not in ADDED or base is own}
        for fold in base.folds or [None]:
            lines = shared | own.model_extra
            if fold is not None:
                lines = lines | {"verbs": lines.get("verbs", {}) | {"fold": fold}}
            suffix = "" if fold is None else f"-{fold}"
            name = f"{own.adds_to}{suffix}-{key}" if own.adds_to else f"{key}{suffix}"
            if name in found:
                raise UserError(f"{path}: ablations.studies.{key} makes a second study {name}: rename it.")
            found[name] = Study(key, lines, own.adds_to and f"{own.adds_to}{suffix}")
    return found


def study(name: str, path: str | Path = "params.yaml") -> dict[str, Any]:
    """The content of a parameter file for the study ``name`` of `studies`.

    ``ablations`` gives the variants or seeds that the study's ``run`` lacks. Raises UserError as `load` does.
    """
    raw = read(path)
    ablations, lines = _check(raw, path).ablations, studies(path)[name].lines
    where = f"{path}: ablations.studies.{name}"
    whole = overlay(raw, lines, where)
    whole["run"] = {"variants": ablations.variants or list(whole["variants"]), "seeds": ablations.seeds}
    whole["run"] |= lines.get("run", {})
    variants = whole["run"]["variants"]
    other = whole["heads"]["backbone"] not in variants and "backbone" not in lines.get("heads", {})
    if other:
        whole["heads"] = whole["heads"] | {"backbone": variants[0]}
    whole["ablations"] = whole["ablations"] | {"studies": {}}
    whole["sphere"] = whole["sphere"] | {"variants": variants[:1]}  # valid, although studies skip chapter 6
    _check(whole, where)
    if other and whole["heads"]["variants"] and "variants" not in lines.get("heads", {}):
        every = {key: _check(overlay(whole, own, where), where) for key, own in whole["variants"].items()}
        alike = [key for key in whole["heads"]["variants"] if every[key].shares_backbone(every[variants[0]])]
        whole["heads"]["variants"] = alike or variants[:1]
    return whole


def enter_project():
    """Change to the nearest folder, here or above, with a ``params.yaml``; JupyterLab starts elsewhere.

    Raises UserError if there is none.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "params.yaml").is_file():
            os.chdir(folder)
            return
    raise UserError(f"no params.yaml in {here} or above it: start the notebook inside the project's folder.")


def _check(raw, where):
    try:
        return Sections.model_validate(raw)
    except pydantic.ValidationError as error:
        raise UserError(sentence(error, Sections, where)) from None
