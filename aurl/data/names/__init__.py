"""The class names of published data sets, and the rules that turn them into words: data files in this folder."""

from functools import cache
from pathlib import Path

import yaml

from aurl import UserError
from aurl.project.config.sentences import nearest
from aurl.text import Rules

FOLDER = Path(__file__).parent
FAMILIES = {
    "kinetics400": "kinetics",
    "kinetics600": "kinetics",
    "kinetics700": "kinetics",
    "ucf101": "ucf101",
    "hmdb51": "hmdb51",
    "activitynet": "activitynet",
}
LISTS = {  # reader -> the official lists of its data set
    reader: tuple(name for name, family in FAMILIES.items() if family == reader) for reader in set(FAMILIES.values())
}


def load(name: str) -> tuple[list[str], Rules]:
    """The class names of a data set and their `Rules`, which give base forms of verbs. Raises UserError if unknown."""
    if name not in FAMILIES:
        raise UserError(f"there are no class names of {name!r}, only of {', '.join(FAMILIES)}{nearest(name, FAMILIES)}")
    return read(FOLDER / f"{name}.txt"), Rules(**_rules()[FAMILIES[name]], base_forms=True)


def read(path: str | Path) -> list[str]:
    """The names in a text file, one a line; empty lines are skipped. Raises UserError if it is unreadable or empty."""
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not text in UTF-8"
        raise UserError(f"the class list {path} cannot be read ({reason}): give a file with one name a line.") from None
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise UserError(f"the class list {path} is empty: write one class name a line.")
    return names


@cache
def _rules():
    return yaml.safe_load((FOLDER / "rules.yaml").read_text())


def truze(name: str | None) -> dict[str, list[str]]:
    """TruZe's split of ``ucf101`` or ``hmdb51`` into "seen" classes, which Kinetics-400 has, and "unseen" classes.

    Both are empty for other data sets.
    """
    return yaml.safe_load((FOLDER / "truze.yaml").read_text()).get(name, {"seen": [], "unseen": []})
