"""Formulas as MathML, which browsers draw without a script: an extension of Sphinx for `aurl.pipeline.site`."""

import html
import re

from docutils.nodes import SkipNode
from latex2mathml.converter import convert
from sphinx.util import logging

logger = logging.getLogger(__name__)
NAMED = r"<mi>([a-z]{2,})</mi>"  # a function such as log, which needs space around it
THIN = "0.167em"


def mathml(latex, display="inline"):
    """A formula as one element. Raises ValueError for LaTeX that cannot be read.

    >>> mathml("x")[-30:]
    '<mrow><mi>x</mi></mrow></math>'
    """
    latex = latex.replace(r"\arg", r"\operatorname{arg}")
    if display == "block" and r"\\" in latex and r"\begin" not in latex:
        latex = rf"\begin{{aligned}}{latex}\end{{aligned}}"
    try:
        drawn = convert(latex, display=display)
    except Exception as error:  # the package has a type for each mistake, and an IndexError for some
        raise ValueError(f"{latex} cannot be read ({type(error).__name__})") from error
    if unknown := re.search(r"\\\w+", drawn):
        raise ValueError(f"{latex} has {unknown[0]}, which is not known")
    drawn = re.sub(NAMED + "(?=<mo)", rf'<mo lspace="{THIN}" rspace="0">\1</mo>', drawn)
    return re.sub(NAMED, rf'<mo lspace="{THIN}" rspace="{THIN}">\1</mo>', drawn)


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
