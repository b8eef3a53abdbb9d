"""Progress bars that reach the person who waits: in a notebook its cell, in the pipeline the terminal."""
import os
import sys

from tqdm import tqdm

ENVIRONMENT = "AURL_PROGRESS"  # a file that `aurl.notebook` shows on the terminal while a notebook runs


def bar(iterable=None, **options):
    """`tqdm`, drawn where the reader is; executed notebooks stay free of it, so that their bytes repeat."""
    path = os.environ.get(ENVIRONMENT)
    stream = open(path, "a", buffering=1) if path else sys.stderr
    return tqdm(iterable, file=stream, leave=True, mininterval=0.5 if sys.stderr.isatty() else 5, **options)
