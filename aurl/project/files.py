"""Write a file completely or not at all, and make files that are the same on every computer."""

import fcntl
import hashlib
import io
import os
import zipfile
from contextlib import contextmanager, suppress
from pathlib import Path

from aurl import UserError


def write_bytes(path, data):
    """Write ``data`` to ``path`` by `replacing`. Raises UserError if it cannot be written (no space, no permission)."""
    try:
        with replacing(path) as part:
            part.write_bytes(data)
    except OSError as error:
        raise unwritable(path, error) from None


@contextmanager
def replacing(path):
    """Give a temporary path for a file that replaces ``path`` at the end; creates ``path``'s folders.

    Each process has its own temporary path. After a failure, an earlier file stays.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        os.replace(part, path)
    finally:
        with suppress(OSError):  # the file or the folder may not exist
            part.unlink()


@contextmanager
def locked(folder, busy=None):
    """Let one process at a time write into ``folder``; the others wait, and should then look for new files.

    With a sentence as ``busy``, other processes do not wait: it is raised as a UserError. On a file system without
    locks, all continue. Raises UserError for a folder that cannot be created or opened.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise unwritable(folder, error) from None
    try:
        with suppress(OSError):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
            except BlockingIOError:
                raise UserError(busy) from None
        yield
    finally:
        os.close(descriptor)


def to_csv(table, **options):
    """A data frame as the text of a CSV file that is safe in spreadsheets; ``options`` go to `to_csv` of pandas.

    Spreadsheets evaluate texts that begin like a formula, such as the class name "=1+1", also after a semicolon or tab.
    An apostrophe in front prevents this.
    """
    texts = table.select_dtypes(exclude=["number", "bool"]).columns
    formula = r"(^|[;\t\r\n])(?=[=+\-@＝＋－＠\t\r\n])"
    safe = table.assign(**{name: table[name].str.replace(formula, r"\1'", regex=True) for name in texts})
    return safe.to_csv(index=False, lineterminator="\n", **options)


def npz(arrays):
    """The bytes of a ``.npz`` file of named ``arrays``, the same in every release of Python, unlike `numpy.savez`'s."""
    import numpy as np  # most users of this module write no arrays

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            entry = io.BytesIO()
            np.lib.format.write_array(entry, np.asanyarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), entry.getbuffer())
    return buffer.getvalue()


def sha256(path):
    """The SHA-256 of a file's content, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unwritable(path, error):
    """The UserError of a file or folder that cannot be written, by the OSError of the attempt."""
    return UserError(f"{path} cannot be written ({error.strerror}): make room, or change the folder's permissions.")
