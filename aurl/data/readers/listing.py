"""Which videos lie below a folder, and the table that every reader makes of them. Names only: no video is opened."""

import difflib
import os
import re
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from aurl import UserError
from aurl.text.class_names import letters

EXTENSIONS = frozenset([".mp4", ".avi", ".mkv", ".webm", ".mov", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp"])
COLUMNS = ["id", "path", "class", "split", "begin", "end"]


class Folder(NamedTuple):
    name: str
    path: str  # relative to the root, "" for the root itself
    line: frozenset  # device and inode of it and of every folder above it, up to the root


class Listing:
    """The folder ``root``, which should look as ``expected`` says; folders whose name ``ignored`` matches are left out.

    ``top`` is its `Folder`; ``skipped`` grows to a set of what was passed over, each with its reason. Hidden names
    are passed over in silence, as systems leave them everywhere. Raises UserError if ``root`` is not a folder.
    """

    def __init__(self, root, expected, ignored=r"__MACOSX"):
        self.root, self.expected, self.skipped = str(Path(root)), expected, set()
        self._ignored = re.compile(ignored)
        try:
            self.top = Folder("", "", frozenset([_identity(self.root)]))
        except OSError as error:
            raise self.error(f"{self.root} cannot be read ({error.strerror})") from None
        if not os.path.isdir(self.root):
            raise self.error(f"{self.root} is not a folder")

    def error(self, reason):
        """The UserError that says ``reason`` and how the data should lie."""
        return UserError(f"{reason}: expected {self.expected}; see DATA.md.")

    def open(self, folder):
        """The folders in a folder, by name, and the relative paths of the videos in it, in no order.

        A symbolic link to a folder is followed, but not to one that is already on the way to it.
        """
        folders, videos = [], []
        try:
            with os.scandir(os.path.join(self.root, folder.path)) as entries:
                for entry in entries:
                    name = entry.name
                    path = f"{folder.path}/{name}" if folder.path else name
                    if name.startswith("."):
                        continue
                    is_folder = self._is_folder(entry, path)
                    if not is_folder and os.path.splitext(name)[1].lower() not in EXTENSIONS:
                        continue
                    if not _decodable(name):
                        self._skip(path, "its name is not UTF-8")
                    elif not is_folder:
                        videos.append(path)
                    elif not self._ignored.match(name):
                        identity = _identity(entry.path)
                        if identity in folder.line:
                            self._skip(path, "it leads back to a folder above it")
                        else:
                            folders.append(Folder(name, path, folder.line | {identity}))
        except OSError as error:
            raise self.error(f"{os.path.join(self.root, folder.path)} cannot be read ({error.strerror})") from None
        return sorted(folders), videos

    def videos(self, folder):
        """The relative path of every video in a folder and below it, in no order."""
        waiting = [folder]
        while waiting:
            folder = waiting.pop()
            folders, videos = self.open(folder)
            yield from videos
            waiting += folders
            if not folders and not videos and os.path.splitext(folder.name)[1].lower() in EXTENSIONS:
                self._skip(folder.path, "it is a folder")

    def table(self, videos, classes=None, **counts):
        """The table of ``videos``, rows of (relative path, class, split), and for a segment also (part, begin, end).

        Columns and attributes are those that `aurl.data.readers` describes; ``counts`` are further attributes.
        ``classes`` is how many classes there must be, or their names, which folders may spell with other capitals,
        spaces or punctuation. Raises UserError if there is no video, if two have the same id, or for other classes.
        """
        rows = []
        for path, label, split, *segment in videos:
            part, begin, end = segment or ("", None, None)
            rows.append((os.path.splitext(path)[0] + part, f"{self.root}/{path}", label, split, begin, end))
        table = pd.DataFrame(rows, columns=COLUMNS).astype({"begin": float, "end": float})
        if table.empty:
            raise self.error(f"{self.root} has no videos")
        table = table.sort_values(["id", "path"], ignore_index=True)
        twice = table.index[table["id"].duplicated()]
        if len(twice):
            one, other = table["path"][twice[0] - 1], table["path"][twice[0]]
            raise self.error(f"{one} and {other} would have the same id, so move one of them away")
        table["class"] = table["class"].map(official(table["class"].unique(), classes, self.root, self.error))
        table.attrs = {**counts, "skipped": sorted(self.skipped)}
        return table

    def _is_folder(self, entry, path):
        try:
            return entry.is_dir()
        except OSError as error:  # a symbolic link to itself, or into a closed folder
            # A video is listed all the same, and found broken later.
            if os.path.splitext(path)[1].lower() not in EXTENSIONS:
                self._skip(path, error.strerror)
            return False

    def _skip(self, path, reason):
        self.skipped.add(f"{os.fsencode(path).decode(errors='backslashreplace')}: {reason}")


def official(found, classes, root, error):
    """The official spelling of the class names ``found`` in ``root``, as a dict; ``classes`` as in `Listing.table`.

    Raises what ``error`` makes of a reason, for other classes.
    """
    if classes is None or isinstance(classes, int):
        if classes not in (None, len(found)):
            raise error(f"{root} has {len(found)} classes, such as {found[0]!r}, where {classes} should be")
        return {name: name for name in found}
    known = {letters(name): name for name in classes}
    for name in found:
        if letters(name) not in known:
            near = difflib.get_close_matches(name, classes, n=1)
            raise error(
                f"{root} has a class {name!r}, which is none of the {len(classes)} of this data set"
                + (f" (did you mean {near[0]!r}?)" if near else "")
            )
    missing = set(known) - {letters(name) for name in found}
    if missing:
        example = min(known[key] for key in missing)
        raise error(f"{root} lacks {len(missing)} of the {len(classes)} classes, such as {example!r}")
    return {name: known[letters(name)] for name in found}


def same_class(one, other):
    """Whether two spellings, such as "playing_drums" and "playing drums", can only mean the same class."""
    return letters(one) == letters(other)


def _decodable(name):
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _identity(path):
    status = os.stat(path)
    return status.st_dev, status.st_ino
