"""How long each stage of the pipeline takes: force every stage, one after the other, and write a table.

    python benchmarks/pipeline.py      # longer than `make reproduce`, which runs stages side by side

writes reports/tables/durations.md (``--table`` names another file). What runs keep for each other, such as
finished trainings, is moved aside meanwhile, so that everything is made anew.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from aurl import paths
from aurl.files import write_bytes

TABLE = Path("reports/tables/durations.md")
KEPT = (paths.FRAMES, paths.PROBED, paths.TRAININGS)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--table", type=Path, default=TABLE, help="the Markdown file to write")
    options = parser.parse_args(arguments)
    command = [sys.executable, "-m", "dvc", "repro", "--force"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with aside(*KEPT), subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        seconds = durations(process.stdout)
    if process.returncode:
        sys.exit(process.returncode)
    write_bytes(options.table, markdown(seconds).encode())


@contextmanager
def aside(*folders):
    """Without ``folders`` inside the context; afterwards they are as they were."""
    folders = [folder for folder in folders if folder.exists()]
    with tempfile.TemporaryDirectory(prefix=".aside-", dir=".") as place:
        for folder in folders:
            shutil.move(folder, Path(place, folder.name))
        try:
            yield
        finally:
            for folder in folders:
                shutil.rmtree(folder, ignore_errors=True)
                shutil.move(Path(place, folder.name), folder)


def durations(lines, clock=time.monotonic):
    """Seconds that each stage took, by name: from the line in which DVC says that it starts to that of the next stage.

    ``lines`` is DVC's output as it comes; it is passed on to the terminal.
    """
    starts = []
    for line in lines:
        if found := re.match(r"Running stage '(.+)'", line):
            starts.append((found[1], clock()))
        sys.stdout.write(line)
    ends = [start for _, start in starts[1:]] + [clock()]
    return {name: end - start for (name, start), end in zip(starts, ends)}


def markdown(seconds):
    """Minutes per stage; those that only check parameters or copy notebooks are one row."""
    chapters = {name: took for name, took in seconds.items() if name.partition("@")[0] not in ("check", "strip")}
    rest = sum(seconds.values()) - sum(chapters.values())
    rows = chapters | {"checking and stripping": rest, "**all**": sum(seconds.values())}
    lines = ["| stage | minutes |", "|---|---|", *(f"| {name} | {took / 60:.1f} |" for name, took in rows.items())]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
