"""ActivityNet: untrimmed videos, and the JSON file that labels segments of them."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, ValidationError

from aurl import UserError
from aurl.data.names import LISTS
from aurl.data.readers.listing import Listing

_ROUNDING = 1  # seconds by which a segment may exceed the video, because annotation tools round


class _Note(BaseModel):
    label: str
    segment: Annotated[list[float], Field(min_length=2, max_length=2)]  # seconds


class _Video(BaseModel):
    subset: Literal["training", "validation", "testing"]
    duration: float
    annotations: list[_Note]

    @property
    def split(self):
        return {"training": "train", "validation": "val", "testing": "test"}[self.subset]

    @property
    def segments(self):
        """Yield (part, class, begin, end), in seconds, of each valid annotation; "/000" is the first part."""
        for k, note in enumerate(self.annotations):
            begin, end = note.segment
            if 0 <= begin < min(end, self.duration) and end <= self.duration + _ROUNDING:
                yield f"/{k:03d}", note.label, begin, min(end, self.duration)


class _Content(BaseModel):
    database: dict[str, _Video]  # by YouTube id


def read(root, annotations=None, classes=None, split=None, lists=LISTS["activitynet"]):
    """The table of an ActivityNet folder, one row for each segment; see `aurl.data.readers`.

    ``annotations`` is the path of its JSON file, which is required. Videos lie anywhere below ``root`` and are named
    ``v_<id>`` or ``<id>``. Attributes: ``absent``, labeled videos without a file; ``unlisted``, files that the JSON
    file lacks; ``unlabeled``, files of the test subset, whose labels are held back; ``dropped``, segments that are
    empty, begin before 0, or end more than 1 s after the video. Raises UserError if every video is absent.
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
        video = database[name]
        if split in (None, video.split):
            good = [(path, label, video.split, part, begin, end) for part, label, begin, end in video.segments]
            rows += good
            dropped += len(video.annotations) - len(good)
            unlabeled += not video.annotations
    wanted = [name for name, video in database.items() if video.annotations and split in (None, video.split)]
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
    try:
        return _Content.model_validate_json(Path(path).read_bytes(), strict=True).database
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): name the JSON file of ActivityNet; see DATA.md."
        ) from None
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"])) or "at the top"
        raise UserError(
            f"{path} is not the JSON file of ActivityNet ({place}: {fault['msg']}): name that file, or fetch it again; "
            "see DATA.md."
        ) from None
