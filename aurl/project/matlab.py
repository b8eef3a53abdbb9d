"""Arrays of a MATLAB file, versions 5 to 7."""

import numpy as np

from aurl import UserError


def load(path, names):
    """The variables ``names``, as far as the file has them, as a dict. Raises UserError for a file of MATLAB 7.3."""
    from scipy.io import loadmat  # takes a while, and few need it

    try:
        found = loadmat(path, variable_names=names)
    except NotImplementedError:
        raise UserError(
            f"{path} is a file of MATLAB 7.3: save it with -v7, or its arrays as HDF5; see DATA.md."
        ) from None
    return {name: found[name] for name in names if name in found}


def cells(array):
    """The values of an array or of a MATLAB cell array, in a list; an empty cell is ""."""
    values = np.ravel(array).tolist()
    inner = [np.ravel(value).tolist() if isinstance(value, np.ndarray) else [value] for value in values]
    return [own[0] if len(own) == 1 else own or "" for own in inner]
