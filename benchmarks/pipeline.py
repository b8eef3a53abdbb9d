"""The time of `make reproduce` in a fresh clone of the last commit, after the installation of the environment.

    python benchmarks/pipeline.py           # with the instructions that this processor has
    python benchmarks/pipeline.py --avx2    # as a processor without AVX-512 and bfloat16 would compute

writes reports/tables/durations.csv and .md (``--table`` names another file), a column for each kind of arithmetic.
Stages run side by side, so the last row is less than the sum of the others.
"""

import argparse
import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from aurl.project.files import write_bytes
from aurl.project.markdown import markdown_table

TABLE = Path("reports/tables/durations.csv")
ONLY_AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
WHOLE = "**all, side by side**"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--avx2", action="store_true", help="without AVX-512 and bfloat16")
    parser.add_argument("--table", type=Path, default=TABLE, help="the CSV file to write; the Markdown lies beside it")
    parser.add_argument("--keep", metavar="FOLDER", help="clone into this folder and keep it with its results")
    options = parser.parse_args(arguments)
    kind = "float32, AVX2" if options.avx2 else "this processor"
    with contextlib.nullcontext(options.keep) if options.keep else tempfile.TemporaryDirectory() as folder:
        subprocess.run(["git", "clone", "--quiet", ".", folder], check=True)
        minutes = durations(folder, ONLY_AVX2 if options.avx2 else {})
    rows = pd.DataFrame({"kind": kind, "job": list(minutes), "minutes": list(minutes.values())})
    if options.table.exists():
        before = pd.read_csv(options.table)
        rows = pd.concat([before[before["kind"] != kind], rows], ignore_index=True)
    write_bytes(options.table, rows.to_csv(index=False).encode())
    write_bytes(options.table.with_suffix(".md"), markdown(rows).encode())


def durations(folder, environment):
    """Minutes of each job of `make reproduce` in the project ``folder``, by name, and of all."""
    path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = [sys.executable, "-m", "aurl.pipeline.reproduce"]
    begin, minutes = time.monotonic(), {}
    with subprocess.Popen(
        command, cwd=folder, env=os.environ | path | environment, stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stderr:
            sys.stderr.write(line)
            if found := re.fullmatch(r"(.+): (\d+\.\d) min\n", line):
                minutes[found[1]] = float(found[2])
    if process.returncode:
        sys.exit(process.returncode)
    return minutes | {WHOLE: round((time.monotonic() - begin) / 60, 1)}


def markdown(rows):
    """A row per job and a column per kind; jobs in the order of `make reproduce`, all together last."""
    wide = rows.pivot(index="job", columns="kind", values="minutes")
    order = [job for job in dict.fromkeys(rows["job"]) if job != WHOLE]
    cells = [[job, *("–" if pd.isna(value) else f"{value:.1f}" for value in wide.loc[job])] for job in [*order, WHOLE]]
    return markdown_table(["minutes", *wide.columns], cells)


if __name__ == "__main__":
    main()
