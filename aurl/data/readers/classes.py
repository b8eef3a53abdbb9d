"""Match the class names that folders and files spell with official lists or a selection."""

import difflib
from typing import NamedTuple

from aurl.data import names
from aurl.text.class_names import letters


class Classes(NamedTuple):
    """The classes of a data set; see `match`."""

    spelling: dict[str, str]  # every used name as found -> its class
    list: str | None  # the official list of the classes, a key of `aurl.data.names.FAMILIES`


def match(found, wanted, lists, root, error):
    """Match the class names that a reader found with the expected names.

    Capitals, spaces, underscores and punctuation are ignored, because downloaders change them.

    Args:
        found: the names in ``root``.
        wanted: None for all classes of a list; the number of classes; or the names of some classes to select.
        lists: names of official lists, possibly none; the list with most of the classes is used.
        root: the data set's folder or file.
        error: a function that turns a reason into a UserError.

    Returns:
        The `Classes`, spelled as in the list, or else as in ``wanted``, or else as found.

    Raises:
        UserError: for unexpected or missing classes, and for one class in two spellings that neither a list nor
            ``wanted`` unites.
    """
    found, selected = sorted(found), {}
    if isinstance(wanted, list | tuple):
        known = {letters(name) for name in found}
        selected = {letters(name): name for name in wanted}
        lost = [name for key, name in selected.items() if key not in known]
        if lost:
            raise error(
                f"{root} lacks {len(lost)} of the {len(selected)} classes, such as {lost[0]!r}{_near(lost[0], found)}"
            )
        found = [name for name in found if letters(name) in selected]
    official, best = {}, None
    for name in lists:
        own = {letters(label): label for label in names.load(name)[0]}
        if best is None or _shared(own, found) > _shared(official, found):
            official, best = own, name
    known = selected | official
    classes: dict[str, str] = {}
    for name in found:
        other = classes.setdefault(letters(name), name)
        if other != name and letters(name) not in known:
            raise error(f"{root} has one class in two spellings, {other!r} and {name!r}, so give both the same name")
    if isinstance(wanted, int) and len(classes) != wanted:
        raise error(f"{root} has {len(classes)} classes, such as {found[0]!r}, where {wanted} should be")
    if wanted is None and best:
        number = f"{len(official)} classes of {best}"
        change = " (if that is intended, set `classes` to their number or to a list)"
        for key, name in classes.items():
            if key not in official:
                near = _near(name, official.values())
                raise error(f"{root} has a class {name!r}, which is none of the {number}{near}{change}")
        if lost := [label for key, label in official.items() if key not in classes]:
            raise error(f"{root} lacks {len(lost)} of the {number}, such as {min(lost)!r}{change}")
    return Classes({name: known.get(letters(name), name) for name in found}, best)


def same_class(one, other):
    """Whether two spellings, such as "playing_drums" and "playing drums", can only mean the same class."""
    return letters(one) == letters(other)


def _shared(known, found):
    return sum(letters(name) in known for name in found)


def _near(name, known):
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
