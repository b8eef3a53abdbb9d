"""Formulas as MathML, which browsers draw without a script: an extension of Sphinx for `aurl.pipeline.site`."""

import html

from docutils.nodes import SkipNode
from latex2mathml.converter import convert
from sphinx.util import logging

logger = logging.getLogger(__name__)


def mathml(latex, display="inline"):
    """A formula as one element. Raises ValueError for LaTeX that cannot be read.

    >>> mathml("x")[-39:]
    'display="inline"><mi>x</mi></math>'
    """
    if display == "block" and r"\\" in latex and r"\begin" not in latex:
        latex = rf"\begin{{aligned}}{latex}\end{{aligned}}"
    try:
        return convert(latex, display=display)
    except Exception as error:  # the package has a type for each mistake, and an IndexError for some
        raise ValueError(f"{latex} cannot be read: {error or type(error).__name__}") from error


def setup(app):
    """Called by Sphinx."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _inline(translator, node):
    _write(translator, node, "inline", '<span class="math">{}</span>')


def _block(translator, node):
    _write(translator, node, "block", '<div class="math">{}</div>\n')


def _write(translator, node, display, around):
    try:
        drawn = mathml(node.astext(), display)
    except ValueError as error:
        logger.warning("%s", error, location=node)
        drawn = f"<code>{html.escape(node.astext())}</code>"
    translator.body.append(around.format(drawn))
    raise SkipNode
