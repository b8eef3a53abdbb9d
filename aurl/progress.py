"""Progress bars that reach the person who waits, and work spread over the processor's cores with one."""
import os
import sys

import joblib
from joblib.externals.loky import get_reusable_executor
from tqdm import tqdm

ENVIRONMENT = "AURL_PROGRESS"  # a file that `aurl.notebook` shows on the terminal while a notebook runs


def bar(iterable=None, **options):
    """`tqdm`, drawn where the reader is; executed notebooks stay free of it, so that their bytes repeat."""
    path = os.environ.get(ENVIRONMENT)
    stream = open(path, "a", buffering=1) if path else sys.stderr
    return tqdm(iterable, file=stream, mininterval=0.5 if sys.stderr.isatty() else 5, **options)


def parallel(function, calls, desc, unit):
    """The results of ``function(*call)`` for each of ``calls``, in their order, computed by as many processes as there are cores."""
    results = joblib.Parallel(n_jobs=-1, return_as="generator")(joblib.delayed(function)(*call) for call in calls)
    try:
        yield from bar(results, total=len(calls), desc=desc, unit=unit)
    finally:
        get_reusable_executor().shutdown()  # idle workers would be reported as leaked when the notebook's process ends
