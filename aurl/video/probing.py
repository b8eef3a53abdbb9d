"""Every video decoded once, before anything rests on it: how long and how large it is, or why it cannot be used."""

import json
import os
from pathlib import Path

import pandas as pd

from aurl import UserError
from aurl.progress import parallel
from aurl.video.reading import probe

FIELDS = ("frames", "fps", "width", "height", "duration", "codec", "status")
REJECTED = ["set", "id", "class", "path", "reason"]


def probe_all(rows, cache, least=1, desc="probing", scheduler=None):
    """The table of a reader with what `aurl.video.probe` says of every row's file, and ``first`` and ``frames`` of its segment.

    A file is probed once, however many segments it has. Results are kept in the file ``cache`` as they come, so that a run that
    was stopped goes on where it was; a video whose size or date has changed is probed anew. ``status`` is "ok", or the
    reason why a video is of no use: it cannot be read, it has fewer than ``least`` frames, or its segment lies outside.
    """
    known = _Known(Path(cache))
    paths = rows["path"].unique()
    stamps = {path: _stamp(path) for path in paths}
    todo = [path for path in paths if known.get(path, stamps[path]) is None]
    for path, found in zip(
        todo,
        parallel(probe, ((path,) for path in todo), desc, "video", total=len(todo), scheduler=scheduler),
        strict=True,
    ):
        known.add(path, stamps[path], found)
    known.close()
    probed = pd.DataFrame([known.get(path, stamps[path]) for path in rows["path"]], columns=FIELDS, index=rows.index)
    table = pd.concat([rows.drop(columns=[name for name in FIELDS if name in rows]), probed], axis=1)
    return _segments(table, least)


def rejected(rows):
    """The videos that are of no use: a table of their ``set``, ``id``, ``class``, ``path`` and ``reason``."""
    return rows[rows["status"] != "ok"].rename(columns={"status": "reason"})[REJECTED]


def usable(rows, limit, file):
    """The rows whose status is "ok".

    Raises UserError, which points to ``file`` with the `rejected` videos, if more than the share ``limit`` of all rows is not, or if a class
    has none left.
    """
    good = rows[rows["status"] == "ok"].reset_index(drop=True)
    bad = rows[rows["status"] != "ok"]
    if len(bad) > limit * len(rows):
        reason, count = bad["status"].value_counts().index[0], bad["status"].value_counts().iloc[0]
        raise UserError(
            f"{len(bad)} of {len(rows)} videos cannot be used, more than prepare.broken allows ({limit:.1%}); {count} of them: {reason}; {file} lists all."
        )
    lost = sorted(set(rows["class"]) - set(good["class"]))
    if lost:
        raise UserError(f'no video of the class "{lost[0]}" can be used; {file} says why.')
    return good


def _segments(table, least):
    """Seconds to frames: a segment is ``frames`` frames from the frame ``first`` on."""
    begin = (table["begin"] * table["fps"]).round().fillna(0).astype(int)
    end = (table["end"] * table["fps"]).round().fillna(table["frames"]).clip(upper=table["frames"]).astype(int)
    table = table.assign(first=begin, frames=(end - begin).clip(lower=0))
    fine = table["status"] == "ok"
    outside = fine & (table["frames"] == 0) & table["begin"].notna()
    short = fine & ~outside & (table["frames"] < least)
    table.loc[outside, "status"] = "its segment lies outside of it"
    table.loc[short, "status"] = "too short (" + table.loc[short, "frames"].astype(str) + " frames)"
    return table


def _stamp(path):
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return "missing"
    return f"{status.st_size} {status.st_mtime_ns}"


class _Known:
    """What was found before, a JSON line a video; a last line that a kill cut short is passed over."""

    def __init__(self, file):
        self._found = {}
        if file.is_file():
            for line in file.read_text(errors="replace").splitlines():
                try:
                    path, stamp, *values = json.loads(line)
                    self._found[path] = (stamp, *values)
                except (ValueError, TypeError):
                    continue
        self._file = file
        self._lines = None

    def get(self, path, stamp):
        found = self._found.get(path)
        return None if found is None or found[0] != stamp else found[1:]

    def add(self, path, stamp, found):
        values = [found[name] for name in FIELDS]
        self._found[path] = (stamp, *values)
        try:
            if self._lines is None:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                self._lines = self._file.open("a")
                self._lines.write("\n")  # ends a line that was cut short
            self._lines.write(json.dumps([path, stamp, *values]) + "\n")
            self._lines.flush()
        except OSError as error:
            raise UserError(
                f"{self._file} cannot be written ({error.strerror}): make room, or change the folder's permissions."
            ) from None

    def close(self):
        if self._lines is not None:
            self._lines.close()
