"""Work in a process of its own that has imported all that this one has."""

import os
import sys
import traceback


def forked(function):
    """Call ``function`` in a fork of this process; returns the exit status, which it gives, and the error stream."""
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(receiver)
            sys.stderr = os.fdopen(sender, "w")
            status = function() or 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    os.close(sender)
    with open(receiver) as pipe:
        said = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said
