"""What a video encoder was trained on before, and which test classes were in it.

A test class that the encoder has seen is not unseen, whatever the heads are trained on. The names of the data sets are
either lists of `aurl.data.names`, whose classes are known, or any text, such as "image-text pairs".
"""

from pathlib import Path

import numpy as np

from aurl import UserError
from aurl.data import names
from aurl.project.config import FEATURES
from aurl.text import words


def of_set(name, about):
    """The names of the data sets that the encoder of a set's features was trained on; None if nothing says it.

    Args:
        name: the set's name.
        about: its entry of ``data.datasets``, of the reader ``features``. Its ``pretraining`` is for files that do not
            say it themselves.

    Raises:
        UserError: if both say it and differ.
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
    """The names of the data sets that a model's video encoder was trained on before: a list, empty for none.

    Args:
        data: the section of ``params.yaml``. Of sets of features it is the union of `of_set`.
        weights: the model's ``model.weights``, whose file stands for the data that it was trained on.

    Returns:
        None if a set of features does not say it.
    """
    used = [(name, data.datasets.get(name)) for name in (*data.train, *data.test)]
    stated = [of_set(name, about) for name, about in used if about is not None and about.reader == FEATURES]
    if None in stated:
        return None
    own = [f"the data behind {Path(weights).name}"] if weights and not stated else []
    return list(dict.fromkeys([name for listed in stated for name in listed] + own))


def seen_classes(pretraining, classes, official):
    """The classes of a test set that occur in a data set of known classes.

    Args:
        pretraining: the name of a data set.
        classes: the test set's class names.
        official: the official list that they are of, a key of `aurl.data.names.FAMILIES`, or None.

    Returns:
        Those classes whose words are the same, and for UCF101 and HMDB51 against Kinetics also those that TruZe's
        authors found in Kinetics-400; a list. None for a data set whose classes are not known.
    """
    if pretraining not in names.FAMILIES:
        return None
    labels, rules = names.load(pretraining)
    known = {tuple(sorted(words(label, rules))) for label in labels}
    _, own = names.load(official or pretraining)
    listed = names.truze(official)["seen"] if names.FAMILIES[pretraining] == "kinetics" else []
    return [label for label in classes if label in listed or tuple(sorted(words(label, own))) in known]


def summary(pretraining, classes, official):
    """One text for a table: each data set with how many of the test classes it has, "none", or "not stated"."""
    if pretraining is None:
        return "not stated"
    parts = []
    for name in pretraining:
        seen = seen_classes(name, classes, official)
        which = "test classes in it unknown" if seen is None else f"{len(seen)} of {len(classes)} test classes in it"
        parts.append(f"{name} ({which})")
    return "; ".join(parts) or "none"


def warning(pretraining, classes, official, name):
    """A sentence for whoever uses such features on the test set ``name``; "" if no test class can have been seen."""
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
    except Exception:  # its reader names what is wrong with a file; here it only says nothing
        return None
