"""The report as a site: a small project's pages have what they should, and every link, picture and script works.

`.ci/run` checks the whole site in the same way, with ``python tests/helpers/browsing.py build/site``.
"""

import json
import re
import resource
import shutil
from pathlib import Path

import browsing
import nbformat
import numpy as np
import pytest
import yaml
from PIL import Image

from aurl import UserError
from aurl.figures.paper import sphere_page
from aurl.pipeline import front_page, mathml, site

pytestmark = pytest.mark.filterwarnings("ignore:.*deprecated")  # what Sphinx tells its extensions
ROOT = Path(__file__).parents[2]
README = """# A title

What it is. [Elsewhere](https://example.org).

See [equations](docs/equations.md#one), [`losses`](aurl/project/files.py), [parameters](params.yaml), [the
tests](tests),
[a chapter](notebooks/03_train.ipynb), [`rows`](reports/tables/rows.csv), [the page](reports/figures/figure1.html) and
[more](reports/ablations).

![A picture](reports/figures/figure1.png)

## How long it takes
"""
EQUATIONS = r"""# Equations

## One

| equation | where |
|---|---|
| $\frac1N \sum_i \log \hat v_i$ | [here](../aurl/project/files.py) |

$$\hat y = \arg\max_c v_c$$
"""
CLAIMS = "| claim | verdict |\n|---|---|\n| it helps | **undecided** |\n"


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
    """A project with a document, two chapters, one module and some results."""
    folder = tmp_path_factory.mktemp("project")
    picture = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
    for name in ("params.yaml", "params.paper.yaml", "aurl/project/files.py", "aurl/__init__.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    rng = np.random.default_rng(0)
    points = rng.normal(size=(6, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    panel = {"video": points, "classes": points[:2], "labels": np.arange(6) % 2}
    texts = {
        "README.md": README,
        "docs/equations.md": EQUATIONS,
        "reports/ablations/verbs-claims.md": CLAIMS,
        "reports/tables/ablations.md": "| variant | top-1 % |\n|---|---|\n| aurl | 12.2 |\n",
        "reports/tables/durations.md": "| minutes | here |\n|---|---|\n| all | 7.6 |\n",
        "reports/tables/rows.csv": "a,b\n",
        "reports/figures/figure1.html": sphere_page({"aurl": panel}, ["one", "two"]),
        "runs/aurl-0/model.json": json.dumps({"arithmetic": {"device": "cpu", "precision": "bf16"}}),
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    Image.new("RGB", (900, 300), "white").save(folder / "reports/figures/figure1.png")
    for stem in ("01_prepare_data", "03_train-aurl-0", "03_train-e2e-0"):
        notebook(folder / f"reports/notebooks/{stem}.ipynb", stem[3:].partition("-")[0].capitalize(), picture)
    return folder


@pytest.fixture(scope="module")
def built(project):
    """The pages of that project, and what Sphinx warned of."""
    target = project / "build/site"
    return target, site.build(project, target)


def test_no_page_has_a_fault(built):
    pages, warnings = built
    assert warnings == "" and browsing.faults(pages) == []


def test_front_page_has_claims_figure_sphere_and_how_it_was_run(built):
    text = (built[0] / "index.html").read_text()
    assert "What it is." in text and "it helps" in text and "12.2" in text and "7.6" in text
    assert 'src="_images/figure1.png"' in text and '<iframe class="sphere" src="reports/figures/figure1.html"' in text
    assert "precision: bf16" in text and "clip.frames" in text and "AVX" in front_page.devices.processor()


def test_links_lead_to_pages_or_files_of_the_site(built):
    text = (built[0] / "README.html").read_text()
    places = ["docs/equations.html#one", "api/aurl.project.files.html", "params.yaml.html", "results.html"]
    places += ["reports/notebooks/03_train-aurl-0.html", "reports/tables/rows.csv", "reports/figures/figure1.html"]
    assert all(f'href="{place}"' in text for place in places)
    assert "the tests" in text and 'href="tests' not in text
    assert "epochs" in (built[0] / "params.yaml.html").read_text()
    assert 'href="../../docs/equations.html"' in (built[0] / "reports/notebooks/03_train-aurl-0.html").read_text()


def test_chapters_and_reference_are_listed(built):
    chapters = (built[0] / "chapters.html").read_text().partition("<article")[2]
    assert chapters.index("Train (aurl-0)") < chapters.index("Other runs") < chapters.index("Train (e2e-0)")
    assert "Write a file whole or not at all" in (built[0] / "api/index.html").read_text()
    assert 'id="aurl.project.files.write_bytes"' in (built[0] / "api/aurl.project.files.html").read_text()


def test_formulas_need_no_script(built):
    text = (built[0] / "docs/equations.html").read_text()
    assert text.count("<math") == 2 and "mathjax.js" not in text.lower() and "tex-mml" not in text


@pytest.mark.parametrize("latex", [r"\nosuchcommand x", "x_1_2"])
def test_formula_that_cannot_be_drawn_is_named(latex):
    with pytest.raises(ValueError, match=re.escape(latex)):
        mathml.mathml(latex)


def test_a_second_build_gives_the_same_bytes(project, built, tmp_path):
    site.build(project, tmp_path / "site")
    first, second = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (built[0], tmp_path / "site")
    )
    assert first == second and not list(tmp_path.glob(".site-*"))


@pytest.mark.parametrize("size", [100, 30_000, 60_000])  # which is too little for sources, files and pages
def test_a_full_disk_leaves_the_site_that_was_there(project, tmp_path, size):
    (tmp_path / "site").mkdir()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))  # no file may grow beyond this: fails like a full disk
    try:
        with pytest.raises(UserError, match=r"cannot be written \(.*\): make room"):
            site.build(project, tmp_path / "site")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.rglob("*")] == ["site"]


def test_stage_depends_on_every_file_that_it_shows(tmp_path):
    stage = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["site"]
    site.Sources(ROOT, tmp_path).lay_out()
    laid = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    shown = {name.removeprefix("_files/").removeprefix("_shown/") for name in laid}
    assert {"README.md", "docs/equations.md", "reports/notebooks/06_paper.ipynb"} <= shown
    missing = [
        name
        for name in shown - {"dvc.yaml"}  # of which DVC lets no stage depend
        if (ROOT / name).is_file() and not any(Path(name).is_relative_to(dep) for dep in stage["deps"])
    ]
    assert not missing


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
    for page in (
        "index.html",
        "docs/equations.html",
        "reports/notebooks/03_train-aurl-0.html",
        "api/aurl.project.files.html",
    ):
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
