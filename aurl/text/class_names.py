"""From a class name to the words that it is embedded by.

How a dataset writes its class names is data (`Rules`), so one path serves every dataset.
"""

import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import lemminflect
import yaml

from aurl import UserError


@dataclass(frozen=True)
class Rules:
    """How a dataset's class names become words; the default suits names that are plain words.

    ``substitutions`` maps a whole class name to the text that is embedded in its place. ``cut`` and everything after it
    are removed. With ``capitals``, a word begins at every capital. Words in ``drop`` are left out. With ``base_forms``,
    a verb is replaced by its base form ("riding" by "ride").
    """

    substitutions: Mapping[str, str] = field(default_factory=dict)
    cut: str = ""
    capitals: bool = False
    drop: Collection[str] = ()
    base_forms: bool = False


PLAIN = Rules()


def words(name: str, rules: Rules = PLAIN) -> list[str]:
    """The lower-case words that a class name is embedded by; all but letters, digits and apostrophes separates words.

    >>> words("walk duck"), words("flauta", Rules({"flauta": "flute"}))
    (['walk', 'duck'], ['flute'])
    >>> words("RidingHorse", Rules(capitals=True, base_forms=True))
    ['ride', 'horse']
    """
    whole = unicodedata.normalize("NFC", name)  # some file systems take an accent and its letter apart
    text = rules.substitutions.get(name) or rules.substitutions.get(whole, whole)
    if rules.cut:
        text = text.split(rules.cut)[0]
    if rules.capitals:
        text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    found = [word for word in re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.lower()) if word not in rules.drop]
    return [_base_form(word) for word in found] if rules.base_forms else found


@cache
def _base_form(word):
    """The word's base form as a verb; the word itself if it may be one ("saw") or if lemminflect knows no such verb."""
    lemmas = lemminflect.getAllLemmas(word, upos="VERB").get("VERB", ())
    return word if word in lemmas or not lemmas else lemmas[0]


STOP_WORDS = frozenset("a an and are as at by for from in into is it its off on or over that the to up with".split())  # noqa: SIM905


def describe(name: str, sentences: Mapping[str, str]) -> list[str]:
    """The words of a class's own sentence, or of those of its parts, without stop words and the name's words.

    ``sentences`` maps a class name, or the longest parts that it is made of, to a description. Raises UserError for a
    class that has no description, or whose description adds no word to its name.

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
    """Descriptions from a YAML file of ``name: sentence``. Raises UserError if it is missing or of another kind."""
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
