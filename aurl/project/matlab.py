"""Arrays of a MATLAB file, versions 5 to 7. A damaged file is refused before SciPy reads it, which could crash."""

import math
import struct

import numpy as np

from aurl import UserError


def load(path, names):
    """Those of the variables ``names`` that a file has, as a dict; sparse matrices as full ones.

    Raises UserError for a file of MATLAB 7.3, and errors as `check` or SciPy do for a damaged file.
    """
    from scipy.io import loadmat  # takes a while, and few need it

    check(path)
    try:
        found = loadmat(path, variable_names=names)
    except NotImplementedError:
        raise UserError(
            f"{path} is a file of MATLAB 7.3: save it with -v7, or its arrays as HDF5; see DATA.md."
        ) from None
    arrays = {name: found[name] for name in names if name in found}
    return {name: own.toarray() if hasattr(own, "toarray") else own for name, own in arrays.items()}


def cells(array):
    """The values of an array or of a MATLAB cell array, in a list; an empty cell is ""."""
    values = np.ravel(array).tolist()
    inner = [np.ravel(value).tolist() if isinstance(value, np.ndarray) else [value] for value in values]
    return [own[0] if len(own) == 1 else own or "" for own in inner]


def check(path):
    """Raise ValueError or struct.error for a damaged file of MATLAB 5 to 7, on which SciPy can crash.

    Compressed parts, MATLAB's default, have checksums and are not examined.
    """
    data = path.read_bytes()
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None or data[124:126] not in (b"\0\1", b"\1\0"):  # of another version, which SciPy tells apart
        return
    _parts(data, 128, len(data), order, (14, 15))


def _parts(data, at, end, order, kinds):
    """The kind, begin and end of every part between two places; other kinds than ``kinds`` are damage."""
    found = []
    while at < end:
        kind, size = struct.unpack_from(f"{order}2I", data, at)
        begin, after = at + 8, at + 8 + size
        if kind >> 16:  # a small part has kind and size in one number
            kind, size = kind & 0xFFFF, kind >> 16
            begin, after = at + 4, at + 4 + size
            if size > 4:
                raise ValueError("a small part is too large")
        if kind not in kinds or after > end:
            raise ValueError("a part is of no known kind, or goes on after its end")
        if kind == 14 and size:
            _array(data, begin, after, order)
        found.append((kind, begin, after))
        at = after if kind == 15 else after + -after % 8
    return found


def _array(data, at, end, order):
    """Check an array: its class, dimensions and name, then its numbers, letters or inner arrays."""
    flags, sides, _, *rest = _parts(data, at, end, order, (*range(1, 8), 9, 12, 13, 14, 16, 17, 18))
    about = struct.unpack_from(f"{order}I", data, flags[1])[0]
    kind, is_complex = about & 0xFF, about >> 11 & 1
    if kind > 15:  # a function or a MATLAB object, which SciPy skips
        return
    shape = struct.unpack(f"{order}{(sides[2] - sides[1]) // 4}i", data[sides[1] : sides[2]])
    count = math.prod(shape)
    inner = [part[0] == 14 for part in rest]
    if flags[0] != 6 or sides[0] != 5 or min(shape, default=-1) < 0:
        raise ValueError("an array does not say what it is")
    if kind == 1 and not (all(inner) and len(inner) == count):
        raise ValueError("a cell array has another number of cells")
    sizes = [end - begin for _, begin, end in rest]
    if 4 <= kind <= 15 and kind != 5 and (any(inner) or len(sizes) != 1 + is_complex or max(sizes) > 8 * count):
        raise ValueError("an array has another number of values")
