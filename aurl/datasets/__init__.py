"""Data sets, and the manifest that lists their videos: one row each, where every later step begins."""

from pathlib import Path

import pandas as pd

from aurl import UserError

MANIFEST = Path("data/manifest.csv")


def read_manifest(names, split):
    """The manifest's rows of one split (``train``, ``val`` or ``test``) of one data set or a list of them, with status "ok".

    Classes of the same name in several sets are one class. Raises UserError if there is no manifest, or no such row of a set.
    """
    names = [names] if isinstance(names, str) else names
    try:
        table = pd.read_csv(MANIFEST)
        rows = table[table["set"].isin(names) & (table["split"] == split) & (table["status"] == "ok")]
        missing = [name for name in names if name not in set(rows["set"])]
    except FileNotFoundError:
        raise UserError(f"{MANIFEST} is missing: prepare the data first, with `dvc repro`.") from None
    except (KeyError, ValueError):
        raise UserError(
            f"{MANIFEST} is not a manifest of this project: prepare the data again, with `dvc repro -f 01_prepare_data`."
        ) from None
    if missing:
        raise UserError(
            f"{MANIFEST} has no {split} videos of {missing[0]}: prepare the data again, with `dvc repro -f`."
        )
    return rows.reset_index(drop=True)
