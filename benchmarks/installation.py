"""The size of the environment in gigabytes: its downloads by requirements.lock, and its folder on this machine.

    .venv/bin/python benchmarks/installation.py     # seconds, in the environment of `make`; needs uv

writes reports/tables/installation.csv. uv looks up the files of the locked packages. The wheel that pip would choose
here counts, or the source if there is none.
"""

import argparse
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
from packaging.markers import Marker
from packaging.tags import sys_tags
from packaging.utils import parse_wheel_filename

from aurl.project.files import write_bytes


def download(lock):
    """Bytes of the files that pip downloads here; ``lock`` is the text of a pylock.toml."""
    rank = {tag: place for place, tag in enumerate(sys_tags())}

    def best(wheel):
        name = unquote(wheel["url"].rpartition("/")[2])
        return min((rank.get(tag, len(rank)) for tag in parse_wheel_filename(name)[3]), default=len(rank))

    total = 0
    for package in tomllib.loads(lock)["packages"]:
        if "marker" in package and not Marker(package["marker"]).evaluate():
            continue
        wheels = [wheel for wheel in package.get("wheels", []) if best(wheel) < len(rank)]
        total += min(wheels, key=best)["size"] if wheels else package["sdist"]["size"]
    return total


def size(folder):
    """Bytes of all files in a folder; links count as links."""
    return sum(path.lstat().st_size for path in Path(folder).rglob("*") if not path.is_dir())


def main():
    command = ["uv", "pip", "compile", "-q", "requirements.lock", "--no-deps", "--format", "pylock.toml"]
    lock = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows = {"download": download(lock), "environment": size(sys.prefix)}
    table = pd.DataFrame({"what": rows.keys(), "gb": [value / 1e9 for value in rows.values()]})
    write_bytes("reports/tables/installation.csv", table.to_csv(index=False, float_format="%.2f").encode())
    print(table.to_string(index=False))


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    main()
