"""From a class name to a vector: the mean of its words' unit vectors.

The word vectors stay fixed. The class encoder of ``aurl.models`` learns from them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from aurl import UserError
from aurl.text.class_names import PLAIN, Rules, describe, words
from aurl.text.vectors import open_vectors


class WordVectors:
    """Word vectors of one source.

    ``lookup(word)`` gives the ``dim`` numbers of a word as the source has them (not normalized), and zeros for a word
    without a vector. ``fetch(words)``, if given, is called with all words before the first is looked up. ``source`` is
    named in error messages.
    """

    def __init__(
        self,
        lookup: Callable[[str], np.ndarray],
        dim: int,
        source: str,
        fetch: Callable[[Iterable[str]], None] | None = None,
    ):
        self.lookup, self.dim, self.source, self.fetch = lookup, dim, source, fetch or (lambda words: None)

    @classmethod
    def load(cls, path: str | Path) -> "WordVectors":
        """The word vectors of a file of any kind that ``aurl.text.vectors`` reads, told apart by its content.

        Raises UserError if there is no such file, or if it is damaged or of another kind.
        """
        found = open_vectors(path)
        return cls(found.lookup, found.dim, str(path), found.fetch)

    def embed(
        self, names: Sequence[str], rules: Rules = PLAIN, sentences: Mapping[str, str] | None = None
    ) -> np.ndarray:
        """(C, W) float32: for each class name the mean of its words' vectors, each of unit length first.

        With ``sentences`` (see `describe`) it is the mean of two such means, the name's and its description's. No mean
        is normalized. Raises UserError for words without a vector, and names the first five with their classes.
        """
        if sentences is not None:
            described = [" ".join(describe(name, sentences)) for name in names]
            return (self.embed(names, rules) + self.embed(described)) / 2
        spoken, missing = {name: words(name, rules) for name in names}, []
        self.fetch(word for found in spoken.values() for word in found)
        # In float64, because float32's last digit depends on where in memory a vector lies.
        means = np.zeros((len(names), self.dim))
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
            raise UserError(
                f"{self.source} has no vector for {', '.join(missing[:5])}{rest}: "
                "write the class with other words, or use vectors that have them"
            )
        return means.astype(np.float32)
