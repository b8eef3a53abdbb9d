"""The report: a small project's pages are complete, and every link, picture, formula and script in them works.

`.ci/run` checks the report of the whole project in the same way, with ``python tests/helpers/browsing.py build/site``.
"""

import os
import re
import runpy
import shutil
from pathlib import Path

import browsing
import disk
import nbformat
import pytest
import yaml
from forked import forked
from PIL import Image
from project import ROOT
from sphinx.cmd.build import build_main

pytestmark = pytest.mark.filterwarnings("ignore:.*deprecated")  # what Sphinx tells its extensions
STAGE = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["site"]
README = """# A title

See [equations](docs/equations.md#one), [`losses`](aurl/losses.py), [parameters](params.yaml), [the tests](tests),
[a chapter](notebooks/03_train.ipynb) and [the front page](docs/index.md).

![A picture](reports/figures/figure1.png)
"""
INDEX = """# Front page

<iframe class="sphere" src="figure1.html" title="Classes on a sphere"></iframe>

```{toctree}
:caption: Read
:glob:

readme
chapters/*
equations
reference
```
"""
EQUATIONS = r"""# Equations

## One

| equation | where |
|---|---|
| $\frac1N \sum_i \log \hat v_i$ | [here](../aurl/losses.py) |

$$\hat y = \arg\max_c v_c$$
"""


def notebook(path, title, picture):
    output = nbformat.v4.new_output("display_data", {"image/png": picture, "text/plain": "<Figure>"})
    cells = [
        nbformat.v4.new_markdown_cell(f"# {title}\n\nSee [equations](../docs/equations.md), where $x$ is."),
        nbformat.v4.new_code_cell("draw(1)", outputs=[output]),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with the configuration of this one, a document, two chapters and one module's reference."""
    folder = tmp_path_factory.mktemp("project")
    texts = {
        "README.md": README,
        "docs/index.md": INDEX,
        "docs/equations.md": EQUATIONS,
        "docs/reference.md": "# Reference\n\n```{modules} aurl.losses aurl.figures\n```\n",
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "reports/figures").mkdir(parents=True)
    for name in ("docs/conf.py", "docs/site.css", "params.yaml", "reports/figures/figure1.html"):
        shutil.copy(ROOT / name, folder / name)
    for name in ("docs/chapters", "docs/readme.md"):
        (folder / name).symlink_to((ROOT / name).readlink())
    (folder / "aurl").symlink_to(ROOT / "aurl")
    Image.new("RGB", (900, 300), "white").save(folder / "reports/figures/figure1.png")
    picture = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
    for stem in ("03_train-aurl-0", "03_train-e2e-0"):
        notebook(folder / f"reports/notebooks/{stem}.ipynb", "3. Train", picture)
    return folder


@pytest.fixture(scope="module")
def built(project):
    """The pages of that project, and the file of Sphinx's warnings."""
    return build(project, project / "build/site")


def build(project, target):
    options = ["-qE", "-d", f"{target}.trees", "-w", f"{target}.log"]
    assert build_main([*options, str(project / "docs"), str(target)]) == 0
    return target, Path(f"{target}.log")


def test_no_page_has_a_fault(built):
    pages, log = built
    assert log.read_text() == "" and browsing.faults(pages) == []


def test_links_lead_to_pages_of_the_report(built):
    text = (built[0] / "readme.html").read_text()
    places = ["equations.html#one", "reference.html#module-aurl.losses", "chapters/03_train-aurl-0.html", "index.html"]
    assert all(f'href="{place}"' in text for place in places)
    assert "the tests" in text and 'href="tests' not in text and re.search(r'href="_downloads/\w+/params.yaml"', text)
    assert 'href="../equations.html"' in (built[0] / "chapters/03_train-aurl-0.html").read_text()


def test_chapters_are_titled_with_their_variant(built):
    text = (built[0] / "index.html").read_text()
    for title in ("3. Train: aurl, seed 0", "3. Train: e2e, seed 0"):
        assert title in text
    assert 'id="aurl.losses.contrastive"' in (built[0] / "reference.html").read_text()


def test_formulas_need_no_script_and_what_cannot_be_one_is_named(project, built, tmp_path):
    text = (built[0] / "equations.html").read_text()
    assert text.count("<math") == 2 and "mathjax.js" not in text.lower() and "tex-mml" not in text
    docs = shutil.copytree(project / "docs", tmp_path / "docs", ignore=lambda *_: ["chapters", "readme.md"])
    (docs / "equations.md").write_text("# Equations\n\n$x_1_2$\n")
    _, log = build(tmp_path, tmp_path / "site")
    assert "equations.md:3: WARNING: cannot convert x_1_2" in log.read_text()


def test_a_second_build_gives_the_same_bytes_without_paths_or_processor(project, built, tmp_path):
    build(project, tmp_path / "site")
    first, second = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (built[0], tmp_path / "site")
    )
    assert first == second
    assert not [path for path, data in first.items() if str(project).encode() in data or b"x86_64" in data]


def test_the_file_that_dvc_tracks_changes_with_the_sources(project, built, tmp_path):
    docs = shutil.copytree(project / "docs", tmp_path / "docs", ignore=lambda *_: ["chapters", "readme.md"])
    signs = []
    for text in ("# Equations\n", "# Equations\n\nAnother.\n"):
        (docs / "equations.md").write_text(text)
        site, _ = build(tmp_path, tmp_path / f"site{len(signs)}")
        signs.append((site / ".nojekyll").read_text())
    assert len(signs[0]) == 64 and len({*signs, (built[0] / ".nojekyll").read_text()}) == 3


@pytest.mark.parametrize("kilobytes", [10, 60])  # too little for Sphinx's own files, and for those of the pages
def test_a_full_disk_leaves_the_report_that_was_there(built, project, kilobytes):
    before = {path: path.read_bytes() for path in built[0].rglob("*") if path.is_file()}
    program, *arguments = STAGE["cmd"][0].split()

    def built_anew():
        os.chdir(project)
        with disk.full_at(1024 * kilobytes):
            return build_main(arguments)

    status, said = forked(built_anew)
    assert program == "sphinx-build" and status and "File too large" in said  # so no later command of the stage runs
    assert before == {path: path.read_bytes() for path in built[0].rglob("*") if path.is_file()}


def test_stage_depends_on_every_file_that_the_report_shows():
    conf = runpy.run_path(str(ROOT / "docs/conf.py"))
    documents = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/*/*.md")]
    shown = {path.resolve() for path in documents}
    for path in documents:
        targets = [link[2] for link in conf["LINK"].findall(path.read_text())]
        shown |= {path.resolve().parent.joinpath(target).resolve() for target in targets}
    names = {path.relative_to(ROOT) for path in shown if path.is_file()} - {Path("dvc.yaml")}  # no stage may name it
    names = {name for name in names if name.parts[0] != "notebooks"}  # executed ones take their place
    assert {Path("README.md"), Path("docs/equations.md"), Path("params.yaml")} <= names
    assert [name for name in names if not any(name.is_relative_to(dep) for dep in STAGE["deps"])] == []


def test_reference_has_every_package_once():
    """A page names modules of the method, or packages, whose modules come by themselves."""
    named = re.findall(r"^```{modules} (.+)$", "\n".join(p.read_text() for p in ROOT.glob("docs/reference/*.md")), re.M)
    named = [name for line in named for name in line.split()]
    packages = {path.stem for path in (ROOT / "aurl").iterdir() if (path / "__init__.py").exists()}
    modules = {path.stem for path in (ROOT / "aurl").glob("*.py")} - {"__init__"}
    assert sorted(named) == sorted(f"aurl.{name}" for name in packages | modules)


# --- the checks themselves, and the browser -----------------------------------------------------------


def test_faults_are_found(tmp_path):
    (tmp_path / "b.html").write_text("<p id=here>")
    (tmp_path / "a.html").write_text(
        '<a href="b.html#here">fine</a> <a href="b.html#there">no</a> <a href="c.html">no</a> <img src="d.png">'
        '<script src="https://example.org/x.js"></script> <a href="https://example.org">fine</a>'
    )
    (tmp_path / "s.css").write_text("@font-face { src: url('//example.org/f.woff') }")
    assert [fault.split()[0:3] for fault in browsing.faults(tmp_path)] == [
        ["a.html", "points", "to"],
        ["a.html", "points", "to"],
        ["a.html", "points", "to"],
        ["a.html", "loads", "https://example.org/x.js"],
        ["s.css", "loads", "//example.org/f.woff"],
    ]


@pytest.fixture(scope="module")
def chromium():
    if not browsing.chromium():
        pytest.skip("no Chromium is installed")
    with browsing.browser() as driven:
        yield driven


@pytest.mark.parametrize(("window", "theme"), [(browsing.PHONE, "dark"), (browsing.DESK, "light")])
def test_pages_open_without_a_fault(built, chromium, window, theme):
    for page in ("index.html", "equations.html", "chapters/03_train-aurl-0.html", "reference.html"):
        assert chromium.open(built[0] / page, window, theme) == [], page
        lightness = chromium.evaluate("parseInt(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])")
        assert (lightness < 60) == (theme == "dark")


def test_sphere_on_the_front_page_turns(built, chromium):
    chromium.open(built[0] / "index.html")
    x, y = chromium.show("iframe.sphere")
    before = chromium.picture()
    chromium.drag(x, y, 80)
    assert chromium.picture() != before


def test_browser_notices_errors_and_what_is_not_drawn(tmp_path, chromium):
    (tmp_path / "bad.html").write_text(
        "<article><img src=no.png><div style='width: 3000px'>wide</div></article><script>nosuch()</script>"
    )
    said = chromium.open(tmp_path / "bad.html")
    assert any("no picture" in fault for fault in said) and any("wider than the window" in fault for fault in said)
    assert any("nosuch is not defined" in fault for fault in said)
