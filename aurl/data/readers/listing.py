"""List the videos below a folder, and make the table that every reader returns. No video is opened."""

import os
import re
from collections import Counter
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from aurl import UserError
from aurl.data.readers.classes import match

EXTENSIONS = frozenset(
    [".3g2", ".3gp", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".m2ts", ".m2v", ".m4v", ".mkv", ".mov", ".mp4",
     ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".rm", ".rmvb", ".ts", ".vob", ".webm", ".wmv", ".y4m"]
)  # fmt: skip
COLUMNS = ["id", "path", "class", "split", "begin", "end"]


class Folder(NamedTuple):
    name: str
    path: str  # relative to the root, "" for the root itself
    line: frozenset  # device and inode of it and of every folder above it, up to the root


class Listing:
    """The videos below ``root``; error messages name the ``expected`` layout. Skips folders that match ``ignored``.

    ``top`` is the `Folder` of ``root``, and ``skipped`` a set of unusable paths, each with its reason. Files with other
    extensions are counted, hidden files are not. Names that are not UTF-8 are skipped unless ``any_name`` is set,
    because no table can hold them. Raises UserError if ``root`` is not a folder.
    """

    def __init__(self, root, expected, ignored=r"__MACOSX", any_name=False):
        self.root, self.expected, self.skipped, self._others = str(Path(root)), expected, set(), {}
        self._any_name = any_name
        self._ignored = re.compile(ignored)
        try:
            self.top = Folder("", "", frozenset([_identity(self.root)]))
        except OSError as error:
            raise self.error(f"{self.root} cannot be read ({error.strerror})") from None
        if not os.path.isdir(self.root):
            raise self.error(f"{self.root} is not a folder")

    def error(self, reason):
        """A UserError with ``reason`` and the expected layout."""
        return UserError(f"{reason}: expected {self.expected}; see DATA.md.")

    def open(self, folder):
        """The folders in a folder, sorted by name, and the relative paths of the videos in it, unsorted.

        Symbolic links to folders are followed, except to a folder that contains the link. Raises UserError if the
        folder cannot be read.
        """
        folders, videos = [], []
        others = self._others[folder.path] = Counter()  # per folder, because some are opened twice
        try:
            with os.scandir(os.path.join(self.root, folder.path)) as entries:
                for entry in entries:
                    name = entry.name
                    path = f"{folder.path}/{name}" if folder.path else name
                    if name.startswith("."):
                        continue
                    is_folder = self._is_folder(entry, path)
                    extension = os.path.splitext(name)[1].lower()
                    if not is_folder and extension not in EXTENSIONS:
                        others[extension.encode(errors="backslashreplace").decode() or "no extension"] += 1
                    elif not (self._any_name or _decodable(name)):
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
        """The relative path of every video in a folder and below it, unsorted."""
        waiting = [folder]
        while waiting:
            folder = waiting.pop()
            folders, videos = self.open(folder)
            yield from videos
            waiting += folders
            if not folders and not videos and os.path.splitext(folder.name)[1].lower() in EXTENSIONS:
                self._skip(folder.path, "it is a folder")

    def others(self):
        """The number of files with other extensions, most frequent first: {".txt": 2}."""
        return dict(sum(self._others.values(), Counter()).most_common())

    def table(self, videos, classes=None, lists=(), **counts):
        """The table of ``videos``, rows of (relative path, class, split), and for a segment also (part, begin, end).

        `aurl.data.readers` describes columns and attributes; ``counts`` are further attributes. ``classes`` and
        ``lists`` are as for `aurl.data.readers.classes.match`. Raises UserError as `match` does, for a folder without
        videos, and for two videos with the same id.
        """
        rows = []
        for path, label, split, *segment in videos:
            part, begin, end = segment or ("", None, None)
            rows.append((path[: path.rindex(".")] + part, f"{self.root}/{path}", label, split, begin, end))
        if not rows:
            others = self.others()
            raise self.error(f"{self.root} has no videos" + (f", only {counted(others)}" if others else ""))
        rows.sort(key=itemgetter(0, 1))  # sorting here and building by columns is faster than pandas' own way
        table = pd.DataFrame(dict(zip(COLUMNS, zip(*rows)))).astype({"begin": float, "end": float})
        twice = table.index[table["id"].duplicated()]
        if len(twice):
            one, other = table["path"][twice[0] - 1], table["path"][twice[0]]
            raise self.error(f"{one} and {other} would have the same id, so move one of them away")
        table = with_classes(table, classes, lists, self.root, self.error)
        table.attrs |= {**counts, "skipped": sorted(self.skipped), "others": self.others()}
        return table

    def _is_folder(self, entry, path):
        try:
            return entry.is_dir()
        except OSError as error:  # a symbolic link to itself, or into an unreadable folder
            # A video is listed anyway; probing then rejects it.
            if os.path.splitext(path)[1].lower() not in EXTENSIONS:
                self._skip(path, error.strerror)
            return False

    def _skip(self, path, reason):
        self.skipped.add(f"{os.fsencode(path).decode(errors='backslashreplace')}: {reason}")


def with_classes(table, classes, lists, root, error):
    """The rows of a table whose class is used, with class names spelled by `aurl.data.readers.classes.match`."""
    found = table["class"].unique()
    matched = match(found, classes, lists, root, error)
    named = table.assign(**{"class": table["class"].map(matched.spelling)}).dropna(subset="class")
    merged = len(matched.spelling) - len(set(matched.spelling.values()))
    named.attrs = {"list": matched.list, "merged": merged, "unselected": len(table) - len(named)}
    return named.reset_index(drop=True)


def counted(others):
    """Files by extension as a phrase: "3 other files (2 .txt, 1 .jpg)"."""
    number, kinds = sum(others.values()), list(others.items())
    named = ", ".join(f"{count} {extension}" for extension, count in kinds[:5]) + (", …" if len(kinds) > 5 else "")
    return f"{number} other file{'s' if number > 1 else ''} ({named})"


def _decodable(name):
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _identity(path):
    status = os.stat(path)
    return status.st_dev, status.st_ino
