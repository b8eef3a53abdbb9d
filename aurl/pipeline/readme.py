"""Put generated tables into the pages that show them, between their markers.

    python -m aurl.pipeline.readme

``<!-- begin FILE -->`` stands for a file that the pipeline or a benchmark has made, ``<!-- begin NAME() -->`` for a
table of `aurl.pipeline.documents`. What is between it and the next ``<!-- end -->`` is replaced, unless that table is
about other parameters than those of the project.
"""

import argparse
import re
from pathlib import Path

from aurl.files import write_bytes
from aurl.pipeline.documents import TABLES

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


def filled(text, read=lambda path: Path(path).read_text()):
    """``text`` with what each ``<!-- begin NAME -->`` stands for before the next ``<!-- end -->``."""

    def replaced(found):
        new = content(found[2], read)
        return found[0] if new is None else found[1] + new + found[4]

    return re.sub(MARKED, replaced, text, flags=re.S)


if __name__ == "__main__":
    argparse.ArgumentParser(prog="python -m aurl.pipeline.readme", description=__doc__.splitlines()[0]).parse_args()
    for page in PAGES:
        write_bytes(page, filled(page.read_text()).encode())
