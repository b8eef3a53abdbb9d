"""Read ``params.yaml`` and override values in it, before validation."""

import copy
import functools
from pathlib import Path

import yaml

from aurl import UserError
from aurl.project.config.sentences import nearest, shown

OWN_KEYS = ("datasets", "sweeps")  # in a section, whose keys are no parameters


LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the former is many times as fast


def read(path):
    """The content of a parameter file, a dict. Raises UserError if it cannot be read or is not YAML."""
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
    if not isinstance(raw, dict):
        raise UserError(f"{path} holds no parameters: restore it with `git checkout {path}`.")
    return raw


@functools.lru_cache(maxsize=20)
def _parse(content):
    loader = LOADER(content)
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        _check_keys(root, set())
        return loader.construct_document(root)
    finally:
        loader.dispose()


def _check_keys(node, done):
    """Refuse a key that stands twice in a mapping; PyYAML takes the last one silently."""
    if isinstance(node, yaml.ScalarNode) or node in done:
        return
    done.add(node)  # an alias gives the same node again
    known = {}
    for child in node.value:
        if isinstance(node, yaml.MappingNode):
            key, child = child
            name = (key.tag, str(key.value))
            if name in known:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value!r} stands in line {known[name].line + 1} already, so remove one",
                    problem_mark=key.start_mark,
                )
            known[name] = key.start_mark
        _check_keys(child, done)


def overlay(base, over, where, inner=False):
    """``base`` with the values of ``over``; a key must exist in ``base``, so that a slip cannot go unseen.

    What is under `OWN_KEYS` is replaced as a whole, and null takes the place of any parameter, though of no section.
    """
    if not isinstance(over, dict):
        raise UserError(f"{where} must be parameters to change, as `section: {{name: value}}`, not {over!r}.")
    for key in over:
        if key not in base:
            raise UserError(f"{where}.{shown(key)} is not a parameter{nearest(key, base)}")
    return {
        key: overlay(value, over[key], f"{where}.{key}", inner=True)
        if key in over and isinstance(value, dict) and key not in OWN_KEYS and not (inner and over[key] is None)
        else over.get(key, value)
        for key, value in base.items()
    }
