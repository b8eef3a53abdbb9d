"""Sources of class vectors: word vectors, a file of class vectors, or a text encoder.

Each source has ``embed(names)``, which gives vectors (C, W) float32; ``dim``, the width W; and ``column``, the column
of the manifest whose names it takes.
"""

import csv
import importlib
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import ModuleType

import numpy as np

from aurl import UserError
from aurl.project import matlab
from aurl.text import encoders
from aurl.text.class_names import closest, describe, letters, phrase, words
from aurl.text.embedding import WordVectors
from aurl.text.vectors import is_number

SHIPPED = f"{encoders.__name__}:"  # a file may choose only encoders with this prefix


def open_source(
    vectors: str | Path | None = None,
    embeddings: str | Path | None = None,
    encoder: str | None = None,
    templates: Sequence[str] = ("{}",),
    extend: bool = False,
) -> "WordVectors | Embeddings | Encoder":
    """The source of class vectors whose argument is not None; the arguments are parameters of the section ``text``.

    With ``extend``, the encoder that a file of class vectors names computes the vectors that the file lacks. Raises
    UserError as `WordVectors.load`, `Embeddings` or `Encoder` does.
    """
    if encoder is not None:
        return Encoder(encoder, templates)
    return WordVectors.load(vectors) if embeddings is None else Embeddings(embeddings, extend)


def source_named(value: str) -> dict[str, str]:
    """`open_source`'s arguments for a user's input: ``MODULE:FUNCTION``, or a file, whose extension tells its kind."""
    if not os.path.exists(value) and re.fullmatch(r"[\w.]+:\w+(\(.+\))?", value):
        return {"encoder": value}
    return {"embeddings" if Path(value).suffix in FORMATS else "vectors": value}


def embed_described(source, names: Sequence[str], sentences: Mapping[str, str]) -> np.ndarray:
    """(C, W) float32: the mean of the vectors of a class's name and of its description (see `describe`)."""
    described = [" ".join(describe(name, sentences)) for name in names]
    return (source.embed(names) + source.embed(described)) / 2


def check_source(where: str, settings, classes: Mapping[str, Sequence[str]], models: Mapping[str, object]) -> None:
    """Raise UserError for a file or an encoder that cannot embed the classes, or that a variant cannot be trained with.

    Two classes of one data set may not have the same vector, because no model could tell them apart.

    Args:
        where: the beginning of messages, such as the parameter file.
        settings: the section ``text``.
        classes: data set -> its known class names.
        models: variant -> its section ``model``.
    """
    if "vectors" in settings.source:
        return
    at = f"{where}: text.{next(iter(settings.source))}"
    try:
        source = open_source(**settings.source)
        for name, labels in classes.items():
            known: dict[bytes, str] = {}
            for label, vector in zip(labels, source.embed(labels) if labels else ()):
                if (other := known.setdefault(vector.tobytes(), label)) != label:
                    raise UserError(
                        f'the classes "{other}" and "{label}" of {name} have the same vector: give them two, or remove '
                        "one class."
                    )
        for variant, model in models.items() if settings.embeddings else ():
            at = f"{where}: variant {variant}"
            if model.describe:
                raise UserError("text.embeddings has no descriptions: set model.describe to false.")
            if model.projection == "attributes":  # needs vectors of single words
                source.embed(sorted({word for own in classes.values() for label in own for word in words(label)}))
    except UserError as error:
        raise UserError(f"{at}: {error}") from None


class Embeddings:
    """Vectors of complete class names from a file, used without change.

    ========  ======================================================================================================
    .npz      ``names`` (C,) and ``vectors`` (C, W); optionally ``encoder``, the shipped encoder that made them
    .csv      one class a line: its name, then W numbers; a first line without numbers is skipped
    .mat      MATLAB, version 7 at most: ``att`` (W, C) and ``allclasses_names`` (C, 1), as in GZSL's att_splits.mat
    ========  ======================================================================================================

    Names are compared without capitals, spaces and punctuation. Raises UserError for a file that is missing, damaged or
    of another kind, for a name that occurs twice, and for a vector that is zero or not finite.
    """

    column = "class"

    def __init__(self, path: str | Path, extend: bool = False):
        self.source, self.extend = str(path), extend
        names, vectors, self.encoder = _read(Path(path))
        with np.errstate(over="ignore"):  # values beyond float32 become infinite, and are refused below
            self.vectors = np.asarray(vectors, np.float32)
        self.dim, self.names, self.rows = self.vectors.shape[1], names, {}
        for row, name in enumerate(names):
            if self.rows.setdefault(letters(name), row) != row:
                raise UserError(f'{path} has the class "{name}" twice: remove one.')
        _check_vectors(self.vectors, names, self.source)

    def embed(self, names: Sequence[str]) -> np.ndarray:
        """(C, W) float32. Raises UserError for classes neither in the file nor computed, and names the first five."""
        missing = [name for name in names if letters(name) not in self.rows]
        computed = dict(zip(missing, self._compute(missing))) if missing else {}
        found = [computed[name] if name in computed else self.vectors[self.rows[letters(name)]] for name in names]
        return np.array(found, np.float32).reshape(len(names), self.dim)

    def _compute(self, missing):
        rest = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        listed = '", "'.join(missing[:5])
        lacks = f'{self.source} has no vector of the class "{listed}"{rest}'
        if not (self.extend and self.encoder):
            near = closest(missing[0], self.names)
            raise UserError(f"{lacks}{near}: add vectors for these names, or write them as the file does.")
        try:
            if not self.encoder.startswith(SHIPPED):
                raise UserError(f"{self.encoder} is not this project's, so it is not run.")
            vectors = Encoder(self.encoder).embed(missing)
            if vectors.shape[1] != self.dim:
                raise UserError(f"{self.encoder} gives {vectors.shape[1]} numbers instead of {self.dim}.")
            return vectors
        except UserError as error:
            raise UserError(f"{lacks}, and it cannot be computed: {error}") from None


class Encoder:
    """A text encoder: a function from C texts to vectors (C, W), named as ``PACKAGE.MODULE:FUNCTION``.

    ``PACKAGE.MODULE:FUNCTION(WEIGHTS)`` calls it with a second argument, a text such as a folder of weights. The
    function reads each of the ``templates`` with the class name in place of ``{}``, such as "a video of a person {}".
    Vectors are normalized before the mean over templates, as in CLIP; otherwise templates with longer vectors would
    weigh more. The mean is not normalized, and neither is that of word vectors.

    Raises UserError for a function that cannot be imported. `embed` raises it if the function fails or does not return
    C finite vectors that are not zero, or if their mean over templates is zero.
    """

    column = "class"

    def __init__(self, name: str, templates: Sequence[str] = ("{}",)):
        self.source, self.templates, self.width = name, templates, None
        path, _, argument = name.partition("(")
        self.arguments = [argument.removesuffix(")")] if argument else []
        self.module, self.function = _imported(path)

    @cached_property
    def dim(self) -> int:
        return self.embed(["walk"]).shape[1]

    def embed(self, names: Sequence[str]) -> np.ndarray:
        """(C, W) float32. Raises UserError as the class describes, and for a name without a letter or digit."""
        phrases = [phrase(name) for name in names]
        units = [self._encode([each.replace("{}", one) for one in phrases]) for each in self.templates]
        mean = np.mean(units, axis=0).astype(np.float32)
        _check_vectors(mean, names, f"the mean over text.templates of the encoder {self.source}", zero=1e-6)
        return mean

    def _encode(self, texts):
        """Unit vectors (C, W) float64."""
        found = self.call(texts).astype(np.float64)  # in float32, the squares of large values are infinite
        _check_vectors(found, texts, f"the encoder {self.source}")
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    def call(self, inputs) -> np.ndarray:
        """What the function returns for N inputs, (N, W) float32.

        Raises UserError if it fails, or returns another shape, other than real numbers, or another W than before.
        """
        try:
            with np.errstate(over="ignore"):  # infinite numbers are refused by who uses them
                found = np.asarray(self.function(inputs, *self.arguments)).astype(np.float32, casting="same_kind")
        except UserError:
            raise
        except (Exception, SystemExit) as error:  # the function may be a user's
            raise UserError(f"the encoder {self.source} failed ({_reason(error)}): correct it.") from error
        if found.ndim != 2 or len(found) != len(inputs) or not found.shape[1]:
            raise UserError(
                f"the encoder {self.source} returned an array of shape {found.shape} for {len(inputs)} inputs: return "
                f"({len(inputs)}, W)."
            )
        self.width = self.width or found.shape[1]
        if found.shape[1] != self.width:
            raise UserError(
                f"the encoder {self.source} returned vectors of {self.width} and of {found.shape[1]} numbers: let all "
                "have one length."
            )
        return found


def _reason(error):
    """The kind of an error, and the first line of what it says."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def _imported(path) -> tuple[ModuleType, Callable[..., np.ndarray]]:
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # a module of one's own may lie in the project's root
    module, _, name = path.partition(":")
    try:
        found = importlib.import_module(module)
        return found, getattr(found, name)
    except (Exception, SystemExit) as error:  # the module may be a user's
        raise UserError(
            f"the encoder {path} cannot be imported ({_reason(error)}): write PACKAGE.MODULE:FUNCTION of an installed "
            "package, or of a file in the project's root."
        ) from error


def _check_vectors(vectors, names, where, zero=0.0):
    """Raise UserError for a vector that is not finite or not longer than ``zero``."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    wrong = np.flatnonzero(~(np.isfinite(lengths) & (lengths > zero)))
    if len(wrong):
        what = "of zeros" if lengths[wrong[0]] <= zero else "that is not finite"
        raise UserError(f'{where} has a vector {what} for "{names[wrong[0]]}": compute it again.')


def _read(path):
    """Names, vectors (C, W), and the encoder that made them or None."""
    if path.suffix not in FORMATS:
        raise UserError(f"{path} is no file of class vectors: give one that ends in {', '.join(FORMATS)}.")
    try:
        names, vectors, encoder = FORMATS[path.suffix](path)
        names = [name.decode() if isinstance(name, bytes) else str(name) for name in matlab.cells(names)]
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"there is no file {path}: write where the class vectors are.") from None
    except Exception as error:  # each library has its own errors for truncated and foreign files
        reason = f"lacks {error}" if isinstance(error, KeyError) else f"cannot be read ({error})"
        raise UserError(f"{path} {reason}: docs/changes.md says what a file of class vectors holds.") from None
    if vectors.ndim != 2 or vectors.dtype.kind not in "fiu" or vectors.shape[0] != len(names) or not vectors.size:
        raise UserError(
            f"{path} has {len(names)} names and vectors of shape {vectors.shape} and type {vectors.dtype}: it needs "
            "one vector of numbers for each name."
        )
    return names, vectors, encoder


def _npz(path):
    with np.load(path, allow_pickle=False) as arrays:
        return arrays["names"], np.asarray(arrays["vectors"]), str(arrays["encoder"]) if "encoder" in arrays else None


def _csv(path):
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = [line for line in csv.reader(file, strict=True) if line]
    if not lines:
        raise ValueError("it is empty")
    if len(lines[0]) < 2:
        raise ValueError("its first line has no comma between a name and numbers")
    if not any(map(is_number, lines[0][1:])):
        del lines[0]  # a header
    for count, line in enumerate(lines, 1):
        if len(line) != len(lines[0]):
            raise ValueError(f"class {count} has {len(line) - 1} numbers instead of {len(lines[0]) - 1}")
    return np.array([line[0] for line in lines]), np.array([line[1:] for line in lines], float), None


def _mat(path):
    arrays = matlab.load(path, ["att", "allclasses_names"])
    return arrays["allclasses_names"], arrays["att"].T, None


FORMATS = {".npz": _npz, ".csv": _csv, ".mat": _mat}
