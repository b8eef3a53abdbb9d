"""The data sets' class names, as each spells them, and the rules by which they become words: data files beside it."""

import difflib
from functools import cache
from pathlib import Path

import yaml

from aurl import UserError
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
PLAIN = Rules()


def load(name: str) -> tuple[list[str], Rules]:
    """The class names of a data set and their `Rules`, verbs as base forms. Raises UserError for an unknown set."""
    if name not in FAMILIES:
        near = difflib.get_close_matches(name, FAMILIES, n=1)
        raise UserError(
            f"there are no class names of {name!r}, only of {', '.join(FAMILIES)}"
            + (f"; did you mean {near[0]}?" if near else "")
            + " (null for names that are plain words)"
        )
    return (FOLDER / f"{name}.txt").read_text().splitlines(), Rules(**_rules()[FAMILIES[name]], base_forms=True)


@cache
def _rules():
    return yaml.safe_load((FOLDER / "rules.yaml").read_text())


def truze(name: str | None) -> dict[str, list[str]]:
    """TruZe's split of ``ucf101`` or ``hmdb51`` into "seen" and "unseen" classes, which Kinetics-400 has and lacks.

    Both are empty for other sets.
    """
    return yaml.safe_load((FOLDER / "truze.yaml").read_text()).get(name, {"seen": [], "unseen": []})
