"""How long each stage of the pipeline takes: reruns all of them and writes reports/tables/durations.md.

python benchmarks/pipeline.py      # about as long as `make reproduce`
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from aurl.files import write_bytes

TABLE = Path("reports/tables/durations.md")


def main():
    command = [sys.executable, "-m", "dvc", "repro", "--force"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    starts = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        for line in process.stdout:
            if found := re.match(r"Running stage '(.+)'", line):
                starts.append((found[1], time.monotonic()))
            sys.stdout.write(line)
    if process.returncode:
        sys.exit(process.returncode)
    ends = [start for _, start in starts[1:]] + [time.monotonic()]
    seconds = [(name, end - start) for (name, start), end in zip(starts, ends, strict=True)]
    rows = [(name, took) for name, took in seconds if name[0].isdigit()]
    rows.append(("checking and stripping", sum(took for name, took in seconds if not name[0].isdigit())))
    rows.append(("**all**", sum(took for _, took in seconds)))
    lines = ["| stage | minutes |", "|---|---|", *(f"| {name} | {took / 60:.1f} |" for name, took in rows)]
    write_bytes(TABLE, ("\n".join(lines) + "\n").encode())


if __name__ == "__main__":
    main()
