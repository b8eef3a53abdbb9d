"""The manifest, a table with a row for every video of every data set. All later stages start from it."""

import pandas as pd

from aurl import UserError
from aurl.project.paths import MANIFEST

# One row of the manifest is a video, or a segment of one.
COLUMNS = [
    "id",  # unique: the set, and the path relative to the set's root without extension
    "set",
    "split",  # "train", "val" or "test"
    "class",
    "words",  # the text that is embedded for the class
    "path",  # the file that later steps read
    "first",  # the segment's first frame in the file, counting from 0
    "frames",  # how many frames the segment has
    "fps",  # frames per second of the file
    "width",  # pixels, as players show the file
    "height",
    "duration",  # of the file, in seconds; duration x fps is the file's number of frames
    "codec",
    "digest",  # SHA-256 of the file's bytes
    "status",  # "ok"
]
_TEXT = dict.fromkeys(["id", "set", "split", "class", "words", "path", "codec", "digest", "status"], str)


def read_manifest(names=None, split=None):
    """The manifest's rows of one split ("train", "val" or "test") of one or several data sets; all by default.

    Only rows with the status "ok" are returned. Raises UserError if the manifest is missing or lacks a column, and for
    a set of ``names`` without rows.
    """
    names = [names] if isinstance(names, str) else names
    again = "prepare the data again, with `dvc repro -f 01_prepare_data`."
    try:
        table = pd.read_csv(MANIFEST, dtype=_TEXT, keep_default_na=False)  # a class may be called "1" or "null"
    except FileNotFoundError:
        raise UserError(f"{MANIFEST} is missing: prepare the data first, with `dvc repro`.") from None
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise UserError(f"{MANIFEST} is not a manifest of this project ({reason}): {again}") from None
    lacking = [name for name in COLUMNS if name not in table]
    if lacking:
        raise UserError(f"{MANIFEST} has no column {lacking[0]!r}, which it should have: {again}")
    rows = table[table["status"] == "ok"]
    if split is not None:
        rows = rows[rows["split"] == split]
    if names is not None:
        rows = rows[rows["set"].isin(names)]
    for name in names or ():
        if name not in set(rows["set"]):
            raise UserError(f"{MANIFEST} has no {split or ''} videos of {name}: {again}".replace("  ", " "))
    return rows.reset_index(drop=True)
