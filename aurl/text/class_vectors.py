"""The class vectors of data sets: kept in a file, selected, compared, and filtered of classes near a test class."""

import difflib
import hashlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from aurl import UserError
from aurl.project.files import npz, write_bytes


def overlapping(
    train: tuple[Sequence[str], np.ndarray], test: tuple[Sequence[str], np.ndarray], threshold: float
) -> pd.DataFrame:
    """Which training classes are too close to a test class for the test to be zero-shot.

    ``train`` and ``test`` are (names, vectors) with vectors (C, W) of any length. A training class is
    removed if its cosine distance (0 to 2) to the nearest test class is below ``threshold``; the paper
    takes 0.05, and 0 keeps every class. Returns one row per training class, the closest first, with
    columns ``class``, ``nearest`` (the test class), ``distance`` and ``removed``.
    """
    (names, vectors), (test_names, test_vectors) = train, test
    # Equal vectors are ±1e-16 apart. That would be "below" a threshold of 0, and would sort equals at random.
    # Adding 0 turns -0, which tables would print as -0.000000, into 0.
    distances = np.clip((1 - _unit(vectors) @ _unit(test_vectors).T).round(9), 0, 2) + 0.0
    nearest = distances.argmin(axis=1)
    smallest = distances.min(axis=1)
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
    """The training classes (names, vectors) that are no nearer than ``threshold`` to a class of any test set, and why.

    The table is that of `overlapping` against all test sets together, with the column ``set``, of the nearest test
    class. A threshold of 0 keeps every class, even one that is a test class too. Raises UserError if a test set has
    only one class or if fewer than two training classes are left, as one class cannot be told apart from others.
    """
    for name, (classes, _) in tests.items():
        if len(classes) < 2:
            raise UserError(f'the test set {name} has the class "{classes[0]}" alone: add videos of other classes.')
    if len(train[0]) < 2:
        raise UserError(f'the training sets have the class "{train[0][0]}" alone: add videos of other classes.')
    nearest = [overlapping(train, test, threshold).assign(set=name) for name, test in tests.items()]
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
    """A ``part``, in (0, 1], of the training classes (names, vectors), in their order: at least two.

    Those of ``always`` are among them; the others depend on the names' hashes alone, so a smaller part is within each
    larger one.
    """
    hashes = {name: hashlib.sha256(name.encode()).digest() for name in names}
    drawn = sorted(names, key=lambda name: (name not in always, hashes[name]))[: max(2, round(part * len(names)))]
    kept = set(drawn) | (set(always) & set(names))
    wanted = [name for name in names if name in kept]
    return wanted, select(list(names), vectors, wanted)


def check_sphere(classes: Sequence[str], overlap: pd.DataFrame) -> None:
    """Raises UserError if one of ``sphere.classes`` is not a training class, or if ``overlap`` leaves it out.

    ``overlap`` is the table of `without_overlap`.
    """
    rows = overlap.set_index("class")
    for name in classes:
        if name not in rows.index:
            near = difflib.get_close_matches(name, rows.index, n=1)
            raise UserError(
                f'sphere.classes names "{name}", which is not a training class'
                + (f'; did you mean "{near[0]}"?' if near else ": take classes that are trained on.")
            )
        row = rows.loc[name]
        if row["removed"]:
            raise UserError(
                f'sphere.classes names "{name}", which text.overlap leaves out, as it is {row["distance"]:.3f} from '
                f'"{row["nearest"]}" of {row["set"]}: take another class, or lower text.overlap.'
            )


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
    centered = _unit(vectors) - _unit(vectors).mean(axis=0)
    _, _, axes = np.linalg.svd(centered, full_matrices=False)
    axes = axes[:dim] * np.sign(axes[np.arange(dim), np.abs(axes[:dim]).argmax(axis=1)])[:, None]
    return (centered @ axes.T).astype(np.float32)


def save_classes(
    path: str | Path,
    sets: Mapping[str, tuple[Sequence[str], np.ndarray]],
    descriptions: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Keep each data set's class names and their vectors (C, W) in one ``.npz`` file.

    ``descriptions`` are the vectors (C, W) of what is said about the classes, for the data sets where there are any.
    """
    arrays = {}
    for name, (classes, vectors) in sets.items():
        arrays |= {f"{name}/names": np.array(classes), f"{name}/vectors": vectors}
    arrays |= {f"{name}/descriptions": vectors for name, vectors in (descriptions or {}).items()}
    write_bytes(Path(path), npz(arrays))


def load_classes(path: str | Path, name: str, describe: bool = False) -> tuple[list[str], np.ndarray]:
    """What `save_classes` kept of the data set ``name``: C class names and vectors (C, W) float32.

    With ``describe`` they are (C, 2 W), the vector of the name and that of the description side by side. Raises
    UserError if the file, the data set in it or its descriptions are missing, or if it is another kind of file.
    """
    try:
        with np.load(path) as arrays:
            names, vectors = arrays[f"{name}/names"].tolist(), arrays[f"{name}/vectors"]
            if not describe:
                return names, vectors
            if f"{name}/descriptions" in arrays:
                return names, np.concatenate([vectors, arrays[f"{name}/descriptions"]], axis=1)
        raise UserError(
            f"model.describe is true, but not every class of {name} is described: complete the file of "
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
            f"{path} holds no classes of this project ({type(error).__name__}): embed the class names again, with "
            "`dvc repro -f 02_embed_class_names`"
        ) from error


def _unit(vectors: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors, np.float64)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
