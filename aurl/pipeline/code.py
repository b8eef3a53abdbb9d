"""The stage ``code``: for every later stage one small file that changes with the code that the stage runs.

    python -m aurl.pipeline.code

writes ``build/notebooks/NAME.ipynb`` for every chapter in ``notebooks/``, without outputs and editor metadata, and
``build/code/NAME`` for the stages that are modules. Each holds a digest of the statements and data files of the package
that the stage uses. Later stages depend on these files only, so DVC reruns nothing after a change to a comment, a
docstring, a progress bar, or a figure that the stage does not draw.
"""

import argparse
import ast
import hashlib
import re
import sys

from aurl import UserError
from aurl.pipeline.notebook import SOURCE, STAGED, read, write
from aurl.project.cache import PACKAGE, code_digest, modules_used
from aurl.project.files import write_bytes
from aurl.project.paths import STAGE_CODE

MODULES = {"heads": "aurl.pipeline.heads", "sphere": "aurl.pipeline.sphere"}  # stages that are not notebooks
RUNNER = "aurl.pipeline.notebook"
# Code that does not affect the files that a stage writes: the version, progress bars, the cache, and live curves.
UNSEEN = (PACKAGE, "aurl.project.progress", "aurl.project.cache", "aurl.training.curves")


def digest(source, *modules):
    """A digest of the package's code and data files that Python ``source`` uses, and of ``modules``."""
    used = modules_used(source, UNSEEN)
    files = {path for own in used.values() for path in own.parent.iterdir() if path.suffix != ".py" and path.is_file()}
    contents = sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in files)
    return hashlib.sha256("".join([code_digest(*used, *modules, skip=UNSEEN), *contents]).encode()).hexdigest()


def write_all():
    """Write the files of all stages. Raises UserError for a file that is no notebook or has an invalid cell."""
    for path in sorted(SOURCE.glob("*.ipynb")):
        chapter = read(path)
        cells = ["".join(cell["source"]) for cell in chapter["cells"] if cell["cell_type"] == "code"]
        source = re.sub(r"(?m)^(\s*)[%!].*$", r"\1pass", "\n".join(cells))  # IPython's own commands
        try:
            ast.parse(source)
        except SyntaxError as error:
            raise UserError(f"{path} has a cell that is not valid Python ({error.msg}): correct it.") from None
        write(STAGED / path.name, chapter, {"code": digest(source, RUNNER)})
    for name, module in MODULES.items():
        write_bytes(STAGE_CODE / name, f"{digest(f'import {module}')}\n".encode())


if __name__ == "__main__":
    argparse.ArgumentParser(prog="python -m aurl.pipeline.code", description=__doc__.splitlines()[0]).parse_args()
    try:
        write_all()
    except UserError as error:
        sys.exit(f"aurl: {error}")
