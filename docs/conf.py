"""The report as a Sphinx project: ``sphinx-build docs build/site`` turns documents, chapters and docstrings into pages.

Pages open without a network or a server. ``chapters`` is a link to the executed notebooks, and some documents here are
links to files at the project's root. Links between files work in the repository; `adapt` points them to pages.
"""

import hashlib
import json
import logging
import os
import pkgutil
import re
import sys
from html import escape
from importlib import import_module
from pathlib import Path

from docutils.nodes import SkipNode
from latex2mathml.converter import convert
from sphinx.errors import SphinxError
from sphinx.util.docutils import SphinxDirective
from sphinx.util.logging import getLogger

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path.insert(0, str(ROOT))

project = html_title = "AURL, replicated"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "sphinx.ext.githubpages"]
myst_enable_extensions = ["amsmath", "dollarmath"]
myst_heading_anchors = 4
nb_execution_mode = "off"
nb_ipywidgets_js = {}  # no scripts from other sites
default_role = "py:obj"  # `name` in a docstring
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "none"  # signatures show them
toc_object_entries_show_parents = "hide"
html_theme = "furo"
html_static_path = html_css_files = ["site.css"]
html_extra_path = ["../reports/figures/figure1.html"]
html_math_renderer = "mathml"
html_copy_source = html_show_copyright = html_show_sphinx = False
pygments_style = "friendly"
suppress_warnings = ["toc.not_included", "toc.excluded", "misc.highlighting_failure", "mystnb.unknown_mime_type"]

LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!\w+:|#)([^()\s#]+)(#[^()\s]+)?\)")  # to a file


def setup(app):
    app.connect("source-read", adapt)
    app.connect("build-finished", sign)
    app.add_directive("modules", Modules)
    app.add_html_math_renderer("mathml", (write_formula, None), (write_formula, None))
    logging.getLogger("sphinx").addHandler(FullDisk())
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def sign(app, error):
    """Write a digest of the sources into the file that DVC tracks, so that it notices a report of other sources."""
    if error:
        return
    pictures = [path for path in map(DOCS.joinpath, app.env.images) if path.resolve().is_relative_to(ROOT / "reports")]
    sources = {*map(app.env.doc2path, app.env.found_docs), *pictures, *(ROOT / "aurl").rglob("*.py")}
    digests = sorted(hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in sources)
    Path(app.outdir, ".nojekyll").write_text(hashlib.sha256("".join(digests).encode()).hexdigest())


def adapt(app, docname, source):
    """Point the links of a page to other pages, and title an executed notebook by its variant."""
    path = Path(app.env.doc2path(docname)).resolve()
    places = {Path(app.env.doc2path(name)).resolve(): name for name in sorted(app.env.found_docs)}
    chapters = sorted(name for name in app.env.found_docs if name.startswith("chapters/"))
    base = ROOT / "notebooks" if path.suffix == ".ipynb" else path.parent  # where links begin

    def point(link):
        mark, shown, file, anchor = link.groups()
        target = Path(os.path.normpath(base / file))
        executed = [name for name in chapters if name.startswith(f"chapters/{target.stem}")]
        page = executed[0] if target.parent == ROOT / "notebooks" and executed else places.get(target.resolve())
        if page:
            href = os.path.relpath(page, os.path.dirname(docname) or ".") + f".html{anchor or ''}"
            shown = re.sub("`([^`]+)`", r"<code>\1</code>", shown)
            return f'<a href="{href}">{shown}</a>'
        if target.is_relative_to(ROOT / "aurl") and (target.suffix == ".py" or (target / "__init__.py").exists()):
            module = ".".join(target.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            return f"{{py:mod}}`{shown.replace('`', '')} <{module}>`"
        if target.suffix in ("", ".md") or not target.is_file():  # a folder, or a document without a page
            return shown
        return f"{mark}[{shown}]({os.path.relpath(target, Path(app.srcdir, docname).parent)})"

    if path.suffix != ".ipynb":
        source[0] = LINK.sub(point, source[0])
        return
    notebook = json.loads(source[0])
    notebook["metadata"] = {"language_info": {"name": "python", "pygments_lexer": "ipython3"}}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = LINK.sub(point, "".join(cell["source"]))
    first = notebook["cells"][0]
    first["source"] = re.sub("^# (.+)", lambda found: f"# {title(docname, found[1])}", first["source"])
    source[0] = json.dumps(notebook)


def title(docname, own):
    """The title of an executed notebook.

    >>> title("chapters/03_train-aurl-0", "3. Train")
    '3. Train: aurl, seed 0'
    """
    name = docname.split("/")[-1]
    variant, _, seed = name.partition("-")[2].rpartition("-")
    return f"{own}: {variant}, seed {seed}" if variant else own


class Modules(SphinxDirective):
    """``{modules} PACKAGE``: the documentation of a package and of all modules in it, or of the modules named."""

    required_arguments, final_argument_whitespace = 1, True

    def run(self):
        names = []
        for name in self.arguments[0].split():
            folders = getattr(import_module(name), "__path__", [])
            names += [name, *(module.name for module in pkgutil.walk_packages(folders, f"{name}."))]
        block = "## {0}\n\n```{{eval-rst}}\n.. automodule:: {0}\n   :members:\n   :ignore-module-all:\n```\n"
        return self.parse_text_to_nodes("\n".join(map(block.format, names)), allow_section_headings=True)


def write_formula(translator, node):
    """Write a formula as MathML, which browsers draw without a script, or else as code."""
    display, tag = ("block", "div") if node.tagname == "math_block" else ("inline", "span")
    latex = node.astext().replace(r"\arg", r"\operatorname{arg}")
    try:
        formula = convert(rf"\begin{{aligned}}{latex}\end{{aligned}}" if r"\\" in latex else latex, display=display)
    except Exception as error:  # the package has no common class
        getLogger(__name__).warning("cannot convert %s (%s)", latex, type(error).__name__, location=node)
        formula = f"<code>{escape(latex)}</code>"
    functions = re.sub("<mi>([a-z]{2,})</mi>", r'<mo lspace="0.167em" rspace="0.167em">\1</mo>', formula)
    translator.body.append(f'<{tag} class="math">{functions}</{tag}>')
    raise SkipNode


class FullDisk(logging.Handler):
    """Ends the build if a page or a file cannot be written; Sphinx itself only warns."""

    def emit(self, record):
        if str(record.msg).startswith(("error writing file", "Failed to copy a file")):
            raise SphinxError(f"the report cannot be written: make room on the disk ({record.getMessage()})")
