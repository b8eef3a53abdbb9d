"""Run a notebook as a pipeline stage: papermill, with progress on the terminal and the same bytes every time.

    python -m aurl.pipeline.notebook 03_train -p variant aurl -p seed 0

executes ``build/notebooks/03_train.ipynb`` and writes ``reports/notebooks/03_train-aurl-0.ipynb``. A mistake that the
user can fix is one sentence on stderr and exit status 1. ``--strip`` instead makes the stage's own copy of a notebook
in ``notebooks/``, without outputs and without what an editor adds. So reading, running and saving it changes no other
stage.
"""

import argparse
import os
import signal
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

from aurl import UserError
from aurl.files import write_bytes
from aurl.progress import ENVIRONMENT

# Notebooks have no addresses to check, and importing the check would take longer than reading a notebook.
sys.modules.setdefault("rfc3987_syntax", None)

PATIENCE = 10  # seconds that an interrupted notebook has to save what it has done; some take half of it to end at all

SOURCE, STAGED, EXECUTED = Path("notebooks"), Path("build/notebooks"), Path("reports/notebooks")


def strip(name):
    """``notebooks/NAME.ipynb`` without outputs and editor metadata, to ``build/notebooks/``."""
    _write(STAGED / f"{name}.ipynb", _read(SOURCE / f"{name}.ipynb"), keep_output=False)


def run(name, parameters):
    """Execute the staged notebook ``name`` with ``parameters`` (a dict) and keep it with outputs in
    ``reports/notebooks/``.

    Raises UserError with the notebook's own sentence if a cell raised one, and for an interruption; papermill's error
    otherwise.
    """
    import papermill
    from traitlets.config import Config

    notebook = STAGED / f"{name}.ipynb"
    _read(notebook)
    with tempfile.TemporaryDirectory() as folder, _progress(Path(folder, "progress")):
        executed = Path(folder, "executed.ipynb")
        try:
            papermill.execute_notebook(
                notebook, executed, parameters, kernel_name="python3", language="python", progress_bar=False,
                extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
                config=Config(KernelManager={"shutdown_wait_time": PATIENCE}),
            )  # fmt: skip
        except KeyboardInterrupt:  # papermill has passed it on to the notebook and waited
            raise UserError(f"{name} was interrupted: the same command goes on where it was.") from None
        except papermill.PapermillExecutionError as error:
            if error.ename in ("UserError", "VideoError"):
                raise UserError(error.evalue) from None
            raise
        target = "-".join([name, *map(str, parameters.values())])
        _write(EXECUTED / f"{target}.ipynb", _read(executed), keep_output=True)


def _read(path):
    import nbformat

    try:
        return nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise UserError(f"there is no notebook {path}: restore it with `git checkout`, or run `dvc repro`.") from None
    except Exception as error:
        raise UserError(f"{path} is not a notebook ({type(error).__name__}): restore it with `git checkout`.") from None


def _write(path, notebook, keep_output):
    """Keep what the author wrote (and outputs, if asked for), and nothing that editors and papermill add."""
    import nbformat
    from nbstripout import strip_output

    strip_output(notebook, keep_output=keep_output, keep_count=keep_output, keep_id=True)
    notebook.metadata, notebook.nbformat_minor = {}, 5
    for number, cell in enumerate(notebook.cells):
        cell.metadata = {"tags": cell.metadata["tags"]} if cell.metadata.get("tags") else {}
        cell["id"] = f"cell-{number}"  # papermill draws a random id for the cell that it injects
    write_bytes(path, (nbformat.writes(notebook) + "\n").encode())


@contextmanager
def _progress(file):
    """Show on the terminal what `aurl.progress.bar` writes in the notebook's process."""
    file.touch()
    done = threading.Event()

    def follow():
        with file.open(newline="") as stream:
            while not done.wait(0.2):
                sys.stderr.write(stream.read())
                sys.stderr.flush()
            sys.stderr.write(stream.read())

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    os.environ |= {ENVIRONMENT: str(file)}
    try:
        yield
    finally:
        del os.environ[ENVIRONMENT]
        done.set()
        follower.join()


def main():
    parser = argparse.ArgumentParser(prog="python -m aurl.pipeline.notebook", description=__doc__.splitlines()[0])
    parser.add_argument("name", help="the notebook's name without .ipynb")
    parser.add_argument(
        "-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="a parameter of the notebook"
    )
    parser.add_argument("--strip", action="store_true", help="only make the stage's copy")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if arguments.strip:
            strip(arguments.name)
        else:
            run(arguments.name, {key: int(value) if value.isdigit() else value for key, value in arguments.p})
    except UserError as error:
        sys.exit(f"aurl: {error}")


if __name__ == "__main__":
    main()
