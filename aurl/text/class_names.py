"""Class names as words, for word vectors, and as phrases, for text encoders.

How a data set writes its class names is data (`Rules`), so one function serves every data set.
"""

import difflib
import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import yaml

from aurl import UserError


@dataclass(frozen=True)
class Rules:
    """How a data set's class names become words. The defaults suit names that are plain words.

    Args:
        substitutions: complete class name -> the text that is embedded in its place.
        cut: this text and everything after it are removed.
        capitals: whether a word begins at every capital that follows a lower-case letter.
        drop: words that are left out.
        base_forms: whether a verb is replaced by its base form ("riding" by "ride").
    """

    substitutions: Mapping[str, str] = field(default_factory=dict)
    cut: str = ""
    capitals: bool = False
    drop: Collection[str] = ()
    base_forms: bool = False


PLAIN = Rules()


def words(name: str, rules: Rules = PLAIN) -> list[str]:
    """The lower-case words of a class name, separated by anything but letters, digits and apostrophes.

    >>> words("walk duck"), words("flauta", Rules({"flauta": "flute"}))
    (['walk', 'duck'], ['flute'])
    >>> words("RidingHorse", Rules(capitals=True, base_forms=True))
    ['ride', 'horse']
    """
    composed = unicodedata.normalize("NFC", name)  # some file systems store an accent and its letter separately
    text = rules.substitutions.get(name) or rules.substitutions.get(composed, composed)
    if rules.cut:
        text = text.split(rules.cut)[0]
    if rules.capitals:
        text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    found = [word for word in re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.lower()) if word not in rules.drop]
    return [_base_form(word) for word in found] if rules.base_forms else found


def phrase(name: str) -> str:
    """A class name for a text encoder: all its words, in lower case.

    Raises UserError for a name without a letter or digit.

    >>> phrase("HorseRiding"), phrase("brush_hair"), phrase("pushing car (not toy)")
    ('horse riding', 'brush hair', 'pushing car not toy')
    """
    found = words(name, Rules(capitals=True))
    if not found:
        raise UserError(f'the class name "{name}" has no word: write it with words.')
    return " ".join(found)


def letters(name: str) -> str:
    """A class name in lower case without spaces, underscores and punctuation, all of which downloads may change.

    A name without any letter or digit stays as it is.
    """
    return re.sub(r"[\W_]", "", unicodedata.normalize("NFKC", name)).casefold() or name


def closest(name: str, known: Collection[str]) -> str:
    """The end of a message about an unknown class: the known class with the most similar spelling, else ""."""
    near = difflib.get_close_matches(name, known, n=1)
    return f'; did you mean "{near[0]}"?' if near else ""


@cache
def _base_form(word):
    """The word's base form as a verb; the word itself if it can be a base form ("saw") or is no known verb."""
    import lemminflect  # imported here, because only base forms need it

    lemmas = lemminflect.getAllLemmas(word, upos="VERB").get("VERB", ())
    return word if word in lemmas or not lemmas else lemmas[0]


STOP_WORDS = frozenset("a an and are as at by for from in into is it its off on or over that the to up with".split())  # noqa: SIM905


def describe(name: str, sentences: Mapping[str, str]) -> list[str]:
    """The words of a class's description, without stop words and the words of the name.

    ``sentences`` maps names to descriptions. A name without an entry is split, from the left, into the longest parts
    that have one. Raises UserError for a class without a description, or if a description only repeats the name.

    >>> describe("spin kick duck", {"spin kick": "turn around and hit", "spin": "turn", "duck": "a yellow bird"})
    ['turn', 'around', 'hit', 'yellow', 'bird']
    """
    left, found = words(name), []
    while left:
        sizes = [size for size in range(len(left), 0, -1) if " ".join(left[:size]) in sentences]
        if not sizes:
            raise UserError(
                f'there is no description of "{" ".join(left)}" in the class "{name}": add one to the file of '
                "text.descriptions"
            )
        found += words(sentences[" ".join(left[: sizes[0]])])
        left = left[sizes[0] :]
    kept = [word for word in found if word not in STOP_WORDS and word not in words(name)]
    if not kept:
        raise UserError(
            f'the description of the class "{name}" says nothing beyond its name: write it with other words'
        )
    return kept


def load_sentences(path: str | Path) -> dict[str, str]:
    """Read descriptions from a YAML file of ``name: sentence``. Raises UserError if it cannot be read."""
    try:
        found = yaml.safe_load(Path(path).read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(
            f"the descriptions {path} cannot be read ({type(error).__name__}): text.descriptions must be a YAML file "
            "of `name: sentence`"
        ) from None
    if not isinstance(found, dict) or not all(isinstance(value, str) for pair in found.items() for value in pair):
        raise UserError(
            f"the descriptions {path} are not `name: sentence` throughout: put sentences with a colon or a comma "
            "between quotes"
        )
    return found
