"""From data sets on disk to rows of the manifest: list the videos, name their classes, split, probe, make proxies."""

import hashlib
import os
from pathlib import Path

import pandas as pd

from aurl import UserError
from aurl.data import names, probing, proxies
from aurl.data.manifest import COLUMNS
from aurl.data.readers import activitynet, features, folders, kinetics
from aurl.data.readers.listing import counted
from aurl.project.config import BUILT_IN, FEATURES
from aurl.project.files import to_csv, write_bytes
from aurl.project.paths import PROBED, REJECTED
from aurl.text import Rules, words

READERS = {
    "folders": folders.read,
    "ucf101": folders.read_ucf101,
    "hmdb51": folders.read_hmdb51,
    "kinetics": kinetics.read,
    "activitynet": activitynet.read,
    "features": features.list_videos,
}


def datasets(data, prepare, report=REJECTED):
    """The manifest's rows of every training and test set, a list of one table per set, and a table of video counts.

    ``data`` and ``prepare`` are sections of ``params.yaml``; the CSV file ``report`` lists rejected videos and reasons.
    Videos of training sets are split into "train" and "val"; all videos of test sets are "test". Raises UserError as
    `list_videos` and `aurl.data.probing.usable` do. All sets are listed before a video is opened.
    """
    tables = list_videos(data, prepare)
    parts, rejected, found = [], [], {}
    _report(rejected, report)
    for name, listed in tables.items():
        if data.datasets[name].reader == FEATURES:
            rows = features.with_digests(listed)
        else:
            rows = _usable(name, listed, prepare, rejected, report)
        rows = _split(rows, name, data, prepare)
        counts = {key: value for key, value in listed.attrs.items() if isinstance(value, int)}
        left_out = sum(len(table) for table in rejected if name in set(table["set"]))
        others = counted(listed.attrs["others"]) if listed.attrs["others"] else ""
        found[name] = {"videos": len(rows), "left out": left_out} | counts | {"other files": others}
        rows = rows.assign(id=name + "/" + rows["id"], set=name)
        parts.append(rows.loc[rows["split"] != "", COLUMNS])
    table = pd.DataFrame.from_dict(found, orient="index")
    return parts, table.fillna(0).astype({key: int for key in table if key != "other files"})


def usable_videos(name, about, prepare, report):
    """The usable videos of the set ``name`` as `aurl.data.probing.probe_all`'s table; none is held out.

    ``about`` is its entry of ``data.datasets``. ``attrs["list"]`` is the official list of its classes or None. Raises
    UserError as `datasets` does.
    """
    listed = _listed(name, about)
    rows = _usable(name, listed, prepare, [], report)
    rows.attrs["list"] = listed.attrs["list"]
    return rows


def list_videos(data, prepare):
    """The reader's table of every training and test set, by name. No video is opened.

    Two columns are added: ``words``, the class name as embedded, and ``use``: "train", "val", "test", or "" for unused
    videos. Raises UserError as the readers do, and for sets that cannot be trained or tested on.
    """
    wanted = [name for name in (*data.train, *data.test) if name in data.datasets]
    tables = {name: _listed(name, data.datasets[name]) for name in wanted}
    _check_classes(data, tables)
    for name in wanted:
        tables[name]["use"] = _split(tables[name], name, data, prepare)["split"]
        if prepare.proxies and data.datasets[name].reader != FEATURES:
            _check_proxies(prepare.proxies, name, {other: data.datasets[other].root for other in wanted})
    _check_features(data, tables)
    return tables


def _listed(name, about):
    """The reader's table of one set, with the ``words`` of every class."""
    options = {"annotations": about.annotations} if about.annotations else {}
    if about.names:
        options["lists"] = [about.names]
    wanted = names.read(about.classes) if isinstance(about.classes, str) else about.classes
    rows = READERS[about.reader](about.root, classes=wanted, split=about.split, **options)
    official = rows.attrs["list"]
    rules = names.load(official)[1] if official else Rules()
    spoken, known = {label: " ".join(words(label, rules)) for label in rows["class"].unique()}, {}
    for label, text in spoken.items():
        if known.setdefault(text, label) != label:
            raise UserError(
                f'the data set {name} has the classes "{known[text]}" and "{label}", both embedded by the words '
                f'"{text}", which no model can tell apart: give both one name, or other words.'
            )
    rows["words"] = rows["class"].map(spoken)
    return rows


def _check_classes(data, listed):
    """Raise UserError if there is a single training class, or a test set has a single class."""
    for name in data.test:
        if name in listed and listed[name]["class"].nunique() < 2:
            raise UserError(
                f'the test set {name} has one class, "{listed[name]["class"].iloc[0]}", so that every guess is right: '
                "add another class, or take the set out of data.test."
            )
    if data.train and not set(data.train) & set(BUILT_IN):
        seen = {text for name in data.train for text in listed[name]["words"]}
        if len(seen) < 2:
            raise UserError(
                f'the training set {" + ".join(data.train)} has one class, "{min(seen)}", so that there is nothing to '
                "tell apart: add another class."
            )


def _check_features(data, listed):
    """Raise UserError if one model cannot take the features of all sets, or cannot be trained on them together."""
    wanted = [name for name in listed if data.datasets[name].reader == FEATURES]
    for name in wanted[1:]:
        columns = ["width", "frames"] if name in data.train and wanted[0] in data.train else ["width"]
        one, other = (tuple(listed[key][columns].iloc[0]) for key in (wanted[0], name))
        if one != other:
            what = "vectors of {} numbers" + ", {} for each video" * (len(columns) - 1)
            raise UserError(
                f"the data set {wanted[0]} has {what.format(*one)}, but {name} has {what.format(*other)}: compute the "
                "features of all sets in the same way."
            )


def _check_proxies(settings, name, roots):
    """Raise UserError if proxies cannot be written, or would lie among originals, which they could overwrite."""
    folder = Path(settings.folder)
    made = Path(folder, name).resolve()
    for other, root in roots.items():
        root = Path(root).resolve()
        if made.is_relative_to(root) or root.is_relative_to(made):
            raise UserError(
                f"prepare.proxies.folder {folder} would have the proxies of {name} in {Path(folder, name)}, among the "
                f"videos of the data set {other} in {roots[other]}: choose a folder elsewhere."
            )
    above = next(place for place in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(place))
    reason = "" if os.access(above, os.W_OK) else "Permission denied"
    reason = reason if above.is_dir() else f"{above} is no folder"
    if reason:
        raise UserError(f"prepare.proxies.folder {folder} cannot be written to ({reason}): choose another folder.")


def _usable(name, listed, prepare, rejected, report):
    """The usable rows of one set, with proxies if asked for; appends the other rows to ``rejected``."""

    def usable(rows):
        rejected.append(probing.rejected(rows.assign(set=name)))
        _report(rejected, report)
        return probing.usable(rows, prepare.broken, report)

    skipped = [(name, "", "", *line.rpartition(": ")[::2]) for line in listed.attrs["skipped"]]
    rejected.append(pd.DataFrame(skipped, columns=probing.REASONS))
    known = PROBED / f"{name}.jsonl"
    options = prepare.min_frames, f"probing {name}", prepare.scheduler, prepare.damaged
    rows = usable(probing.probe_all(listed, known, *options))
    if small := prepare.proxies:
        folder, known = Path(small.folder, name), PROBED / f"{name}-proxies.jsonl"
        rows = usable(proxies.make_all(rows, folder, small.side, small.keyframe, small.crf, known, prepare.scheduler))
    return rows


def _report(rejected, file):
    table = pd.concat([pd.DataFrame(columns=probing.REASONS), *rejected])
    write_bytes(file, to_csv(table).encode(errors="backslashreplace"))


def merged(manifest, sets):
    """A copy of the manifest where a class of several training ``sets`` (equal ``words``) has the first set's name."""
    known, manifest = {}, manifest.copy()
    for name in sets:
        for label, text in manifest.loc[manifest["set"] == name, ["class", "words"]].drop_duplicates().to_numpy():
            known.setdefault(text, label)
    own = manifest["set"].isin(sets)
    manifest.loc[own, "class"] = manifest.loc[own, "words"].map(known)
    return manifest


def _split(rows, name, data, prepare):
    """The rows of the set ``name`` with their ``split``; "" for unused videos.

    Raises UserError for a training set with test videos only or with a class without training videos, and as
    `_held_out` does.
    """
    if name not in data.train:
        return rows.assign(split="test")
    rows = rows.assign(split=_held_out(rows, name, prepare.val_videos))
    used = rows[rows["split"] != ""]
    lost = sorted(set(used["class"]) - set(used.loc[used["split"] == "train", "class"]))
    if used.empty or lost:
        problem = f'no training video of the class "{lost[0]}"' if lost else "only videos of the test split"
        raise UserError(
            f"the training set {name} has {problem}: add training videos, or change data.datasets.{name}.split."
        )
    return rows


def _held_out(rows, name, val_videos):
    """ "train" or "val" for every row; "" for videos of the set's own test split.

    Validation uses up to ``val_videos`` of a class's validation videos or, if it has none, of its training videos, at
    least one of which stays in training. Videos whose ids have the lowest hashes are chosen. Raises UserError for a
    class with a single training video and no validation video.
    """
    order = rows["id"].map(lambda text: hashlib.sha256(text.encode()).hexdigest())
    split = rows["split"].replace("", "train").mask(rows["split"] == "test", "")
    own = (split == "val").groupby(rows["class"]).transform("any")
    rank = order.where(split == own.map({True: "val", False: "train"})).groupby(rows["class"]).rank()
    counts = (split == "train").groupby(rows["class"]).transform("sum")
    single = rows.loc[~own & (counts == 1), "class"]
    if len(single):
        raise UserError(
            f'the class "{single.iloc[0]}" of {name} has a single video, which cannot be trained on and held out: add '
            "one or remove the class."
        )
    split = split.mask((split == "val") & (rank > val_videos), "")
    return split.mask(~own & (rank <= (counts - 1).clip(upper=val_videos)), "val")
