"""From a data set on the user's disk to rows of the manifest: list, probe, name, split, and make proxies if asked to."""

import hashlib
from pathlib import Path

import pandas as pd

from aurl import UserError
from aurl.datasets import names
from aurl.datasets.readers import READERS
from aurl.files import write_bytes
from aurl.text import words
from aurl.video import probing, proxies

COLUMNS = [
    "id",
    "path",
    "set",
    "split",
    "class",
    "words",
    "first",
    "frames",
    "fps",
    "width",
    "height",
    "duration",
    "codec",
    "status",
]
REJECTED, PROBED = Path("reports/tables/rejected.csv"), Path("build/probed")


def datasets(data, prepare, report=REJECTED):
    """The manifest's rows of every data set on disk that ``data`` trains on or tests on, and a table of how many were found of each.

    ``data`` and ``prepare`` are the sections of ``params.yaml``. Videos of training sets are split into "train" and "val";
    those of test sets are all "test". ``words`` is what a class name is embedded by. Videos that are left out are listed with
    their reason in the file ``report``. Raises UserError as the readers and `aurl.video.probing.usable` do, and for a
    training class with a single video.
    """
    wanted = [name for name in (*data.train, *data.test) if name in data.datasets]
    listed = {
        name: _listed(data.datasets[name]) for name in wanted
    }  # all of them first: a slip in the last is said at once
    parts, rejected, found = [], [], {}
    _report(rejected, report)
    for name in wanted:
        rows = _usable(name, listed[name], prepare, rejected, report)
        _, rules = _names(data.datasets[name])
        spelt = {label: " ".join(words(label, rules)) for label in rows["class"].unique()}
        rows = rows.assign(set=name, id=name + "/" + rows["id"], words=rows["class"].map(spelt))
        rows["split"] = _splits(rows, prepare.val_videos) if name in data.train else "test"
        counts = {key: value for key, value in listed[name].attrs.items() if isinstance(value, int)}
        found[name] = {
            "videos": len(rows),
            "left out": sum(len(table) for table in rejected if name in set(table["set"])),
        } | counts
        parts.append(rows.loc[rows["split"] != "", COLUMNS])
    return parts, pd.DataFrame(found).T.fillna(0).astype(int)


def _names(about):
    return names.load(about.names) if about.names else (None, names.PLAIN)


def _listed(about):
    classes, _ = _names(about)
    options = {"annotations": about.annotations} if about.annotations else {}
    return READERS[about.reader](about.root, classes=about.classes or classes, split=about.split, **options)


def _usable(name, listed, prepare, rejected, report):
    """The rows of one set whose videos can be used, or of their proxies; the list ``rejected`` grows by the others, and is written."""
    skipped = [(name, "", "", *line.rpartition(": ")[::2]) for line in listed.attrs["skipped"]]
    rejected.append(pd.DataFrame(skipped, columns=probing.REJECTED))
    probed = probing.probe_all(
        listed, PROBED / f"{name}.jsonl", prepare.min_frames, f"probing {name}", prepare.scheduler
    )
    rejected.append(probing.rejected(probed.assign(set=name)))
    _report(rejected, report)
    rows = probing.usable(probed, prepare.broken, report)
    if small := prepare.proxies:
        rows = proxies.make_all(
            rows, Path(small.folder, name), small.side, small.keyframe, small.crf, prepare.scheduler
        )
        rejected.append(probing.rejected(rows.assign(set=name)))
        _report(rejected, report)
        rows = probing.usable(rows, prepare.broken, report)
    return rows


def _report(rejected, file):
    table = pd.concat([pd.DataFrame(columns=probing.REJECTED), *rejected])
    write_bytes(file, table.to_csv(index=False).encode(errors="backslashreplace"))


def merged(manifest, sets):
    """The manifest, where classes of the training ``sets`` that are embedded by the same words have one name: that of the first set.

    Two classes of one set stay two, whatever their words.
    """
    known, manifest = {}, manifest.copy()
    for name in sets:
        own = manifest["set"] == name
        pairs = manifest.loc[own, ["class", "words"]].drop_duplicates().itertuples(index=False)
        manifest.loc[own, "class"] = manifest.loc[own, "class"].map(
            {label: known.get(text, label) for label, text in pairs}
        )
        for label, text in manifest.loc[own, ["class", "words"]].drop_duplicates().itertuples(index=False):
            known.setdefault(text, label)
    return manifest


def _splits(rows, val_videos):
    """ "train" or "val" for every row, "" for one of the set's own test split.

    The set's own validation split is used if it has one, else some of every class's videos, whichever the hash of their
    id puts first; at most ``val_videos`` a class.
    """
    order = rows["id"].map(lambda name: hashlib.sha256(name.encode()).hexdigest())
    split = rows["split"].replace("", "train").mask(rows["split"] == "test", "")
    own = (split == "val").any()
    rank = order.where(split == ("val" if own else "train")).groupby(rows["class"]).rank()
    if own:
        return split.mask((split == "val") & (rank > val_videos), "")
    counts = (split == "train").groupby(rows["class"]).transform("sum")
    alone = rows.loc[counts < 2, "class"]
    if len(alone):
        raise UserError(
            f'the class "{alone.iloc[0]}" of {rows["set"].iloc[0]} has a single video, which cannot be trained on and held back: add one or remove the class.'
        )
    return split.mask((split == "train") & (rank <= (counts - 1).clip(upper=val_videos)), "val")
