"""Kinetics-400, 600 and 700 in the common layouts: class folders, or files that the official CSVs list."""

from typing import NamedTuple

from aurl import UserError
from aurl.data.names import LISTS
from aurl.data.readers.classes import same_class
from aurl.data.readers.csv_rows import read_csv
from aurl.data.readers.folders import class_folders, split_of
from aurl.data.readers.listing import Listing

_COLUMNS = ("label", "youtube_id", "time_start", "time_end", "split")
_EXPECTED = "ROOT/[train|val|test/]CLASS NAME/ID_000001_000011.mp4, or the official CSV files under `annotations`"


class Clip(NamedTuple):
    name: str  # of the official downloader's file: <youtube id>_<start>_<end>
    label: str
    split: str


def read(root, annotations=None, classes=None, split=None, lists=LISTS["kinetics"]):
    """The table of a Kinetics folder; see `aurl.data.readers`.

    Without ``annotations``, classes are folders. With ``annotations``, a path or list of paths of official CSV files,
    videos may lie anywhere below ``root``, named ``<id>_<start>_<end>`` or ``<id>``. The CSV gives classes and splits,
    and a file below ``root/replacement`` replaces the broken one. Attributes: ``absent``, clips in the CSV without a
    file, and ``unlisted``, files without a unique class in the CSV. Raises UserError if every clip is absent.
    """
    listing = Listing(root, _EXPECTED, ignored="__MACOSX|rawframes")
    if annotations is None:
        return class_folders(listing, classes, split, lists, among_others=True)
    paths = annotations if isinstance(annotations, list | tuple) else [annotations]
    tables = ", ".join(map(str, paths))
    clips = [clip for path in paths for clip in _read_csv(path)]
    files, unlisted = _match(listing, clips)
    wanted = {clip.name for clip in clips if split in (None, clip.split)}
    rows = [(path, clip.label, clip.split) for clip, path in files.values() if split in (None, clip.split)]
    if not rows:
        lost = next((clip for clip in clips if clip.name in wanted), None)
        if lost is None:
            which = f" of the split {split!r}" if split else ""
            raise UserError(f"{tables} has no clips{which}: name the CSV file that has them; see DATA.md.")
        raise listing.error(
            f"none of the {len(wanted)} clips in {tables} is below {listing.root}, where one would be "
            f"{lost.split}/{lost.label}/{lost.name}.mp4 or {lost.split}/{lost.name}.mp4"
        )
    return listing.table(rows, classes, lists, absent=len(wanted) - len(rows), unlisted=unlisted)


def _match(listing, clips):
    """The listed files, as a dict: the clip's name -> (clip, path); and the number of unlisted files."""
    known = {}  # each of the two names of a clip's file -> all clips with this name
    for clip in clips:
        for name in (clip.name, clip.name.rsplit("_", 2)[0]):
            known[name] = (*known.get(name, ()), clip)
    files, unlisted = {}, 0
    for path in listing.videos(listing.top):
        *folders, file = path.split("/")
        clip = _choose(known.get(file.rpartition(".")[0], ()), folders)
        if clip is None:
            unlisted += 1
            continue
        other = files.get(clip.name, (None, None))[1]
        if other and _replaces(path) == _replaces(other):
            one, two = sorted((path, other))
            raise listing.error(f"{listing.root} has the clip {clip.name} twice, as {one} and {two}, so move one away")
        if other is None or _replaces(path):
            files[clip.name] = clip, path
    return files, unlisted


def _choose(candidates, folders):
    """The clip of a file in these folders, chosen by split and class; None if its class is unknown or ambiguous."""
    if len(candidates) > 1:
        splits = {split_of(name) for name in folders}
        candidates = [clip for clip in candidates if clip.split in splits] or candidates
        candidates = [
            clip for clip in candidates if any(same_class(clip.label, name) for name in folders)
        ] or candidates
    labels = {clip.label for clip in candidates}
    return candidates[0] if len(labels) == 1 else None


def _replaces(path):
    return path.startswith("replacement")


def _read_csv(path):
    """The clips of an official CSV file. Raises UserError, which names line and field, for a wrong value."""
    for where, row in read_csv(
        path, _COLUMNS, "an official CSV file of Kinetics; test sets whose labels are held back cannot be used"
    ):
        for name in ("label", "youtube_id"):
            if not row[name]:
                raise UserError(f"{where} has an empty {name}: fetch the file again; see DATA.md.")
        for name in ("time_start", "time_end"):
            if not row[name].isdecimal():
                raise UserError(
                    f"{where} has {row[name]!r} as {name}, which should be whole seconds: fetch the file again; see "
                    "DATA.md."
                )
        split = split_of(row["split"])
        if not split:
            raise UserError(
                f"{where} has {row['split']!r} as split, which should be train, val or test: fetch the file again; see "
                "DATA.md."
            )
        yield Clip(f"{row['youtube_id']}_{int(row['time_start']):06d}_{int(row['time_end']):06d}", row["label"], split)
