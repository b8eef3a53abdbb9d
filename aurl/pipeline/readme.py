"""Put generated tables into the pages that show them, between their markers.

    python -m aurl.pipeline.readme

``<!-- begin FILE -->`` stands for a file that the pipeline or a benchmark has made, ``<!-- begin NAME() -->`` for a
table of `aurl.pipeline.documents`. What is between it and the next ``<!-- end -->`` is replaced, unless that table is
about other parameters than those of the project.
"""

import argparse
import re
from pathlib import Path

from aurl import UserError
from aurl.pipeline.documents import TABLES
from aurl.pipeline.reproduce import run_as_command
from aurl.project.files import write_bytes

PAGES = tuple(
    map(
        Path,
        [
            "README.md",
            "MODEL_CARD.md",
            *(f"docs/{name}.md" for name in ("deviations", "learning-rates", "paper-scale", "pipeline", "rivals")),
        ],
    )
)
MARKED = r"(<!-- begin (\S+) -->\n)(.*?)(<!-- end -->)"  # before, file or table, its content, after


def content(name, read):
    """What a marker stands for, where ``read`` gives the text of a file; None for a table that does not apply."""
    return TABLES[name](read) if name in TABLES else read(name)


def read_made(path):
    """The text of a file. Raises UserError if it is not there yet."""
    try:
        return Path(path).read_text()
    except FileNotFoundError:
        raise UserError(f"{path} is missing: make it with `make reproduce`, or `make ablations` for studies.") from None


def filled(text, read=read_made):
    """``text`` with what each ``<!-- begin NAME -->`` stands for before the next ``<!-- end -->``."""

    def replaced(found):
        new = content(found[2], read)
        return found[0] if new is None else found[1] + new + found[4]

    return re.sub(MARKED, replaced, text, flags=re.S)


def main():
    """Fill every page, or none where something is missing."""
    texts = {page: filled(page.read_text()) for page in PAGES}
    for page, text in texts.items():
        write_bytes(page, text.encode())


if __name__ == "__main__":
    argparse.ArgumentParser(prog="python -m aurl.pipeline.readme", description=__doc__.splitlines()[0]).parse_args()
    run_as_command(main)
