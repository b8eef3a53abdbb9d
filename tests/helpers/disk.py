"""A disk that is full."""

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
