"""ActivityNet: untrimmed videos and the JSON file that says which seconds of them show which activity."""

import json
import os
from typing import NamedTuple

from aurl import UserError
from aurl.data.names import LISTS
from aurl.data.readers.listing import Listing

_SPLITS = {"training": "train", "validation": "val", "testing": "test"}
_ROUNDING = 1  # seconds by which a segment may run over the end of the video, as annotators' tools round
_NUMBER = (int, float)


class Segment(NamedTuple):
    part: str  # "/000" is the video's first annotation
    label: str
    begin: float  # seconds, as `end`
    end: float


def read(root, annotations=None, classes=None, split=None, lists=LISTS["activitynet"]):
    """The table of an ActivityNet folder, one row for each segment; see `aurl.data.readers`.

    ``annotations`` is the path of its JSON file, which is required; files, anywhere below ``root``, are called
    ``v_<id>`` or ``<id>``. Attributes: ``absent``, labeled videos without a file; ``unlisted``, files that the JSON
    does not have; ``unlabeled``, files of the test subset, whose labels are held back; ``dropped``, segments that are
    empty, begin before 0, or end beyond the video. Raises UserError if every video is absent.
    """
    listing = Listing(root, "ROOT/v_ID.mp4|mkv|webm, or ID.mp4")
    if annotations is None:
        raise listing.error(
            "ActivityNet needs the path of its JSON file in `annotations`, as file names do not tell classes"
        )
    database = _read_json(annotations)
    rows, found, unlisted, unlabeled, dropped = [], {}, 0, 0, 0
    for path in listing.videos(listing.top):
        stem = os.path.splitext(os.path.basename(path))[0]
        name = stem if stem in database else stem.removeprefix("v_")
        if name not in database:
            unlisted += 1
            continue
        if name in found:
            one, other = sorted((path, found[name]))
            raise listing.error(f"{listing.root} has the video {name} twice, as {one} and {other}, so move one away")
        found[name] = path
        part, segments = database[name]
        if split in (None, part):
            good = [segment for segment in segments if segment.end > segment.begin]
            rows += [(path, label, part, place, begin, end) for place, label, begin, end in good]
            dropped += len(segments) - len(good)
            unlabeled += not segments
    wanted = [name for name, (part, segments) in database.items() if segments and split in (None, part)]
    if not wanted:
        which = f" of the split {split!r}" if split else ""
        raise UserError(
            f"{annotations} has no labeled videos{which}: name the JSON file of ActivityNet 1.3; see DATA.md."
        )
    absent = sum(name not in found for name in wanted)
    if absent == len(wanted):
        raise listing.error(
            f"none of the {absent} labeled videos in {annotations} is below {listing.root}, "
            f"where one would be v_{wanted[0]}.mp4"
        )
    return listing.table(rows, classes, lists, absent=absent, unlisted=unlisted, unlabeled=unlabeled, dropped=dropped)


def _read_json(path):
    """Split and segments of every video, by its YouTube id; a segment that cannot be right ends before it begins."""
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): name the JSON file of ActivityNet; see DATA.md."
        ) from None
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path} is not JSON from line {error.lineno} on ({error.msg}): fetch it again; see DATA.md."
        ) from None
    except (UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{path} is not a JSON file in UTF-8 ({error}): fetch it again; see DATA.md.") from None
    database = _field(content, "database", dict, path)
    videos = {}
    for name, entry in database.items():
        where = f"{path}, database.{name}"
        subset = _field(entry, "subset", str, where)
        if subset not in _SPLITS:
            raise UserError(
                f"{where}.subset is {subset!r}, which should be {', '.join(_SPLITS)}: "
                "fetch the file again; see DATA.md."
            )
        duration = _field(entry, "duration", _NUMBER, where)
        notes = _field(entry, "annotations", list, where)
        videos[name] = (
            _SPLITS[subset],
            [_segment(note, k, duration, f"{where}.annotations[{k}]") for k, note in enumerate(notes)],
        )
    return videos


def _segment(note, k, duration, where):
    label, times = _field(note, "label", str, where), _field(note, "segment", list, where)
    if len(times) != 2 or not all(isinstance(time, _NUMBER) for time in times):
        raise UserError(f"{where}.segment should be two numbers of seconds: fetch the file again; see DATA.md.")
    begin, end = times
    if not 0 <= begin < end <= duration + _ROUNDING:
        end = begin
    return Segment(f"/{k:03d}", label, begin, min(end, duration))


def _field(entry, name, kind, where):
    value = entry.get(name) if isinstance(entry, dict) else None
    if not isinstance(value, kind):
        raise UserError(
            f"{where} has no proper field {name!r}: name the JSON file of ActivityNet, or fetch it again; see DATA.md."
        )
    return value
