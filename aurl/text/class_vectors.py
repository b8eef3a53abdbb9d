"""Class vectors of data sets: the overlap filter, selections, and the file that later stages read."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aurl import UserError
from aurl.project.files import npz, write_bytes
from aurl.text.class_names import closest

if TYPE_CHECKING:
    import pandas as pd  # else imported where it is used, because the parameters are checked without it


def overlapping(
    train: tuple[Sequence[str], np.ndarray], test: tuple[Sequence[str], np.ndarray], threshold: float
) -> pd.DataFrame:
    """Find the training classes that are too close to a test class for a zero-shot test.

    Args:
        train: class names and vectors (C, W) of any norm.
        test: the same for the test classes.
        threshold: a training class is removed if its cosine distance (0 to 2) to the nearest test class is below this;
            0.05 in the paper, and 0 removes none.

    Returns:
        One row per training class, the closest first: ``class``, ``nearest`` (a test class), ``distance``, ``removed``.
    """
    (names, vectors), (test_names, test_vectors) = train, test
    # Rounded, because equal vectors are ±1e-16 apart: below a threshold of 0, and sorted at random.
    # Adding 0 turns -0, which tables would print as -0.000000, into 0.
    distances = np.clip((1 - unit(vectors) @ unit(test_vectors).T).round(9), 0, 2) + 0.0
    nearest = distances.argmin(axis=1)
    smallest = distances.min(axis=1)
    import pandas as pd

    table = pd.DataFrame(
        {
            "class": list(names),
            "nearest": [test_names[i] for i in nearest],
            "distance": smallest,
            "removed": smallest < threshold,
        }
    )
    return table.sort_values("distance", kind="stable", ignore_index=True)


def without_overlap(
    train: tuple[Sequence[str], np.ndarray], tests: Mapping[str, tuple[Sequence[str], np.ndarray]], threshold: float
) -> tuple[tuple[list[str], np.ndarray], pd.DataFrame]:
    """Remove the training classes that overlap a class of any test set (see `overlapping`).

    A threshold of 0 keeps every class, even a test class.

    Returns:
        The names and vectors of the classes that are kept, and the table of `overlapping` against all test sets with a
        further column ``set``, the nearest test class's set.

    Raises:
        UserError: for a test set with one class, and for fewer than two training classes before or after the removal.
    """
    for name, (classes, _) in tests.items():
        if len(classes) < 2:
            raise UserError(f'the test set {name} has only the class "{classes[0]}": add videos of other classes.')
    if len(train[0]) < 2:
        raise UserError(f'the training sets have only the class "{train[0][0]}": add videos of other classes.')
    nearest = [overlapping(train, test, threshold).assign(set=name) for name, test in tests.items()]
    import pandas as pd

    table = pd.concat(nearest).sort_values("distance", kind="stable").drop_duplicates("class", ignore_index=True)
    kept = set(table.loc[~table["removed"], "class"])
    if len(kept) < 2:
        left = "one training class" if kept else "no training class"
        raise UserError(f"text.overlap {threshold} leaves {left} of {len(table)}: lower it.")
    names = [name for name in train[0] if name in kept]
    return (names, select(list(train[0]), train[1], names)), table


def share(
    names: Sequence[str], vectors: np.ndarray, part: float, always: Collection[str] = ()
) -> tuple[list[str], np.ndarray]:
    """Keep a share ``part``, in (0, 1], of the training classes in their order, at least two, and all of ``always``.

    Returns names and vectors (C, W). The choice depends only on hashes of the names, so a smaller share is a subset of
    a larger one.
    """
    hashes = {name: hashlib.sha256(name.encode()).digest() for name in names}
    drawn = sorted(names, key=lambda name: (name not in always, hashes[name]))[: max(2, round(part * len(names)))]
    kept = set(drawn) | (set(always) & set(names))
    wanted = [name for name in names if name in kept]
    return wanted, select(list(names), vectors, wanted)


def check_sphere(classes: Sequence[str], overlap: pd.DataFrame) -> None:
    """Raise UserError if one of ``sphere.classes`` is no training class or `without_overlap`'s table removes it."""
    rows = overlap.set_index("class")
    for name in classes:
        if name not in rows.index:
            near = closest(name, rows.index) or ": name training classes."
            raise UserError(f'sphere.classes names "{name}", which is not a training class{near}')
        row = rows.loc[name]
        if row["removed"]:
            raise UserError(
                f'sphere.classes names "{name}", which text.overlap removes because it is {row["distance"]:.3f} from '
                f'"{row["nearest"]}" of {row["set"]}: name another class, or lower text.overlap.'
            )


def select(names: Sequence[str], vectors: np.ndarray, wanted: Sequence[str]) -> np.ndarray:
    """The vectors (len(wanted), W) of the classes ``wanted``. Raises UserError for one that is not in ``names``."""
    for name in wanted:
        if name not in names:
            raise UserError(f'there is no class "{name}"{closest(name, names)}')
    return vectors[[names.index(name) for name in wanted]]


def principal(vectors: np.ndarray, dim: int) -> np.ndarray:
    """The first ``dim`` principal components (C, dim) of class vectors (C, W), for figures.

    Signs are arbitrary; here each component's largest weight is positive.
    """
    centered = unit(vectors) - unit(vectors).mean(axis=0)
    _, _, axes = np.linalg.svd(centered, full_matrices=False)
    axes = axes[:dim] * np.sign(axes[np.arange(dim), np.abs(axes[:dim]).argmax(axis=1)])[:, None]
    return (centered @ axes.T).astype(np.float32)


def save_classes(
    path: str | Path,
    sets: Mapping[str, tuple[Sequence[str], np.ndarray]],
    descriptions: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write each data set's class names and vectors (C, W) to one ``.npz`` file.

    ``descriptions`` maps data sets whose classes all have a description to vectors (C, W) of the descriptions.
    """
    arrays = {}
    for name, (classes, vectors) in sets.items():
        arrays |= {f"{name}/names": np.array(classes), f"{name}/vectors": vectors}
    arrays |= {f"{name}/descriptions": vectors for name, vectors in (descriptions or {}).items()}
    write_bytes(Path(path), npz(arrays))


def load_classes(path: str | Path, name: str, describe: bool = False) -> tuple[list[str], np.ndarray]:
    """Read the C class names and vectors (C, W) float32 of the data set ``name`` from `save_classes`'s file.

    With ``describe`` the vectors are (C, 2 W): the name's, then the description's. Raises UserError if the file, the
    data set or its descriptions are missing, or if it is another kind of file.
    """
    try:
        with np.load(path) as arrays:
            names, vectors = arrays[f"{name}/names"].tolist(), arrays[f"{name}/vectors"]
            if not describe:
                return names, vectors
            if f"{name}/descriptions" in arrays:
                return names, np.concatenate([vectors, arrays[f"{name}/descriptions"]], axis=1)
        raise UserError(
            f"model.describe is true, but not every class of {name} has a description: complete the file of "
            "text.descriptions, or set model.describe to false"
        )
    except UserError:
        raise
    except (FileNotFoundError, KeyError):
        raise UserError(
            f"{path} with the classes of {name} is missing: embed the class names first, with `dvc repro`"
        ) from None
    except Exception as error:
        raise UserError(
            f"{path} has no classes of this project ({type(error).__name__}): embed the class names again, with "
            "`dvc repro -f 02_embed_class_names`"
        ) from error


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (C, W) as float64 of unit length."""
    vectors = np.asarray(vectors, np.float64)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
