"""The reader ``features``: a data set of precomputed features, one vector or S segments per video.

The root is one file, with N videos and F numbers in a vector. Its arrays are:

``features``  (N, F), or (N, S, F) with S segments for each video; numbers
``labels``    (N,) class names, or indices into ``classes``, from 0 on
``classes``   (C,) class names; needed where labels are numbers
``ids``       (N,) unique names of the videos; optional, by default their indices in the file
``split``     (N,) "train", "val" or "test"; optional

========  ==============================================================================================
.npz      these arrays, as `numpy.savez` writes them
.npy      the features; a CSV of the same name in its folder has the columns id, class and optionally split
.h5       HDF5 (or .hdf5): these arrays as data sets
.mat      MATLAB, version 7 at most: these arrays as variables. Or the usual zero-shot layout: features (F, N), labels
          from 1 on, and ``allclasses_names``, in this file or in an ``att_splits.mat`` in the same folder
========  ==============================================================================================

Nothing in a file is executed: arrays of Python objects, which are pickles, are refused.
"""

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from aurl import UserError
from aurl.data.readers.csv_rows import read_csv
from aurl.data.readers.listing import COLUMNS, with_classes
from aurl.project import matlab
from aurl.project.files import npz, write_bytes

CODEC = "features"  # the manifest's ``codec`` of features
ARRAYS = ("features", "labels", "classes", "ids", "split")
EXPECTED = "expected features (N, F) or (N, S, F), labels, and where these are numbers classes; see DATA.md."
CHUNK = 16384  # videos hashed at a time
OBJECTS = "holds Python objects, which are not read as they could run code: save names as text and numbers as numbers"


class File(NamedTuple):
    """A file of features: see the module's description."""

    features: np.ndarray  # (N, S, F), mapped into memory where the format allows
    labels: list  # N class names
    ids: list
    splits: list  # "" where there is none


def read(root, classes=None, split=None, lists=()):
    """The table of the file ``root``: `list_videos` with the column ``digest`` of `with_digests`."""
    return with_digests(list_videos(root, classes, split, lists))


def list_videos(root, classes=None, split=None, lists=()):
    """The table of the file ``root``, as in `aurl.data.readers` and with further columns of the manifest.

    ``first`` is the video's index in the file, ``frames`` is S, and ``width`` is F. Raises UserError for a file of
    another layout, for unexpected ``classes``, and if no video has the ``split``.
    """
    file, root = load(root), str(Path(root))
    table = pd.DataFrame({"id": file.ids, "path": root, "class": file.labels, "split": file.splits})
    table = table.assign(begin=np.nan, end=np.nan)[COLUMNS]
    count, segments, dim = file.features.shape
    table = table.assign(
        first=range(count), frames=segments, fps=0.0, width=dim, height=0, duration=0.0, codec=CODEC, status="ok"
    )
    if split is not None and (table["split"] != "").any():
        table = table[table["split"] == split]
        if table.empty:
            raise _error(root, f"has no video of the split {split}")
    elif split is not None:
        table = table.assign(split=split)
    table = with_classes(table, classes, lists, root, lambda reason: UserError(f"{reason}; see DATA.md."))
    table.attrs |= {"skipped": [], "others": {}}
    return table.sort_values("id", ignore_index=True)


def with_digests(table):
    """The table of `list_videos` with the column ``digest``, the SHA-256 of each video's features as float32.

    Raises UserError for features that are not finite, anywhere in the file.
    """
    root = table["path"].iloc[0]
    found = np.array(_digests_of_all(root, load(root)))
    return table.assign(digest=found[table["first"]])


def load(path):
    """The `File` at ``path``. Raises UserError if it is missing or not as the module describes."""
    path = Path(path)
    if path.suffix not in FORMATS:
        raise UserError(f"{path} is no file of features: give one that ends in {', '.join(FORMATS)}; see DATA.md.")
    if not path.is_file():
        raise UserError(f"there is no file {path}: write where the features are.")
    try:
        arrays = FORMATS[path.suffix](path)
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"{error.filename} is missing: it says what the videos in {path} are; see DATA.md.") from None
    except Exception as error:  # each library has its own errors for truncated and foreign files
        reason = OBJECTS if "allow_pickle" in str(error) else f"cannot be read ({type(error).__name__})"
        raise _error(path, reason) from None
    for name in ("features", "labels"):
        if not isinstance(arrays.get(name), np.ndarray):  # a .npz may hold files that are no arrays
            raise _error(path, f"has no array {name!r}")
    features = arrays["features"]
    if features.ndim not in (2, 3) or features.dtype.kind not in "fiu" or not features.size:
        raise _error(path, f"has features of shape {features.shape} and type {features.dtype}")
    count = len(features)
    for name in ("labels", "ids", "split"):
        if name in arrays and np.size(arrays[name]) != count:
            raise _error(path, f"has {count} videos but {np.size(arrays[name])} {name}")
    ids = _texts(path, arrays["ids"]) if "ids" in arrays else [f"{i:0{len(str(count - 1))}d}" for i in range(count)]
    if len(set(ids)) < count:
        twice = pd.Series(ids)[pd.Series(ids).duplicated()].iloc[0]
        raise _error(path, f"has two videos with the id {twice!r}")
    splits = _texts(path, arrays["split"]) if "split" in arrays else [""] * count
    if wrong := set(splits) - {"", "train", "val", "test"}:
        raise _error(path, f"has a split {min(wrong)!r}, which is none of train, val and test")
    labels = _labels(path, arrays, ids)
    return File(features if features.ndim == 3 else features[:, None], labels, ids, splits)


def save(path, features, labels, ids, splits):
    """Write features (N, F) or (N, S, F), and N labels (class names), ids and splits, as a ``.npz`` for `load`."""
    arrays = {"features": features, "labels": np.array(labels), "ids": np.array(ids), "split": np.array(splits)}
    write_bytes(path, npz(arrays))


def digests(features):
    """The SHA-256 of each video's features (N, S, F) as float32."""
    features = np.ascontiguousarray(features, "<f4")
    return [hashlib.sha256(own.data).hexdigest() for own in features]


def _digests_of_all(path, file):
    found = []
    for start in range(0, len(file.ids), CHUNK):
        with np.errstate(over="ignore"):  # values beyond float32 become infinite, and are refused below
            part = np.asarray(file.features[start : start + CHUNK], np.float32)
        bad = np.flatnonzero(~np.isfinite(part).all(axis=(1, 2)))
        if len(bad):
            raise UserError(
                f"{path} has features that are not finite numbers, of the video {file.ids[start + bad[0]]!r}: compute "
                "them again, or leave the video out."
            )
        found += digests(part)
    return found


def _labels(path, arrays, ids):
    """The class names of the N videos."""
    labels = np.ravel(arrays["labels"])
    if labels.dtype == object and all(isinstance(value, int | float) for value in matlab.cells(labels)):
        labels = np.array(matlab.cells(labels))
    if labels.dtype.kind not in "fiu":
        names = _texts(path, labels)
    else:
        if "classes" not in arrays:
            raise _error(path, "has numbers as labels and no array 'classes' that names them")
        classes, first = _texts(path, arrays["classes"]), arrays.get("first", 0)  # the smallest label
        if len(set(classes)) < len(classes):
            raise _error(path, "has a class twice in 'classes'")
        wrong = np.flatnonzero((labels != labels.round()) | (labels < first) | (labels >= first + len(classes)))
        if len(wrong):
            raise _error(
                path,
                f"has the label {labels[wrong[0]]} at the video {ids[wrong[0]]!r}, where labels of {len(classes)} "
                f"classes are {first} to {first + len(classes) - 1}",
            )
        names = [classes[place] for place in labels.astype(int) - first]
    if "" in names:
        raise _error(path, f"has no class name for the video {ids[names.index('')]!r}")
    return names


def _npz(path):
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in ARRAYS if name in arrays}


def _npy(path):
    features, beside = np.load(path, mmap_mode="r", allow_pickle=False), path.with_suffix(".csv")
    if not beside.is_file():
        raise UserError(f"{beside} is missing: it says what the videos in {path} are; see DATA.md.")
    rows = [row for _, row in read_csv(beside, ("id", "class"), "a CSV with the columns id, class and maybe split")]
    columns = {"ids": "id", "labels": "class", "split": "split"}
    spelled = {name.lower(): name for name in (rows[0] if rows else columns.values())}  # "Split" is a split, too
    named = {key: [row[spelled[name]] for row in rows] for key, name in columns.items() if name in spelled}
    return {"features": features} | {key: np.array(values, dtype=str) for key, values in named.items()}


def _hdf5(path):
    import h5py  # slow to import, and rarely needed

    with path.open("rb"), h5py.File(path, "r") as file:
        return {name: np.asarray(file[name]) for name in ARRAYS if isinstance(file.get(name), h5py.Dataset)}


def _mat(path):
    arrays = matlab.load(path, [*ARRAYS, "allclasses_names"])
    beside = path.with_name("att_splits.mat")
    if not {"classes", "allclasses_names"} & arrays.keys() and beside.is_file():
        arrays |= matlab.load(beside, ["allclasses_names"])
    names = arrays.pop("allclasses_names", None)
    if names is None or "classes" in arrays:
        return arrays
    if "features" in arrays:
        arrays["features"] = arrays["features"].T
    return arrays | {"classes": names, "first": 1}


FORMATS = {".npz": _npz, ".npy": _npy, ".h5": _hdf5, ".hdf5": _hdf5, ".mat": _mat}


def _texts(path, array):
    """The values of an array, or of a MATLAB cell array, of bytes, texts or numbers, as a list of texts."""
    values = matlab.cells(array)
    if strange := [value for value in values if not isinstance(value, bytes | str | int | float)]:
        raise _error(path, f"has a {type(strange[0]).__name__} where a name should be")
    try:
        return [(value.decode() if isinstance(value, bytes) else str(value)).strip() for value in values]
    except UnicodeDecodeError as error:
        raise _error(path, f"has the name {error.object!r}, which is not UTF-8") from None


def _error(path, reason):
    return UserError(f"{path} {reason}: {EXPECTED}")
