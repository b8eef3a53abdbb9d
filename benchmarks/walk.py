"""Run the commands of docs/walk.md in a fresh clone, and put their output below them.

    python benchmarks/walk.py

Each console block of the page holds commands after "$ " and their output. The commands of all blocks run one after the
other, in one clone of the last commit: about an hour on two cores. Trainings that this project has in its cache are
not repeated. The page is written only if all succeed.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tqdm import tqdm

from aurl.project import paths
from aurl.project.files import write_bytes

ROOT, PAGE = Path(__file__).parents[1], Path("docs/walk.md")
BLOCK = r"(?<=```console\n)(.*?)(?=```)"


def main():
    page = (ROOT / PAGE).read_text()
    commands = [line for block in re.findall(BLOCK, page, flags=re.S) for line in commands_of(block)]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
        (Path(folder) / paths.CACHE).parent.mkdir(exist_ok=True)
        (Path(folder) / paths.CACHE).symlink_to(ROOT / paths.CACHE)
        output = {place: run(command, folder) for place, command in enumerate(tqdm(commands, unit="command"))}
    shown = iter(output.values())

    def filled(block):
        return "".join(f"$ {command}\n{next(shown)}" for command in commands_of(block[0]))

    write_bytes(ROOT / PAGE, re.sub(BLOCK, filled, page, flags=re.S).encode())


def commands_of(block):
    return [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]


def run(command, folder):
    """The output of a command in ``folder``, with the project's environment if it is installed."""
    shell = f"set -o pipefail; export PATH={folder}/.venv/bin:$PATH COLUMNS=200 PYTHONWARNINGS=ignore\n{command}"
    done = subprocess.run(
        ["bash", "-c", shell], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\n{command}: exit status {done.returncode}")
    lines = [line.rstrip().replace(str(folder), "/path/to/aurl") for line in done.stdout.splitlines()]
    return "".join(f"{line}\n" for line in lines)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    main()
