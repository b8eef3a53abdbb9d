"""Class vectors from word vectors: the mean of the unit vectors of a name's words.

Word vectors are fixed. The class encoder of ``aurl.models`` is trained on top of them.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from aurl import UserError
from aurl.text.class_names import PLAIN, Rules, words
from aurl.text.vectors import open_vectors


class WordVectors:
    """Word vectors of one source.

    Args:
        lookup: word -> its vector (dim,), not normalized; zeros for a word without a vector.
        dim: the width W.
        source: a name for error messages.
        fetch: called with all words before the first is looked up, so that a large file is read once.
    """

    column = "words"  # of the manifest: the names that `embed` takes

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
        """Open a file of word vectors of any kind that ``aurl.text.vectors`` reads.

        Raises UserError if the file is missing, damaged or of another kind.
        """
        found = open_vectors(path)
        return cls(found.lookup, found.dim, str(path), found.fetch)

    def embed(self, names: Sequence[str], rules: Rules = PLAIN) -> np.ndarray:
        """The mean of the unit vectors of each class name's words, not normalized: (C, W) float32.

        Raises UserError for words without a vector, and names the first five with their classes.
        """
        spoken, missing = {name: words(name, rules) for name in names}, []
        self.fetch(word for found in spoken.values() for word in found)
        # float64, because the last digit of float32 sums depends on where in memory a vector lies
        means = np.zeros((len(names), self.dim))
        for row, name in zip(means, names):
            found = spoken[name]
            if not found:
                raise UserError(f'the class name "{name}" has no word: write it with words.')
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
