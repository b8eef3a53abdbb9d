"""Put generated tables into README.md, each between its markers: ``python -m aurl.pipeline.readme``."""

import re
from pathlib import Path

from aurl.files import write_bytes

README = Path("README.md")


def filled(text):
    """``text`` with the file named in each ``<!-- begin FILE -->`` copied in before the next ``<!-- end -->``."""
    return re.sub(
        r"(<!-- begin (\S+) -->\n).*?(<!-- end -->)",
        lambda found: found[1] + Path(found[2]).read_text() + found[3],
        text,
        flags=re.S,
    )


if __name__ == "__main__":
    write_bytes(README, filled(README.read_text()).encode())
