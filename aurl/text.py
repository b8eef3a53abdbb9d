"""From class names to vectors: name -> words -> mean of the words' unit vectors.

The word vectors stay fixed; what is learned from them is the class encoder of ``aurl.models``. How a
dataset writes its class names is data (``Rules``), so that one path serves every dataset.
"""

import difflib
import io
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import lemminflect
import numpy as np
import pandas as pd
import yaml

from aurl import UserError
from aurl.files import write_bytes
from aurl.vectors import open_vectors


@dataclass(frozen=True)
class Rules:
    """How a dataset's class names become words; the default suits names that are plain words.

    ``substitutions`` maps a whole class name to the text that is embedded in its place. ``cut`` goes, with
    everything after it; with ``capitals`` a word begins at every capital; words in ``drop`` are left out;
    with ``base_forms`` a verb stands as its base form ("riding" as "ride").
    """

    substitutions: Mapping[str, str] = field(default_factory=dict)
    cut: str = ""
    capitals: bool = False
    drop: Collection[str] = ()
    base_forms: bool = False


def words(name: str, rules: Rules = Rules()) -> list[str]:
    """The lower-case words that a class name is embedded by; everything but letters, digits and apostrophes parts words.

    >>> words("walk duck"), words("flauta", Rules({"flauta": "flute"}))
    (['walk', 'duck'], ['flute'])
    >>> words("RidingHorse", Rules(capitals=True, base_forms=True))
    ['ride', 'horse']
    """
    text = rules.substitutions.get(name, name)
    if rules.cut:
        text = text.split(rules.cut)[0]
    if rules.capitals:
        text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    found = [word for word in re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.lower()) if word not in rules.drop]
    return [_base_form(word) for word in found] if rules.base_forms else found


@cache
def _base_form(word):
    """The word's base form as a verb; the word itself if it may be one already ("saw"), or is no verb that lemminflect knows."""
    lemmas = lemminflect.getAllLemmas(word, upos="VERB").get("VERB", ())
    return word if word in lemmas or not lemmas else lemmas[0]


STOP_WORDS = frozenset("a an and are as at by for from in into is it its off on or over that the to up with".split())


def describe(name: str, sentences: Mapping[str, str]) -> list[str]:
    """The words that describe a class: of its own sentence, or of those of its parts; without stop words and the name's words.

    ``sentences`` maps a class name, or the longest parts that it is made of, to a description. Raises
    UserError for a class that cannot be described so.

    >>> describe("spin kick duck", {"spin kick": "turn around and hit", "spin": "turn", "duck": "a yellow bird"})
    ['turn', 'around', 'hit', 'yellow', 'bird']
    """
    left, found = words(name), []
    while left:
        sizes = [size for size in range(len(left), 0, -1) if " ".join(left[:size]) in sentences]
        if not sizes:
            raise UserError(f'there is no description of "{" ".join(left)}" in the class "{name}": add one to the file of text.describe')
        found += words(sentences[" ".join(left[: sizes[0]])])
        left = left[sizes[0] :]
    kept = [word for word in found if word not in STOP_WORDS and word not in words(name)]
    if not kept:
        raise UserError(f'the description of the class "{name}" says nothing beyond its name: write it with other words')
    return kept


def load_sentences(path: str | Path) -> dict[str, str]:
    """Descriptions from a YAML file of ``name: sentence``. Raises UserError if it is missing or another kind of file."""
    try:
        found = yaml.safe_load(Path(path).read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"the descriptions {path} cannot be read ({type(error).__name__}): text.describe must be a YAML file of `name: sentence`, or null") from None
    if not isinstance(found, dict) or not all(isinstance(value, str) for pair in found.items() for value in pair):
        raise UserError(f"the descriptions {path} are not `name: sentence` throughout: put sentences with a colon or a comma between quotes")
    return found


class WordVectors:
    """Word vectors of one source.

    ``lookup(word)`` gives the ``dim`` numbers of a word as the source has them (not normalised), and
    zeros for a word that it cannot tell anything about. ``fetch(words)``, where there is one, hears of all
    words before the first is looked up. ``source`` is named in error messages.
    """

    def __init__(self, lookup: Callable[[str], np.ndarray], dim: int, source: str, fetch: Callable[[Iterable[str]], None] | None = None):
        self.lookup, self.dim, self.source, self.fetch = lookup, dim, source, fetch or (lambda words: None)

    @classmethod
    def load(cls, path: str | Path) -> "WordVectors":
        """The word vectors of a file of any kind that ``aurl.vectors`` reads, told apart by its content.

        Raises UserError if there is no such file, or if it is not a whole one of these.
        """
        found = open_vectors(path)
        return cls(found.lookup, found.dim, str(path), found.fetch)

    def embed(self, names: Sequence[str], rules: Rules = Rules(), sentences: Mapping[str, str] | None = None) -> np.ndarray:
        """(C, W) float32: for each class name the mean of its words' vectors, each of unit length first.

        With ``sentences`` (see `describe`) it is the mean of two such means, the name's and its
        description's. No mean is normalised. Raises UserError that names every class, with its word,
        for which there is no vector.
        """
        if sentences is not None:
            described = [" ".join(describe(name, sentences)) for name in names]
            return (self.embed(names, rules) + self.embed(described)) / 2
        spoken, missing = {name: words(name, rules) for name in names}, []
        self.fetch(word for found in spoken.values() for word in found)
        means = np.zeros((len(names), self.dim))  # in float64: float32's last digit depends on where in memory a vector lies
        for row, name in zip(means, names):
            found = spoken[name]
            if not found:
                raise UserError(f'the class name "{name}" holds no word: write it with words')
            for word in found:
                vector = np.asarray(self.lookup(word), np.float64)
                norm = np.linalg.norm(vector)
                if 0 < norm < np.inf:
                    row += vector / norm / len(found)
                else:
                    missing.append(f'"{word}" of class "{name}"')
        if missing:
            rest = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            raise UserError(f"{self.source} has no vector for {', '.join(missing[:5])}{rest}: "
                            "write the class with other words, or use vectors that have them")
        return means.astype(np.float32)


def overlapping(train: tuple[Sequence[str], np.ndarray], test: tuple[Sequence[str], np.ndarray],
                threshold: float) -> pd.DataFrame:
    """Which training classes are too close to a test class for the test to be zero-shot.

    ``train`` and ``test`` are (names, vectors) with vectors (C, W) of any length. A training class is
    removed if its cosine distance (0 to 2) to the nearest test class is below ``threshold``; the paper
    takes 0.05, and 0 keeps every class. Returns one row per training class, the closest first, with
    columns ``class``, ``nearest`` (the test class), ``distance`` and ``removed``.
    """
    (names, vectors), (test_names, test_vectors) = train, test
    # Rounding puts equal vectors at ±1e-16, which would be "below" a threshold of 0, or sort equals at random.
    distances = np.clip((1 - _unit(vectors) @ _unit(test_vectors).T).round(9), 0, 2)
    nearest = distances.argmin(axis=1)
    smallest = distances.min(axis=1)
    table = pd.DataFrame({"class": list(names), "nearest": [test_names[i] for i in nearest],
                          "distance": smallest, "removed": smallest < threshold})
    return table.sort_values("distance", kind="stable", ignore_index=True)


def without_overlap(train: tuple[Sequence[str], np.ndarray], tests: Mapping[str, tuple[Sequence[str], np.ndarray]],
                    threshold: float) -> tuple[tuple[list[str], np.ndarray], pd.DataFrame]:
    """The training classes (names, vectors) that are no nearer than ``threshold`` to a class of any test set, and why.

    The table is that of `overlapping` against all test sets together, with the column ``set``, of the nearest test class.
    A threshold of 0 keeps every class, even one that is a test class too. Raises UserError if no class is left.
    """
    nearest = [overlapping(train, test, threshold).assign(set=name) for name, test in tests.items()]
    table = pd.concat(nearest).sort_values("distance", kind="stable").drop_duplicates("class", ignore_index=True)
    kept = set(table.loc[~table["removed"], "class"])
    if not kept:
        raise UserError(f"text.overlap {threshold} leaves no training class: lower it")
    names = [name for name in train[0] if name in kept]
    return (names, select(list(train[0]), train[1], names)), table


def select(names: Sequence[str], vectors: np.ndarray, wanted: Sequence[str]) -> np.ndarray:
    """The vectors (len(wanted), W) of some of the classes. Raises UserError for a class that is not among ``names``."""
    for name in wanted:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            raise UserError(f'there is no class "{name}"' + (f'; did you mean "{near[0]}"?' if near else ""))
    return vectors[[names.index(name) for name in wanted]]


def principal(vectors: np.ndarray, dim: int) -> np.ndarray:
    """The first ``dim`` principal components (C, dim) of class vectors (C, W), for pictures in few dimensions.

    Signs are chosen so that each component's largest weight is positive, as they are arbitrary otherwise.
    """
    centred = _unit(vectors) - _unit(vectors).mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:dim] * np.sign(axes[np.arange(dim), np.abs(axes[:dim]).argmax(axis=1)])[:, None]
    return (centred @ axes.T).astype(np.float32)


def save_classes(path: str | Path, sets: Mapping[str, tuple[Sequence[str], np.ndarray]]) -> None:
    """Keep each data set's class names and their vectors (C, W) in one ``.npz`` file."""
    arrays = {}
    for name, (classes, vectors) in sets.items():
        arrays |= {f"{name}/names": np.array(classes), f"{name}/vectors": vectors}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_bytes(Path(path), buffer.getvalue())


def load_classes(path: str | Path, name: str) -> tuple[list[str], np.ndarray]:
    """What `save_classes` kept of the data set ``name``: C class names and vectors (C, W) float32.

    Raises UserError if the file or the data set in it is missing, or if it is another kind of file.
    """
    try:
        with np.load(path) as arrays:
            return arrays[f"{name}/names"].tolist(), arrays[f"{name}/vectors"]
    except (FileNotFoundError, KeyError):
        raise UserError(f"{path} with the classes of {name} is missing: embed the class names first, with `dvc repro`") from None
    except Exception as error:
        raise UserError(f"{path} holds no classes of this project ({type(error).__name__}): embed the class names again, with `dvc repro -f`") from error


def _unit(vectors: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors, np.float64)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
