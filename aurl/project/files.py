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
    """Write ``data`` to ``path``, making its folders; a killed or failed write leaves what was there before.

    Raises UserError if it cannot be written (no space, no permission).
    """
    try:
        with replacing(path) as part:
            part.write_bytes(data)
    except OSError as error:
        raise unwritable(path, error) from None


@contextmanager
def replacing(path):
    """Give a path to write a file to, which takes the place of ``path`` at the end; ``path``'s folders are made.

    Concurrent processes have a path each. A failure leaves what was there before.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        os.replace(part, path)
    finally:
        with suppress(OSError):  # there may be no such file, nor such a folder
            part.unlink()


@contextmanager
def locked(folder, busy=None):
    """Let one process at a time make files in ``folder``; the others wait, and should then look what is made.

    With a sentence as ``busy``, they do not wait: it is raised as a UserError. A file system that knows no locks lets
    all go on at once. Raises UserError for a folder that cannot be made or opened.
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
    """A data frame as the text of a CSV file that a person may open in a spreadsheet; ``options`` are `pandas`'.

    A spreadsheet would compute a text that begins like a formula, as the class name "=1+1" does. One that takes
    semicolons or tabs for the ends of cells would also compute what follows these in a name. There an apostrophe is put
    in front, which spreadsheets read as "what follows is text". Tables that only programs read keep names as they are.
    """
    texts = table.select_dtypes(exclude=["number", "bool"]).columns
    formula = r"(^|[;\t\r\n])(?=[=+\-@＝＋－＠\t\r\n])"
    safe = table.assign(**{name: table[name].str.replace(formula, r"\1'", regex=True) for name in texts})
    return safe.to_csv(index=False, lineterminator="\n", **options)


def npz(arrays):
    """The bytes of a ``.npz`` file of named ``arrays``, the same on every computer.

    `numpy.savez` asks for the format of large files, whose version number the releases of Python write differently.
    """
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
