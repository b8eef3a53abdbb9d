"""Word vectors from a file: a fastText model, word2vec's binary format, or text as GloVe and fastText write it.

`open_vectors` tells them apart by their content, not by their names. A fastText model is loaded entirely, because it
makes vectors of unknown words from subwords. Other files may be gzipped. They are read in passes that keep only the
wanted words, so 7 GB of vectors take a few MB of memory.
"""

import gzip
import io
import mmap
import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

import fasttext
import numpy as np

from aurl import UserError

FASTTEXT = struct.pack("<i", 793712314)  # the first bytes of a fastText model
GZIP = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"
CHUNK = 1 << 20  # bytes read at a time; no line, and no word of a binary file, is longer
FIX = (
    "text.vectors must be the path of a whole fastText .bin model, or of a file in word2vec's binary format or in "
    "text, gzipped or not"
)


def open_vectors(path: str | Path) -> "Listed | FastText":
    """The word vectors of a file.

    The result has three members. ``dim`` is the number of dimensions. ``lookup(word)`` gives (dim,) float32, zeros for
    a word without a vector. ``fetch(words)`` finds many words at once. Raises UserError if the file is missing or of
    another kind. A fastText model is checked here, other files whenever words are looked up (see `Listed`).
    """
    path = Path(path)
    if not path.is_file():
        reason = "is a folder" if path.is_dir() else "does not exist"
        raise UserError(f"the word vectors {path}: this file {reason}; {FIX}")
    try:
        with _opened(path) as file:
            head = file.read(CHUNK)
            packed = isinstance(file.raw, gzip.GzipFile)
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, error) from None
    if not head.startswith(FASTTEXT):
        return Listed(path, head)
    if packed:
        raise UserError(f"the word vectors {path}: fastText does not read a gzipped model; unpack it with gunzip")
    return FastText(path)


class Listed:
    """Words and their vectors in a file that lists them: text, or word2vec's binary format.

    A word that is listed only with a capital, such as "Skyjet" in GoogleNews, is found in lower case too. Found
    vectors stay in memory.
    """

    def __init__(self, path: Path, head: bytes):
        mark = len(BOM) if head.startswith(BOM) else 0
        line, _, rest = head[mark:].partition(b"\n")
        header = re.fullmatch(rb"(\d{1,12})\s+(\d{1,6})\s*", line)
        self.count, self.dim = map(int, header.groups()) if header else (None, len(line.split()) - 1)
        fields = (rest.partition(b"\n")[0] if header else line).split()
        text = len(fields) > max(1, self.dim) and all(map(is_number, fields[-self.dim :]))
        if not (header or (text and self.dim > 1)):
            raise UserError(
                f"the word vectors {path}: this is not a fastText model, nor another file of word vectors; {FIX}"
            )
        self.path, self.start, self.found = path, mark + (len(line) + 1 if header else 0), {}
        self.entries, self.numbers = (_lines, _from_text) if text else (_records, _from_binary)
        if self.count == 0 or self.dim == 0:
            raise UserError(f"the word vectors {path}: its first line promises no vectors; {FIX}")

    def read(self) -> Iterator[tuple[bytes, bytes]]:
        """Every word and its numbers, as bytes of the file. Raises UserError at the first fault."""
        try:
            with _opened(self.path) as file:
                file.seek(self.start)
                yield from self.entries(file, self.count, self.dim)
        except (OSError, EOFError, zlib.error, ValueError) as error:
            raise _damaged(self.path, error) from None

    def fetch(self, words: Iterable[str]) -> None:
        """Find words in one pass over the whole file.

        Raises UserError if the file is cut short or damaged, if its first line gives a wrong number of words or
        dimensions, or if it has two vectors for one of the words.
        """
        new = {word.encode(): word for word in words if word not in self.found}
        wanted = {*new, *(word.capitalize().encode() for word in new.values())}
        found, repeated = {}, set()
        for word, numbers in self.read() if new else ():
            if word in wanted and found.setdefault(word, numbers) != numbers:
                repeated.add(word)
        for key, word in new.items():
            key = key if key in found else word.capitalize().encode()
            if key in repeated:
                raise UserError(
                    f'the word vectors {self.path} have two vectors for "{key.decode()}": remove one of them, or use '
                    "other vectors"
                )
            try:
                self.found[word] = self.numbers(found[key]) if key in found else np.zeros(self.dim, np.float32)
                if not np.isfinite(self.found[word]).all():
                    raise ValueError("a number is not finite")
            except ValueError as error:
                raise _damaged(self.path, ValueError(f'of the vector of "{word}", {error}')) from None

    def lookup(self, word: str) -> np.ndarray:
        """(dim,) float32; zeros for a word that is not in the file."""
        self.fetch([word])
        return self.found[word]


class FastText:
    """A fastText model, loaded entirely: 4·dim·(2·words + buckets) bytes and some 0.1 GB more.

    2 million words, 2 million buckets and 300 dimensions take 7 GB. ``lookup`` makes the vector of an unknown word from
    its subwords, if the model has subwords.
    """

    def __init__(self, path: Path):
        # On a truncated or damaged file, fastText itself hangs, crashes, or reads half of it.
        if not _is_complete_model(path):
            raise UserError(
                f"the word vectors {path}: this fastText model is cut short or damaged; fetch or copy it again"
            )
        try:
            model = fasttext.load_model(str(path))
        except (ValueError, RuntimeError, MemoryError) as error:
            raise UserError(
                f"the word vectors {path} cannot be loaded by fastText: {str(error) or 'not enough memory'}"
            ) from None
        self.lookup, self.dim = model.get_word_vector, model.get_dimension()

    def fetch(self, words: Iterable[str]) -> None:
        """Does nothing, because every word is in memory."""


MODEL = struct.Struct("<14id3i2q")  # magic number, version, 12 settings, t, and five counts of the dictionary
SHAPE = struct.Struct("<2q")


def _is_complete_model(path: Path) -> bool:
    """Whether all parts of a fastText model lie where its header places them.

    After the header come the words, each with a zero, its count and its kind; pairs of numbers, if the model was
    pruned; and two matrices with their shapes. Only a classifier may be quantized; its matrices are not checked.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            values = MODEL.unpack_from(data)
            dim, ngrams, kind, bucket, longest = (values[place] for place in (2, 7, 9, 10, 12))
            entries, words, labels, _, pruned = values[15:]
            if bucket < (longest != 0 or ngrams > 1) or entries != words + labels:
                return False
            at = MODEL.size
            for _ in range(entries):
                end = data.find(b"\0", at, at + CHUNK)
                if end < 0:
                    return False
                at = end + 10
            at += 8 * max(pruned, 0)
            if kind == 3 and data[at]:
                return True
            for rows in (words + bucket, labels if kind == 3 else words):
                if SHAPE.unpack_from(data, at + 1) != (rows, dim):
                    return False
                at += 1 + SHAPE.size + 4 * rows * dim
            return at <= len(data)
        except (struct.error, IndexError, OverflowError):  # cut short
            return False


def _records(file: BinaryIO, count: int, dim: int) -> Iterator[tuple[bytes, bytes]]:
    """The entries of word2vec's binary format after its first line, ``count`` words and their numbers.

    An entry is a word, a space, ``dim`` little-endian float32, and in some files a newline.
    """
    buffer, at, size = b"", 0, 4 * dim
    for read in range(count):
        space = buffer.find(b" ", at)
        while space < 0 or len(buffer) <= space + size:
            if space - at > CHUNK or (space < 0 and len(buffer) - at > CHUNK):
                raise ValueError(f"word {read + 1} never ends, so the file is not what its first line says")
            more = file.read(CHUNK)
            if not more:
                raise ValueError(
                    f"it is cut short, or its first line is wrong: that promises {count} words with {dim} numbers, "
                    f"and {read} are there"
                )
            buffer, at = buffer[at:] + more, 0
            space = buffer.find(b" ")
        yield buffer[at:space].lstrip(b"\n"), buffer[space + 1 : space + 1 + size]
        at = space + 1 + size
    if (buffer[at:] + file.read(CHUNK)).strip(b"\n"):
        raise ValueError(f"it goes on after the {count} words with {dim} numbers that its first line promises")


def _lines(file: BinaryIO, count: int | None, dim: int) -> Iterator[tuple[bytes, bytes]]:
    """The entries of a text file after its header, if any: a word and its decimal numbers, separated by single spaces.

    ``count`` is the header's number of words, None without a header. A few words of GloVe 840B contain spaces.
    """
    read = 0
    for read, line in enumerate(iter(partial(file.readline, CHUNK), b""), 1):
        line = line.rstrip(b" \r\n")
        spaces = line.count(b" ")
        if spaces == dim:
            yield tuple(line.split(b" ", 1))
            continue
        word, *numbers = line.rsplit(b" ", dim)
        if spaces < dim or b"" in numbers or is_number(word.rpartition(b" ")[2]):
            raise ValueError(f"line {read + (count is not None)} has {spaces} numbers instead of {dim}")
        yield word.strip(b" "), b" ".join(numbers)
    if count not in (None, read):
        raise ValueError(
            f"it is cut short, or its first line is wrong: that promises {count} words, and {read} are there"
        )


def _from_binary(numbers: bytes) -> np.ndarray:
    """Numbers as float32. Raises ValueError for implausible values, such as letters taken for numbers."""
    found = np.frombuffer(numbers, "<f4").astype(np.float32)
    sizes = np.abs(found[found != 0])
    strange = ~((sizes > 1e-18) & (sizes < 1e10))
    if strange.any():
        raise ValueError(f"a number is {sizes[strange][0]:g}: the file is damaged, or a word of it holds a space")
    return found


def _from_text(numbers: bytes) -> np.ndarray:
    if b"_" in numbers:  # which Python skips
        raise ValueError("a number has an underscore")
    return np.array([float(number) for number in numbers.split()], np.float32)


def is_number(field: bytes | str) -> bool:
    """Whether ``float`` reads the field."""
    try:
        float(field)
    except ValueError:
        return False
    return True


def _opened(path: Path) -> io.BufferedReader:
    """The open file, decompressed if it is gzipped."""
    with path.open("rb") as file:
        packed = file.read(len(GZIP)) == GZIP
    return io.BufferedReader(gzip.open(path) if packed else path.open("rb", buffering=0), CHUNK)


def _damaged(path: Path, error: Exception) -> UserError:
    reason = getattr(error, "strerror", None) or error
    return UserError(f"the word vectors {path} cannot be read: {reason}; fetch or copy the file again")
