"""AURL: alignment-uniformity aware representation learning for zero-shot video classification.

Pu, Zhao and Zheng, CVPR 2022 (arXiv 2203.15381). Start reading at ``aurl.losses``: the method is
there in one page; ``aurl.models`` has the two encoders and ``aurl.generator`` the synthetic classes.
``aurl.load`` loads a trained model.
"""

import importlib

__version__ = "0.1.0"


class UserError(Exception):
    """A mistake that the user can fix; its text is one sentence that names the thing and the fix."""


def __getattr__(name: str) -> object:
    """`load`, `save_pretrained` and `push_to_hub`, imported when they are used; the method needs none of it."""
    if name in ("load", "save_pretrained", "push_to_hub"):
        return getattr(importlib.import_module("aurl.training.pretrained"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
