"""Run a notebook as a pipeline stage with papermill: progress on the terminal, reproducible output bytes.

    python -m aurl.pipeline.notebook 03_train -p variant aurl -p seed 0

executes ``build/notebooks/03_train.ipynb`` and writes ``reports/notebooks/03_train-aurl-0.ipynb``. A mistake that the
user can fix becomes one sentence on stderr and exit status 1. The stage ``code`` copies notebooks to
``build/notebooks`` without outputs, so running and saving a notebook in ``notebooks/`` makes no stage outdated.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

from aurl import UserError
from aurl.project.files import write_bytes
from aurl.project.machines import accelerators
from aurl.project.progress import ENVIRONMENT, RESTART

# Notebooks have no URIs to validate, and importing the validator would take longer than reading a notebook.
sys.modules.setdefault("rfc3987_syntax", None)

# Hide the kernel's messages about itself; papermill raises the errors of cells. Tornado would report that an ending
# kernel closes its sockets while its control thread still sends.
QUIET = [
    "--IPKernelApp.log_level=CRITICAL",
    "--IPKernelApp.logging_config={'loggers': {'tornado': {'level': 'CRITICAL'}}}",
]

SECONDS_TO_SAVE = 10  # until an interrupted notebook is killed; some need half of it

SOURCE, STAGED, EXECUTED = Path("notebooks"), Path("build/notebooks"), Path("reports/notebooks")


def run(name, parameters):
    """Execute the staged notebook ``name`` with ``parameters``, a dict, and write it to ``reports/notebooks/``.

    Raises UserError for an interruption, a killed kernel, and a UserError or VideoError of a cell; other errors are
    papermill's.
    """
    notebook = STAGED / f"{name}.ipynb"
    read(notebook)
    with tempfile.TemporaryDirectory() as folder, _progress(Path(folder, "progress")), _Interruption() as interruption:
        import papermill
        from traitlets.config import Config

        executed = Path(folder, "executed.ipynb")
        # Kernels that start at the same time may choose the same TCP port; files in folders of their own do not clash.
        private = {"transport": "ipc", "ip": str(Path(folder, "kernel")), "shutdown_wait_time": SECONDS_TO_SAVE}
        try:
            papermill.execute_notebook(
                notebook, executed, parameters, kernel_name="python3", language="python", progress_bar=False,
                extra_arguments=QUIET,
                config=Config(KernelManager=private),
                kernel_manager_class=interruption.manager(), on_cell_start=interruption.check,
            )  # fmt: skip
        except Exception as error:
            if getattr(error, "ename", None) in ("UserError", "VideoError"):
                raise UserError(error.evalue) from None
            if type(error).__name__ == "DeadKernelError" and not interruption.asked:
                raise UserError(f"the system ended {name}, perhaps for too little memory: {RESTART}") from None
            if not interruption.asked:
                raise
        if interruption.asked:
            raise UserError(f"{name} was interrupted: the same command goes on where it was.")
        target = "-".join([name, *map(str, parameters.values())])
        write(EXECUTED / f"{target}.ipynb", read(executed), {}, outputs=True)


def read(path):
    """The cells of a notebook in nbformat 4, as a dict. Raises UserError for a file that is missing or no notebook."""
    try:
        found = json.loads(path.read_bytes())
        return {"cells": [cell | {"source": "".join(cell["source"])} for cell in found["cells"]]}
    except FileNotFoundError:
        raise UserError(f"there is no notebook {path}: restore it with `git checkout`, or run `dvc repro`.") from None
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise UserError(f"{path} is not a notebook ({type(error).__name__}): restore it with `git checkout`.") from None


def write(path, notebook, metadata, outputs=False):
    """Write the result of `read` in nbformat's layout, without what editors and papermill add.

    ``metadata`` replaces the notebook's. With ``outputs``, cells keep their outputs and execution counts.
    """
    cells = []
    for number, cell in enumerate(notebook["cells"]):  # papermill draws a random id for the cell that it injects
        tags = cell.get("metadata", {}).get("tags")
        own = {"cell_type": cell["cell_type"], "id": f"cell-{number}", "metadata": {"tags": tags} if tags else {}}
        own["source"] = cell["source"].splitlines(keepends=True)
        if cell["cell_type"] == "code":
            own["outputs"] = cell["outputs"] if outputs else []
            own["execution_count"] = cell["execution_count"] if outputs else None
        cells.append(own)
    content = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    write_bytes(path, (json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode())


class _Interruption:
    """Passes SIGINT and SIGTERM on to the kernel as SIGINT, and kills it after `SECONDS_TO_SAVE` seconds.

    The handler raises nothing, because papermill's event loop sometimes loses exceptions.
    """

    def __init__(self):
        self.asked, self.kernel, self.timer = False, None, None

    def __enter__(self):
        self.before = {sent: signal.signal(sent, self._pass_on) for sent in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_):
        if self.timer is not None:
            self.timer.cancel()
        for sent, handler in self.before.items():
            signal.signal(sent, handler)

    def manager(self):
        """A class of kernel managers that records the process id of the kernel."""
        from jupyter_client import AsyncKernelManager

        interruption = self

        class Manager(AsyncKernelManager):
            async def start_kernel(self, **options):
                await super().start_kernel(**options)
                interruption.kernel = self.provisioner.pid

        return Manager

    def check(self, **_):
        """Stop before the next cell, because a kernel ignores signals between two cells."""
        if self.asked:
            raise InterruptedError

    def _pass_on(self, *_):
        if not self.asked and self.kernel is not None:
            self.timer = threading.Timer(SECONDS_TO_SAVE, self._signal, [signal.SIGKILL])
            self.timer.start()
            self._signal(signal.SIGINT)
        self.asked = True

    def _signal(self, sent):
        with suppress(ProcessLookupError):
            os.kill(self.kernel, sent)


@contextmanager
def _progress(file):
    """Show on the terminal what `aurl.project.progress.bar` writes in the notebook's process."""
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
    if not accelerators():
        os.environ.setdefault("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")  # huge pages; training is 1.07 times as fast
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
    arguments = parser.parse_args()
    try:
        run(arguments.name, {key: int(value) if value.isdigit() else value for key, value in arguments.p})
    except UserError as error:
        sys.exit(f"aurl: {error}")


if __name__ == "__main__":
    main()
