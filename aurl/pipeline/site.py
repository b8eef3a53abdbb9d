"""The report as a site of static pages, from the executed notebooks and all documents: the stage ``site``.

    python -m aurl.pipeline.site

lays sources for Sphinx out and builds ``build/site`` from them. Pages need no network and no server: open
``build/site/index.html`` in a browser. Every document keeps its place, so that its links stay as they are. What they
point to and is no document becomes a page or a file of the site, too.
"""

import argparse
import ast
import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from aurl import UserError
from aurl.pipeline import front_page
from aurl.project import config, paths
from aurl.project.files import unwritable, write_bytes

LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")
OUTSIDE = re.compile(r"[a-z]+:|#")  # a link that is none to a file
LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml", ".sh": "bash", "Makefile": "make"}
SHOWN = {*LANGUAGES, ".cff", ".lock", ".txt", "LICENSE", "run"}  # as pages of source; other files are copied
UNWRITTEN = ("error writing file", "Failed to copy a file")  # warnings of Sphinx, which goes on without the file
METHOD = ["losses", "generator", "metrics", "models", "backbones"]  # what comes first in the reference
SETTINGS = {
    "project": "AURL, replicated",
    "extensions": [
        "myst_nb",
        "sphinx.ext.autodoc",
        "sphinx.ext.napoleon",
        "sphinx.ext.viewcode",
        "aurl.pipeline.mathml",
    ],
    "html_theme": "furo",
    "html_title": "AURL, replicated",
    "html_static_path": [str(Path(__file__).with_name("site.css"))],
    "html_css_files": ["site.css"],
    "html_extra_path": ["_files"],
    "exclude_patterns": ["_files", "_shown"],
    "html_math_renderer": "mathml",
    "html_copy_source": False,
    "html_show_copyright": False,
    "html_show_sphinx": False,
    "pygments_style": "friendly",
    "default_role": "py:obj",  # a name between single backticks in a docstring
    "autodoc_member_order": "bysource",
    "autodoc_preserve_defaults": True,
    "autodoc_typehints": "none",  # the signature has them
    "toc_object_entries_show_parents": "hide",
    "myst_enable_extensions": ["amsmath", "dollarmath"],
    "myst_heading_anchors": 4,
    "nb_execution_mode": "off",
    "nb_ipywidgets_js": {},  # scripts from elsewhere
    "suppress_warnings": [
        "toc.not_included",
        "misc.highlighting_failure",
        "mystnb.unknown_mime_type",
    ],  # an output of shell; a widget
}


def main():
    warnings = build(Path(), paths.SITE)
    if warnings:
        print(warnings, file=sys.stderr, end="")


def build(root, target):
    """Make the site of the project ``root`` in the folder ``target``, and return Sphinx's warnings.

    Raises UserError where nothing can be written.
    """
    from io import StringIO

    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    warnings = StringIO()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".site-", dir=target.parent) as work:
            sources, pages, trees = (Path(work).resolve() / name for name in ("sources", "site", "trees"))
            Sources(root, sources).lay_out()
            with patch_docutils(), docutils_namespace():
                options = {"status": None, "warning": warnings, "freshenv": True}
                Sphinx(sources, None, pages, trees, "html", SETTINGS, **options).build(force_all=True)
            if any(sentence in warnings.getvalue() for sentence in UNWRITTEN):
                raise OSError(0, "a page or a file of it was not")
            for left in (".buildinfo", ".nojekyll", "objects.inv"):  # for other programs than a browser
                (pages / left).unlink(missing_ok=True)
            shutil.rmtree(pages / "_sources", ignore_errors=True)
            shutil.rmtree(target, ignore_errors=True)
            os.replace(pages, target)
    except OSError as error:
        raise unwritable(target, error) from None
    return re.sub(r"\x1b\[[\d;]*m", "", warnings.getvalue()).replace(f"{sources}/", "")


class Sources:
    """The pages that Sphinx reads, of the project ``root`` in ``folder``, laid out as the project is."""

    def __init__(self, root, folder):
        self.root, self.folder, self.pages = Path(root), Path(folder), set()
        self.chapters = self._chapters()
        (self.folder / "_files").mkdir(parents=True)

    def lay_out(self):
        """Write all pages, each found from the front page, and every file that they show."""
        top = sorted(path.name for path in self.root.glob("*.md"))
        docs = sorted(path.relative_to(self.root).as_posix() for path in self.root.glob("docs/*.md"))
        main, others = self.chapters
        for path in [*top, *docs, *main, *others]:
            self._page(path)
        studies = front_page.studies(self.root)
        self._write("chapters.md", _contents("Chapters", {"The pipeline's": main, "Other runs and studies": others}))
        self._write("results.md", self._linked(studies, Path("results.md")))
        self._reference()
        first = [name for name in ("README.md", "DATA.md", "MODEL_CARD.md") if name in top]
        listed = [
            *first,
            "chapters.md",
            "results.md",
            *docs,
            *(name for name in top if name not in first),
            "api/index.md",
        ]
        front = self._linked(front_page.front_page(self.root), Path("index.md"))
        self._write("index.md", front + _tree(listed, hidden=True))

    def _chapters(self):
        """Executed notebooks: those of the first run, and the others. Each is a title by path."""
        run = config.load(self.root / "params.yaml", sections=["run"]).run
        first = f"-{run.variants[0]}-{run.seeds[0]}"
        main, others = {}, {}
        for path in sorted(
            [*self.root.glob("reports/notebooks/*.ipynb"), *self.root.glob("reports/ablations/*/*.ipynb")]
        ):
            name = path.relative_to(self.root).as_posix()
            cells = json.loads(path.read_text())["cells"]
            title = "".join(cells[0]["source"]).splitlines()[0].lstrip("# ")
            of = path.parent.name if "ablations" in path.parts else path.stem.partition("-")[2]
            within = "ablations" not in path.parts and (not of or path.stem.endswith(first))
            (main if within else others)[name] = f"{title} ({of})" if of else title
        return main, others

    def _reference(self):
        """Write a page for each module, and one that says of each what it is for."""
        groups = {"The method": {}, "The package": {}}
        for path in sorted((self.root / "aurl").rglob("*.py"), key=_method_first):
            module = ".".join(path.relative_to(self.root).with_suffix("").parts).removesuffix(".__init__")
            options = "   :members:\n   :ignore-module-all:\n"
            self._write(f"api/{module}.md", f"# {module}\n\n```{{eval-rst}}\n.. automodule:: {module}\n{options}```\n")
            of = module if path.name == "__init__.py" else module.rpartition(".")[0]
            group = "The method" if path.stem in METHOD else "The package" if of == "aurl" else of
            first = (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n\n")[0].replace("``", "`")
            groups.setdefault(group, {})[module] = " ".join(first.split())
        parts = ["# Reference"]
        for title, modules in groups.items():
            parts += [
                f"## {title}",
                "\n".join(f"- [`{name}`](/api/{name}.md): {text}" for name, text in modules.items()),
            ]
        pages = {f"api/{name}.md": name for modules in groups.values() for name in modules}
        self._write("api/index.md", "\n\n".join(parts) + "\n" + _tree(pages, hidden=True))

    def _page(self, name):
        """Write the page of a document, a notebook or a file of source, with all that it points to."""
        if name in self.pages:
            return
        self.pages.add(name)
        path = self.root / name
        if path.suffix == ".ipynb":
            notebook = json.loads(path.read_text())
            notebook["metadata"] = {"language_info": {"name": "python", "pygments_lexer": "ipython3"}}
            for cell in notebook["cells"]:
                if cell["cell_type"] == "markdown":
                    cell["source"] = self._linked("".join(cell["source"]), Path(name), base=Path("notebooks/x.ipynb"))
            self._write(name, json.dumps(notebook))
        elif path.suffix == ".md":
            text = path.read_text()
            if not text.lstrip().startswith("# "):  # a generated table
                text = f"# {path.stem.replace('_', ' ').capitalize()}\n\n{text}"
            self._write(name, self._linked(text, Path(name)))
        else:
            write_bytes(self.folder / "_shown" / name, path.read_bytes())
            language = LANGUAGES.get(path.suffix or path.name, "text")
            shown = f"```{{literalinclude}} /_shown/{name}\n:language: {language}\n```\n"
            self._write(f"{name}.md", f"# {name}\n\n{shown}")

    def _linked(self, text, page, base=None):
        """``text`` of the page ``page``, written for the place ``base``, with links to the site's pages and files."""

        def replace(found):
            mark, shown, target = found.groups()
            if OUTSIDE.match(target):
                return found[0]
            file, _, anchor = target.partition("#")
            name = os.path.normpath((base or page).parent / file)
            place = self._place(name, picture=bool(mark))
            if place is None:
                return shown
            if place.startswith("_files/"):
                here = os.path.relpath(place.removeprefix("_files/"), page.parent)
                code = re.sub("`([^`]+)`", r"<code>\1</code>", shown)
                return f'<a href="{here}">{code}</a>'
            return f"{mark}[{shown}](/{place}{'#' + anchor if anchor else ''})"

        return LINK.sub(replace, text)

    def _place(self, name, picture):
        """Where the sources have the file ``name``, which is brought there, or None for a folder of no one page."""
        path = self.root / name
        if name.startswith("notebooks"):
            stem = Path(name).stem
            executed = [chapter for chapter in self.chapters[0] if Path(chapter).stem.startswith(stem)]
            return executed[0] if executed else "chapters.md"
        if name.startswith("aurl") and (path.is_dir() or path.suffix == ".py"):
            module = ".".join(Path(name).with_suffix("").parts).removesuffix(".__init__")
            return "api/index.md" if name == "aurl" else f"api/{module}.md"
        if name.startswith("reports/ablations") and path.is_dir():
            return "results.md"
        if not path.is_file():
            return None
        if picture:
            write_bytes(self.folder / name, path.read_bytes())
            return name
        if path.suffix in (".md", ".ipynb"):
            self._page(name)
            return name
        if path.suffix in SHOWN or path.name in SHOWN:
            self._page(name)
            return f"{name}.md"
        write_bytes(self.folder / "_files" / name, path.read_bytes())
        return f"_files/{name}"

    def _write(self, name, text):
        write_bytes(self.folder / name, text.encode())


def _method_first(path):
    """A key that sorts modules: those of the method in their order, then by name."""
    return METHOD.index(path.stem) if path.stem in METHOD else len(METHOD), path.as_posix()


def _contents(title, groups):
    """A page that lists other pages, each group under a heading."""
    parts = [f"# {title}\n"]
    for heading, pages in groups.items():
        if pages:
            parts.append(f"## {heading}\n" + _tree(pages))
    return "\n".join(parts)


def _tree(pages, hidden=False):
    """Sphinx's list of pages, of paths or of titles by path."""
    titles = pages if isinstance(pages, dict) else {}
    lines = [f"{titles[page]} </{page}>" if page in titles else f"/{page}" for page in pages]
    return "\n```{toctree}\n:maxdepth: 1\n" + (":hidden:\n" if hidden else "") + "\n".join(["", *lines]) + "\n```\n"


if __name__ == "__main__":
    argparse.ArgumentParser(prog="python -m aurl.pipeline.site", description=__doc__.splitlines()[0]).parse_args()
    try:
        main()
    except UserError as error:
        sys.exit(f"aurl: {error}")
