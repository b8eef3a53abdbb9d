"""Put generated tables into the pages that show them, between their markers: ``python -m aurl.pipeline.readme``."""

import re
from pathlib import Path

from aurl.files import write_bytes

PAGES = (Path("README.md"), Path("docs/learning-rates.md"))
MARKED = r"(<!-- begin (\S+) -->\n)(.*?)(<!-- end -->)"  # before, file, its content, after


def filled(text):
    """``text`` with the file named in each ``<!-- begin FILE -->`` copied in before the next ``<!-- end -->``."""
    return re.sub(MARKED, lambda found: found[1] + Path(found[2]).read_text() + found[4], text, flags=re.S)


if __name__ == "__main__":
    for page in PAGES:
        write_bytes(page, filled(page.read_text()).encode())
