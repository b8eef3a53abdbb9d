"""The data sets that a video encoder was pretrained on, and the test classes that it saw there.

A data set is a key of `aurl.data.names.FAMILIES`, whose classes are known, or any other text ("image-text pairs").
"""

from pathlib import Path

import numpy as np

from aurl import UserError
from aurl.data import names
from aurl.project.config import FEATURES
from aurl.text import words


def of_set(name, about):
    """The list of data sets that the encoder of the features of set ``name`` was pretrained on; None if unknown.

    ``about`` is the set's entry of ``data.datasets``. Raises UserError if it contradicts the feature file.
    """
    found = _of_file(about.root)
    if found is None:
        return about.pretraining
    if about.pretraining not in (None, found):
        raise UserError(
            f"data.datasets.{name}.pretraining is {', '.join(about.pretraining) or 'empty'}, but {about.root} says "
            f"{', '.join(found) or 'nothing'}: leave it out."
        )
    return found


def of_model(data, weights):
    """The list of data sets that a model's video encoder was pretrained on; None if unknown.

    ``data`` is the section of ``params.yaml``. For sets of features, the result is the union of `of_set`. Otherwise it
    is "the data behind FILE" for the file ``weights`` (``model.weights``), and empty without one.
    """
    used = [(name, data.datasets.get(name)) for name in (*data.train, *data.test)]
    stated = [of_set(name, about) for name, about in used if about is not None and about.reader == FEATURES]
    if None in stated:
        return None
    own = [f"the data behind {Path(weights).name}"] if weights and not stated else []
    return list(dict.fromkeys([name for listed in stated for name in listed] + own))


def seen_classes(pretraining, classes, official):
    """The ``classes`` of a test set that occur in the data set ``pretraining``; None if its classes are unknown.

    Classes with the same words are the same. For UCF101 and HMDB51 against Kinetics, classes that TruZe's authors found
    in Kinetics-400 count, too. ``official`` is the official list of ``classes``, a key of `aurl.data.names.FAMILIES`,
    or None.
    """
    if pretraining not in names.FAMILIES:
        return None
    labels, rules = names.load(pretraining)
    known = {tuple(sorted(words(label, rules))) for label in labels}
    _, own = names.load(official or pretraining)
    listed = names.truze(official)["seen"] if names.FAMILIES[pretraining] == "kinetics" else []
    return [label for label in classes if label in listed or tuple(sorted(words(label, own))) in known]


def summary(pretraining, classes, official):
    """Text for a table: each data set and its number of test classes, "none", or "not stated"."""
    if pretraining is None:
        return "not stated"
    parts = []
    for name in pretraining:
        seen = seen_classes(name, classes, official)
        which = "test classes in it unknown" if seen is None else f"{len(seen)} of {len(classes)} test classes in it"
        parts.append(f"{name} ({which})")
    return "; ".join(parts) or "none"


def warning(pretraining, classes, official, name):
    """A warning that classes of the test set ``name`` may have been seen; "" if none was."""
    if pretraining == []:
        return ""
    if pretraining is None:
        return f"{name}: nothing says what the encoder was trained on, so its classes may not be unseen."
    found = [(other, seen_classes(other, classes, official)) for other in pretraining]
    parts = [f"{other}, which has {len(seen)} of the {len(classes)} classes" for other, seen in found if seen]
    parts += [f"{other}, whose classes are not known" for other, seen in found if seen is None]
    return f"{name}: the encoder was trained on {', and on '.join(parts)}: these are not unseen." if parts else ""


def _of_file(path):
    if Path(path).suffix != ".npz":
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return [str(name) for name in np.ravel(arrays["pretraining"])]
    except Exception:  # the reader reports damaged files
        return None
