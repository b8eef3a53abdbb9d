"""Kinetics-400, 600 and 700, as the common downloaders leave them: class folders, or files that official CSVs name."""

import csv
from typing import NamedTuple

from aurl import UserError
from aurl.data.readers.folders import class_folders, split_of
from aurl.data.readers.listing import Listing, same_class

_COLUMNS = ("label", "youtube_id", "time_start", "time_end", "split")
_EXPECTED = "ROOT/[train|val|test/]CLASS NAME/ID_000001_000011.mp4, or the official CSV files under `annotations`"


class Clip(NamedTuple):
    name: str  # the file's, as the official downloader writes it: <youtube id>_<start>_<end>
    label: str
    split: str


def read(root, annotations=None, classes=None, split=None):
    """The table of a Kinetics folder; see `aurl.data.readers`.

    Without ``annotations``, classes are folders. With it (the path of an official CSV file, or several), files may
    lie anywhere below ``root``, named ``<id>_<start>_<end>`` or ``<id>``, with the CSV's classes and splits; a file in
    a folder ``replacement`` takes the place of the broken one. Attributes: ``absent``, clips in the CSV without a file,
    and ``unlisted``, files for which the CSV has no class or more than one. Raises UserError if every clip is absent.
    """
    listing = Listing(root, _EXPECTED, ignored="__MACOSX|rawframes")
    if annotations is None:
        return class_folders(listing, classes, split, among_others=True)
    clips = [clip for path in _several(annotations) for clip in _read_csv(path)]
    files, unlisted = _match(listing, clips)
    wanted = {clip.name for clip in clips if split in (None, clip.split)}
    rows = [(path, clip.label, clip.split) for clip, path in files.values() if split in (None, clip.split)]
    if not rows:
        lost = next((clip for clip in clips if clip.name in wanted), None)
        if lost is None:
            which = f" of the split {split!r}" if split else ""
            raise UserError(f"{_names(annotations)} has no clips{which}: name the CSV file that has them; see DATA.md.")
        raise listing.error(
            f"none of the {len(wanted)} clips in {_names(annotations)} is below {listing.root}, where one would be "
            f"{lost.split}/{lost.label}/{lost.name}.mp4 or {lost.split}/{lost.name}.mp4"
        )
    return listing.table(rows, classes, absent=len(wanted) - len(rows), unlisted=unlisted)


def _match(listing, clips):
    """The clip and the path of every file that is a clip's, by the clip's name, and the number of other files."""
    known = {}  # both names that a clip's file may have -> the clips it may be
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
    """The one of several clips that a file in these folders is: by split, by class; None if its class stays open."""
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
    """The clips of an official CSV file; raises UserError that names the line and the field that is wrong."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            missing = [name for name in _COLUMNS if name not in header]
            if missing:
                held_back = (
                    "; a test set whose labels are held back cannot be used, so leave it out"
                    if missing == ["label"]
                    else ""
                )
                raise UserError(
                    f"{path} has no column {missing[0]}, its columns are {', '.join(header) or 'none'}: "
                    f"name a CSV file of Kinetics with {','.join(_COLUMNS)}{held_back}; see DATA.md."
                )
            places = [header.index(name) for name in _COLUMNS]
            for row in reader:
                if row:
                    yield _clip(row, places, len(header), f"{path}, line {reader.line_num}")
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): name the official CSV file of Kinetics; see DATA.md."
        ) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not a CSV file in UTF-8 ({error}): fetch it again; see DATA.md.") from None


def _clip(row, places, length, where):
    if len(row) != length:
        raise UserError(
            f"{where} has {len(row)} fields where the first line has {length}: fetch the file again; see DATA.md."
        )
    label, youtube_id, *times, split = (row[place].strip() for place in places)
    for name, text in zip(("label", "youtube_id"), (label, youtube_id)):
        if not text:
            raise UserError(f"{where} has an empty {name}: fetch the file again; see DATA.md.")
    for name, text in zip(("time_start", "time_end"), times):
        if not text.isdecimal():
            raise UserError(
                f"{where} has {text!r} as {name}, which should be whole seconds: fetch the file again; see DATA.md."
            )
    if not split_of(split):
        raise UserError(
            f"{where} has {split!r} as split, which should be train, val or test: fetch the file again; see DATA.md."
        )
    return Clip(f"{youtube_id}_{int(times[0]):06d}_{int(times[1]):06d}", label, split_of(split))


def _several(annotations):
    return annotations if isinstance(annotations, (list, tuple)) else [annotations]


def _names(annotations):
    return ", ".join(map(str, _several(annotations)))
