"""Write a file whole or not at all."""

import os
from contextlib import suppress
from pathlib import Path

from aurl import UserError


def write_bytes(path, data):
    """Write ``data`` to ``path``, making its folders; a killed or failed write leaves what was there before.

    Raises UserError if it cannot be written (no space, no permission).
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        os.replace(part, path)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror}): make room, or change the folder's permissions."
        ) from None
    finally:
        with suppress(OSError):  # there may be no such file, nor such a folder
            part.unlink()
