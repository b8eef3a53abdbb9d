"""Data sets, and the manifest that lists their videos: one row each, where every later step begins."""
from pathlib import Path

import pandas as pd

from aurl import UserError

MANIFEST = Path("data/manifest.csv")


def read_manifest(name, split):
    """The manifest's rows of one split (``train``, ``val`` or ``test``) of a data set, with status "ok"."""
    try:
        table = pd.read_csv(MANIFEST)
        rows = table[(table["set"] == name) & (table["split"] == split) & (table["status"] == "ok")]
    except FileNotFoundError:
        raise UserError(f"{MANIFEST} is missing: prepare the data first, with `dvc repro`.") from None
    except (KeyError, ValueError):
        raise UserError(f"{MANIFEST} is not a manifest of this project: prepare the data again, with `dvc repro -f 01_prepare_data`.") from None
    if rows.empty:
        raise UserError(f"{MANIFEST} has no {split} videos of {name}: prepare the data again, with `dvc repro -f`.")
    return rows.reset_index(drop=True)
