"""Decode every video once before it is used, to find its length and size, or the reason why it is unusable."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from aurl import UserError
from aurl.data.video.decoding import VideoError
from aurl.data.video.reading import probe, stamp
from aurl.data.video.timeline import frame_at
from aurl.project.files import unwritable
from aurl.project.progress import parallel

FIELDS = [
    "frames", "fps", "width", "height", "start", "duration", "codec", "digest", "times", "damage", "status",
]  # fmt: skip
REASONS = ["set", "id", "class", "path", "reason"]  # columns of the table of rejected videos


def probe_files(paths, cache, desc="probing", scheduler=None, damaged="refuse"):
    """The results of `aurl.data.video.probe`: a table with a row for each of ``paths`` and the columns `FIELDS`.

    Repeated paths are probed once. Each result is added to the file ``cache``, so an interrupted run continues. A file
    is probed again if its size or date has changed, or if it was unusable. ``desc`` and ``scheduler`` are as for
    `aurl.project.progress.parallel`; ``damaged`` is ``prepare.damaged``. Raises UserError if ``cache`` cannot be
    written.
    """
    file, stamps = Path(cache), {path: _stamp(path) for path in paths}
    known = _earlier(file, damaged)
    todo = [path for path, stamp in stamps.items() if path not in known or known[path][0] != stamp]
    if not todo:
        return pd.DataFrame([known[path][1] for path in paths], columns=FIELDS)
    calls = ((path, damaged) for path in todo)
    results = parallel(probe, calls, desc, "video", total=len(todo), scheduler=scheduler)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", buffering=1) as lines:  # a line at a time
            print(file=lines)  # ends a line that was cut short
            for path, found in zip(todo, results, strict=True):
                known[path] = stamps[path], {name: found[name] for name in FIELDS}
                print(json.dumps([path, *known[path]]), file=lines)
    except OSError as error:
        raise unwritable(file, error) from None
    return pd.DataFrame([known[path][1] for path in paths], columns=FIELDS)


def probe_all(rows, cache, min_frames=1, desc="probing", scheduler=None, damaged="refuse"):
    """The table of a reader with the `probe_files` of each file, and ``first`` and ``frames`` of each segment.

    ``status`` is "ok" or the reason why a video is unusable: it cannot be read, it has fewer than ``min_frames``
    frames, or its segment lies outside the file.
    """
    probed = probe_files(rows["path"], cache, desc, scheduler, damaged).set_index(rows.index)
    table = pd.concat([rows.drop(columns=[name for name in FIELDS if name in rows]), probed], axis=1)
    return _segments(table, min_frames)


def rejected(rows):
    """The unusable videos: a table with the columns `REASONS`."""
    return rows[rows["status"] != "ok"].rename(columns={"status": "reason"})[REASONS]


def usable(rows, limit, file):
    """The rows whose status is "ok".

    Raises UserError if more than the share ``limit``, in [0, 1], is unusable, or if a class has no usable video. Its
    message names ``file``, which lists unusable videos.
    """
    good = rows[rows["status"] == "ok"].reset_index(drop=True)
    bad = rows[rows["status"] != "ok"]
    if len(bad) > limit * len(rows):
        reasons = bad["status"].value_counts()
        raise UserError(
            f"{len(bad)} of {len(rows)} videos cannot be used, more than prepare.broken allows ({limit:.1%}); "
            f"{reasons.iloc[0]} of them: {reasons.index[0]}; {file} lists all."
        )
    lost = sorted(set(rows["class"]) - set(good["class"]))
    if lost:
        raise UserError(f'no video of the class "{lost[0]}" can be used; {file} says why.')
    return good


def _segments(table, min_frames):
    """The table with the segments in frames: ``first`` and ``frames``."""

    def place(row, seconds, default):
        return default if pd.isna(seconds) else frame_at(seconds, row.start, row.fps, row.frames, row.times)

    rows = list(table.itertuples())
    first = np.array([place(row, row.begin, 0) for row in rows], int)
    end = np.array([place(row, row.end, row.frames) for row in rows], int)
    table = table.assign(first=first, frames=np.maximum(end - first, 0))
    fine = table["status"] == "ok"
    outside = fine & (table["frames"] == 0) & table["begin"].notna()
    short = fine & ~outside & (table["frames"] < min_frames)
    table.loc[outside, "status"] = "its segment lies outside of it"
    table.loc[short, "status"] = "too short (" + table.loc[short, "frames"].astype(str) + " frames)"
    return table


def _stamp(path):
    try:
        return "{} {}".format(*stamp(path))
    except VideoError:
        return "missing"


def _earlier(file, damaged):
    """Reusable results, path -> (stamp, result); a line that a kill cut short is ignored."""
    known = {}
    for line in file.read_text(errors="replace").splitlines() if file.is_file() else ():
        try:
            path, stamp, found = json.loads(line)
            wanted = found["status"] == "ok" and (damaged == "keep" or not found["damage"])
            if list(found) == FIELDS and wanted:  # written by this version
                known[path] = stamp, found
        except (ValueError, TypeError, KeyError):
            continue
    return known
