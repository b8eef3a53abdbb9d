"""One-sentence errors for mistakes in ``params.yaml``, which name the parameter and the fix."""

import difflib
from functools import reduce
from typing import get_args

import pydantic
from pydantic_core import PydanticCustomError


def sentence(error, top, where, section=()):
    """A sentence on one validation error of the model ``top``: a misspelled key rather than the key missing for it."""
    problem = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    place = (*section, *problem["loc"])
    name, said = ".".join(map(str, place)), problem["msg"][0].lower() + problem["msg"][1:]
    if place and place[-1] == "[key]":
        why = said if problem["type"] == "refused" else "is no text: put it between quotes."
        return f"{where}: {'.'.join(map(str, place[:-2]))} has the key {problem['input']!r}, which {why}"
    if problem["type"] == "refused":
        return f"{where}: {name} {said}" if name else f"{where}: {said}"
    if problem["type"] == "extra_forbidden":
        *above, key = place
        return f"{where}: {name} is not a parameter{nearest(key, reduce(_below, above, top).model_fields)}"
    if problem["type"] == "missing":
        return f"{where}: {name} is missing: add it, as the comments of params.yaml describe."
    return f"{where}: {name} is {problem['input']!r}: {said}."


def refusal(text):
    """A validation error; ``text`` ends a sentence that begins with the parameter's name."""
    return PydanticCustomError("refused", "{text}", {"text": text})


def nearest(key, known):
    near = difflib.get_close_matches(str(key), list(known), n=1)
    return f"; did you mean {near[0]}?" if near else "."


def _below(model, part):
    """The section ``part`` of the section ``model``, or ``model`` for a key of a dictionary of sections."""
    field = model.model_fields.get(part)
    return (field and _section(field.annotation)) or model


def _section(annotation):
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        return annotation
    return next(filter(None, map(_section, get_args(annotation))), None)
