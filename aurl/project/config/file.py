"""Read ``params.yaml`` and override values in it, before validation."""

import copy
import functools
from pathlib import Path

import yaml

from aurl import UserError
from aurl.project.config.sentences import nearest

LOCAL = "params.local.yaml"  # in the folder of params.yaml; not in git
LOCAL_KEYS = ("root", "annotations", "test_lists")  # keys of a data set that LOCAL may change
OWN_KEYS = ("datasets", "sweeps")  # mappings whose keys the user chooses


def read(path):
    """The content of a parameter file, a dict; for ``params.yaml`` with the folders of `LOCAL`, if there is one.

    Raises UserError for a file that cannot be read or is not YAML, and for a `LOCAL` that changes other parameters.
    """
    raw, local = _read(path), Path(path).with_name(LOCAL)
    if raw is None:
        raise UserError(f"{path} holds no parameters: restore it with `git checkout {path}`.")
    return _localized(raw, local) if Path(path).name == "params.yaml" and local.is_file() else raw


def _read(path):
    try:
        raw = copy.deepcopy(_parse(Path(path).read_bytes()))
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): run from the project's root, or name the parameter file."
        ) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        where = f" at line {error.problem_mark.line + 1}" if getattr(error, "problem_mark", None) else ""
        reason = getattr(error, "problem", None) or getattr(error, "reason", "it cannot be parsed")
        raise UserError(f"{path} is not valid YAML{where}: {reason}.") from None
    return raw if isinstance(raw, dict) else None


def _localized(raw, path):
    """The parameters ``raw`` with this machine's folders of data, from the file ``path``."""
    here, data = _read(path) or {}, raw.get("data")
    known = data.get("datasets") if isinstance(data, dict) else None
    own = here.get("data")
    sets = own.get("datasets") if isinstance(own, dict) and len(own) == 1 else None
    if here and (len(here) > 1 or not isinstance(sets, dict)):
        raise UserError(f"{path} may change data.datasets and nothing else: write other values into params.yaml.")
    for name, changed in (sets or {}).items():
        where = f"{path}: data.datasets.{name}"
        if not isinstance(known, dict) or not isinstance(known.get(name), dict):
            raise UserError(f"{where} is not a set of params.yaml{nearest(name, known or ())}")
        if not isinstance(changed, dict) or set(changed) - {*LOCAL_KEYS}:
            raise UserError(f"{where} may change {', '.join(LOCAL_KEYS)} and nothing else.")
        known[name] |= changed
    return raw


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # the former is many times as fast
    """Refuses a key that stands twice in a mapping; PyYAML takes the last one silently."""

    def __init__(self, content):
        super().__init__(content)
        self.checked = set()

    def flatten_mapping(self, node):
        known = {}
        for key, _ in () if node in self.checked else node.value:
            first = known.setdefault((key.tag, str(key.value)), key)
            if first is not key:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value!r} stands in line {first.start_mark.line + 1} already, so remove one",
                    problem_mark=key.start_mark,
                )
        self.checked.add(node)  # merging may add keys of other mappings, which its own keys override
        super().flatten_mapping(node)


@functools.lru_cache(maxsize=20)
def _parse(content):
    return yaml.load(content, _Loader)


def overlay(base, over, where, inner=False):
    """``base`` with the values of ``over``; raises UserError for a key that ``base`` lacks.

    Mappings under `OWN_KEYS` are replaced entirely. Null can replace a parameter but not a section.
    """
    if not isinstance(over, dict):
        raise UserError(f"{where} must be parameters to change, as `section: {{name: value}}`, not {over!r}.")
    for key in over:
        if key not in base:
            raise UserError(f"{where}.{key} is not a parameter{nearest(key, base)}")
    return {
        key: overlay(value, over[key], f"{where}.{key}", inner=True)
        if key in over and isinstance(value, dict) and key not in OWN_KEYS and not (inner and over[key] is None)
        else over.get(key, value)
        for key, value in base.items()
    }
