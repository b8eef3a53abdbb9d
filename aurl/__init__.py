"""AURL: alignment-uniformity aware representation learning for zero-shot video classification.

Pu, Zhao and Zheng, CVPR 2022 (arXiv 2203.15381). Start reading at ``aurl.losses``: the method is
there in one page; ``aurl.models`` has the two encoders and ``aurl.generator`` the synthetic classes.
"""

__version__ = "0.1.0"


class UserError(Exception):
    """A mistake that the user can fix; its text is one sentence that names the thing and the fix."""
