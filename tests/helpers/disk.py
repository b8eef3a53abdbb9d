"""A disk that is full."""

import errno
import os
import resource
from contextlib import contextmanager


@contextmanager
def full_at(size):
    """No file may grow beyond ``size`` bytes, which fails like a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
