"""Documents name only what exists, hold generated tables as generated, and agree with code, notebooks and pictures."""

import ast
import base64
import functools
import importlib
import inspect
import json
import re
import runpy
import shlex
import shutil
import subprocess
import tomllib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
import yaml
from project import ROOT

from aurl import UserError, backbones, generator, losses, metrics
from aurl.classify import command as classify
from aurl.pipeline import combine
from aurl.project import config, paths

TABLES = runpy.run_path(str(ROOT / "docs/tables.py"))
DOCS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md") if not path.is_symlink())
PAGES = [*sorted(path.name for path in ROOT.glob("*.md")), *DOCS]
README = (ROOT / "README.md").read_text()


# --- generated tables and numbers -----------------------------------------------------------------


@functools.cache
def committed(file):
    """The committed tables are meant: another processor or other parameters give a user's own ones."""
    return subprocess.run(["git", "show", f"HEAD:{file}"], cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("page", [page for page in PAGES if TABLES["MARKED"].search((ROOT / page).read_text())])
def test_pages_hold_the_generated_tables(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setitem(TABLES["read"].__globals__, "read", committed)
    for _, name, table, _ in TABLES["MARKED"].findall((ROOT / page).read_text()):
        assert table == TABLES["content"](name), "run `make docs`"


def test_fill_replaces_only_the_text_between_markers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("t.md").write_text("| new |\n")
    found = TABLES["fill"]("a\n<!-- begin t.md -->\nold\n<!-- end -->\nb")
    assert found == "a\n<!-- begin t.md -->\n| new |\n<!-- end -->\nb"
    with pytest.raises(UserError, match="gone.md is missing: make it"):
        TABLES["fill"]("<!-- begin gone.md -->\n<!-- end -->")


def test_cost_follows_from_the_measurements(monkeypatch):
    params = yaml.safe_load((ROOT / "params.paper.yaml").read_text())
    params["train"] |= {"epochs": 2, "steps": 100, "batch": 810}  # 162,000 clips: one a second in the authors' time
    files = {
        "params.paper.yaml": yaml.safe_dump(params),
        "reports/tables/paper_scale.csv": "seconds,micro_batch,peak_gb,device\n90,4,7,cpu\n36,4,7,cpu\n18,4,7,cpu",
        "reports/tables/loader.csv": "video,crop,per_core\nproxy,squash,2\noriginal,squash,0.5\nproxy,crop,9",
        "reports/tables/decoding.csv": "video,way,kilobytes,seconds_to_make\nH.264 340x256,proxy,1000,3600\n",
    }
    monkeypatch.setitem(TABLES["read"].__globals__, "read", files.__getitem__)
    text = TABLES["cost"]()
    for row in (
        "| one training | 200 steps, 162,000 clips |",
        "| 45 hours on 8 V100, 1 clips a second |",
        "| 45 / M hours |",
        "| on cpu | 2 hours at 36 s a step |",
        "`train.micro_batch: 4` | 7.0 GB |",
        "| 0.5 from proxies, 2.0 from 340x256 pixels |",
        "| 558,278 core hours, 558 GB |",
    ):
        assert row in text, row


def written(page):
    """A page without its generated tables and without the targets of its links."""
    text = TABLES["MARKED"].sub("", (ROOT / page).read_text())
    return re.sub(r"\]\([^)]*\)", "]", text)


@pytest.mark.parametrize("page", PAGES)
def test_no_result_enters_by_hand(page):
    """Percentages outside of generated tables are those of the authors, or names of a protocol or an interval."""
    text = written(page) if page != "docs/walk.md" else ""  # whose numbers are printed by its commands
    assert {*re.findall(r"[\d.]+(?=\s?%)", text)} <= {"44.39", "27.37", "50", "95"}


@pytest.mark.parametrize("page", ["README.md", "docs/results.md", "MODEL_CARD.md"])
def test_prose_on_results_has_no_number_of_its_own(page):
    text = re.sub(r"```.*?```|`[^`]*`|\$[^$]*\$|R\(2\+1\)D|Figure \d", "", written(page), flags=re.S)
    # Names of data sets have some of these.
    known = {"2022", "2203.15381", "44.39", "27.37", "95", "0.05", "0", "1", "2", "3", "4", "45", "10"}
    assert {*re.findall(r"(?<![\w.-])\d[\d.,]*\d|(?<![\w.-])\d(?!\w)", text)} <= known


# --- executed notebooks, their pictures and their tables -------------------------------------------

CHAPTERS = sorted((ROOT / "reports/notebooks").glob("*.ipynb"))


def outputs(path, kind):
    cells = json.loads(path.read_text())["cells"]
    found = [output.get("data", {}).get(kind) for cell in cells for output in cell.get("outputs", [])]
    return ["".join(data) for data in found if data]


def test_every_picture_of_the_pipeline_is_the_one_that_its_chapter_shows():
    shown = {base64.b64decode(data) for path in CHAPTERS for data in outputs(path, "image/png")}
    drawn_by_benchmarks = {"cost.png", "decoding.png"}
    for path in (ROOT / "reports/figures").rglob("*.png"):
        assert path.name in drawn_by_benchmarks or path.read_bytes() in shown, path


def shown_cells(path):
    """The cells of all tables in an executed notebook."""
    return {re.sub("<[^>]*>", "", cell).strip() for html in outputs(path, "text/html") for cell in html.split("\n")}


def test_comparison_shows_its_tables():
    path, tables = ROOT / "reports/notebooks/05_ablations.ipynb", ROOT / "reports/tables"
    summary = pd.read_csv(tables / "ablations.csv")
    assert {f"{value:z.1%}" for value in (*summary["top1"], *summary["top1_low"])} <= shown_cells(path)
    assert (tables / "claims.md").read_text() in outputs(path, "text/markdown")


@pytest.mark.parametrize("path", sorted((ROOT / "reports/metrics").glob("*.json")), ids=lambda path: path.stem)
def test_evaluation_shows_its_metrics(path):
    cells = shown_cells(ROOT / f"reports/notebooks/04_evaluate-{path.stem}.ipynb")
    for report in json.loads(path.read_text()).values():
        lengths = {key: report.pop(key) for key in [*report] if re.match("closeness|dispersion|gzsl_(gamma|area)", key)}
        assert len(report) > 10 and {f"{value:z.1%}" for value in report.values()} <= cells
        assert len(lengths) >= 4 and {f"{value:.3f}" for value in lengths.values()} <= cells


def test_the_papers_chapter_shows_the_gain_over_all_folds():
    cells = shown_cells(ROOT / "reports/notebooks/06_paper.ipynb")
    gains = pd.read_csv(ROOT / "reports/studies/pairs/gains.csv")
    assert len(gains) == 2 and {f"{value:.1%}" for value in gains[["mean", "low", "high"]].to_numpy().ravel()} <= cells


def test_no_model_of_a_study_stopped_before_its_synthetic_classes_were_learned():
    """docs/protocol.md: a variant whose L_US did not end below a tenth of that of guessing is not compared."""
    runs = [pd.read_csv(path) for path in ROOT.glob("reports/studies/*/runs.csv")]
    histories = [pd.read_csv(path) for path in ROOT.glob("reports/history/aurl*.csv")]
    assert len(histories) >= 2
    for history in histories:
        assert history["synthetic"].iloc[-1] < 0.1 * np.log(360)
    assert any(table["synthetic"].notna().any() for table in runs)
    for table in runs:
        assert (table["synthetic"].dropna() < 0.1).all()


def test_tables_and_pictures_of_studies_are_what_their_runs_give(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "reports/studies", tmp_path / "reports/studies")
    for name in ("params.yaml", "data"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    combine.combine_folds()
    made = {path.relative_to(tmp_path) for path in (tmp_path / "reports/studies").glob("*/*.*")}
    assert made == {path.relative_to(ROOT) for path in (ROOT / "reports/studies").glob("*/*.*")}
    for path in made:
        assert (tmp_path / path).read_bytes() == (ROOT / path).read_bytes(), path


# --- the README --------------------------------------------------------------------------------------


def test_readme_is_short():
    assert len(README.splitlines()) <= 120
    rows = re.findall(r"(?:^\|.*\n)+", README, flags=re.M)
    assert len(rows) == 1 and len(rows[0].splitlines()) - 2 <= 8


def test_losses_in_the_readme_are_those_of_the_package():
    rng = torch.Generator().manual_seed(0)
    video, names, centers = (torch.randn(count, 4, generator=rng) for count in (6, 3, 3))
    labels = torch.randint(3, (6,), generator=rng)
    block = re.search(r"```python\n(.*?)```", README, flags=re.S)[1]
    scope = dict(torch=torch, F=F, video=video, names=names, centers=centers, labels=labels)
    torch.manual_seed(1)
    exec(block, scope)
    expected = losses.aurl(
        video, names, centers, labels, generator.ClassGenerator("released"), rng=torch.manual_seed(1)
    )
    for name in ("semantic", "visual", "synthetic"):
        assert scope[name].isclose(expected[name]), name
    assert scope["loss"].isclose(expected["total"])


# --- everything that is named exists -----------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_points_to_exist(page):
    text = re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(), flags=re.M | re.S)
    assert "TODO" not in text
    for target, anchor in re.findall(r"\]\((?!http)([^)#]*)#?([^)]*)\)", text):
        file = (ROOT / page).parent / target if target else ROOT / page
        assert file.exists(), f"{page} points to {target}"
        assert not anchor or anchor in anchors(file.read_text()), f"{target or page} has no {anchor}"


def anchors(text):
    """The anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", text, flags=re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


# Tests of their own or a benchmark run the commands of these.
RUN = ["docs/changes.md", "docs/clip.md", "docs/equations.md", "docs/index.md", "docs/walk.md"]
GUIDES = ["README.md", "CONTRIBUTING.md", "MODEL_CARD.md", *(page for page in DOCS if page not in RUN)]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.M))
TOOLS = {"bash", "git", "make", "torchrun"}
OTHERS = {  # what is named and is no part of the project
    "AURL662_checkpoint.pth.tar", "class/video", "source .venv/bin/activate", ".venv", "F", "torch.nn.functional",
    "pipx run pre-commit install", "git clone ADDRESS aurl && cd aurl", "PYTORCH_ENABLE_MPS_FALLBACK=1", "auto",
    "dvc remote add -d storage FOLDER", "dvc push", "dvc pull", "about", "--vectors",
    "--model", "root", "annotations", "test_lists", "srun", "scancel", "scontrol",
    "sbatch train.sh aurl 0", "train.sh", "params.local.yaml", "aurl classify --model",
    "PreemptParameters=send_user_signal",
    "dvc exp show", "dvc plots show", "dvc commit", "dvc metrics diff", "torch.compile", "model.json", "released",
    "adds_to", "folds", "rendered", "frames", "probed", "encoded", "features", "trainings", "arithmetic",
    "[tool.mutmut]", "mutmut run", "pip install mutmut",
    "reports/released/", "reports/studies", ".nojekyll", "build/site/index.html", *backbones.NAMES, "mvit", "swin3d",
}  # fmt: skip


def named(page):
    """What a page names in code: every span and every line of a code block, without its comment."""
    text = written(page)
    blocks = re.findall(r"```bash\n(?!#!)(.*?)```", text, flags=re.S)
    lines = [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]
    return {*filter(None, lines), *re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.S))}


def is_parameter(name):
    """A section, or a key below one, where ``KEY: VALUE`` has a value."""
    place = PARAMS
    for key in name.split(": ")[0].split("."):
        if not isinstance(place, dict) or key not in place:
            return False
        place = place[key]
    return True


def is_file(name):
    """In the repository, made by a stage, or kept between runs."""
    made = [*(value for value in vars(paths).values() if isinstance(value, Path)), paths.run("v", 0)]
    made += [paths.features("v", 0, "s"), paths.predictions("v", 0, "s"), Path("build/ablations"), Path("model.json")]
    made += [Path("build/cache/arithmetic")]  # `paths.ARITHMETIC`, which is elsewhere during tests
    made = {place.as_posix() for path in made for place in (path, *path.parents)} - {"."}
    near = [ROOT, ROOT / "aurl", ROOT / "aurl/data"]
    return name.rstrip("/") in made or any((folder / name).exists() for folder in near)


def is_module(name):
    """A module of the package, a name in one, or a module of it by its own name."""
    try:
        if find_spec(name if name.startswith("aurl.") else f"aurl.{name}"):
            return True
    except ModuleNotFoundError:
        pass
    module, _, attribute = name.rpartition(".")
    return bool(re.fullmatch(r"aurl[\w.]*", module) and hasattr(importlib.import_module(module), attribute))


def is_command(line):
    """One whose module, script, flags, make target, stages, parameters and extras exist."""
    tool, *words = shlex.split(line) or [""]
    if tool == "make":
        return set(words) <= TARGETS
    if tool == "pip":
        return words[0] == "install" and set(re.findall(r"\w+", words[1])) <= {*EXTRAS}
    if tool in ("cp", "sphinx-build"):
        return all(map(is_file, words))
    if tool == "dvc":
        return words[0] in ("repro", "exp") and all(
            word.partition("@")[0] in STAGES or is_parameter(word.partition("=")[0])
            for word in words[1:]
            if not word.startswith("-") and word not in ("run",)
        )
    if tool == "aurl":  # by its own parser, which ends with an error for an option that it does not have
        try:
            return bool(classify.parser().parse_args(words))
        except SystemExit as ended:  # without a fault after --help
            return not ended.code
    if tool == "python" and words[0] == "-m":
        if words[1] == "pytest":
            return all(map(is_file, (word for word in words if "/" in word)))
        if not is_module(words[1]):
            return False
        words[0] = find_spec(words[1]).origin
        flags = [word for word in words if word.startswith("--")]
        return all(f'"{flag}"' in Path(words[0]).read_text() for flag in flags)
    return tool == "python" and is_file(words[0])


@pytest.mark.parametrize("page", GUIDES)
def test_everything_that_a_page_names_exists(page):
    variants = {*PARAMS["variants"], *PARAMS["ablations"]["studies"], *config.BUILT_IN, "folders"}
    known = variants | {path.stem for path in (ROOT / "notebooks").iterdir()}
    known |= set(config.studies(ROOT / "params.yaml"))
    known |= {*STAGES, *TOOLS, *EXTRAS, *OTHERS, "total", "Term", "Dataset"}
    unknown = {
        name
        for name in named(page) - known
        if not (is_parameter(name) or is_file(name) or is_module(name) or is_command(name))
    }
    assert not unknown


def test_every_variant_is_explained():
    assert {*PARAMS["variants"]} <= named("docs/variants.md")


def test_what_is_not_there_is_noticed():
    for wrong in ("make all", "dvc repro 03_trian@aurl-0", "dvc exp run -S loss.scala=5", "python -m aurl.notebook",
                  "aurl released x --parms y", "python benchmarks/speed.py", "pip install .[gpu]",
                  "cp params.papers.yaml params.yaml", "git status"):  # fmt: skip
        assert not is_command(wrong), wrong
    for wrong in ("run.variant", "aurl.text.Words", "aurl/stage.py", "centers"):
        assert not (is_parameter(wrong) or is_file(wrong) or is_module(wrong)), wrong


# --- the table of equations ------------------------------------------------------------------------

PAGE = ROOT / "docs/equations.md"
EQUATIONS = [
    (*re.search(r"\[`(\w+)\.(\w+)`\]\((\S+)\)", function).groups(), re.findall(r"\[`(\w+)`\]\((\S+)\)", tests))
    for _, function, tests in re.findall(r"^\| (.+?) \| (\[`.+?) \| (\[`test_.+?) \|$", PAGE.read_text(), flags=re.M)
]
NAMES = {ast.Name: "id", ast.Attribute: "attr", ast.arg: "arg"}  # kind of node -> where it has its name


def mentioned(tree, name):
    """Every name that the definition ``name`` of a module uses, also through other definitions of that module."""
    defined = {node.name: node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            defined[node.targets[0].id] = node
    found, waiting = set(), [name]
    while waiting:
        for node in ast.walk(defined[waiting.pop()]):
            used = getattr(node, NAMES.get(type(node), ""), None)
            if used and used not in found:
                found.add(used)
                waiting += [used] if used in defined else []
    return found


@pytest.mark.parametrize(
    ("module", "function", "file", "tests"), EQUATIONS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_equation_has_its_function_and_the_tests_that_prove_it(module, function, file, tests):
    defined = getattr(importlib.import_module(".".join(Path(file).with_suffix("").parts[1:])), function)
    assert callable(defined) and Path(inspect.getsourcefile(defined)).samefile(PAGE.parent / file)
    assert tests
    for test, path in tests:
        tree = ast.parse((PAGE.parent / path).read_text())
        assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f"{path} has no {test}"
        assert function in mentioned(tree, test), f"{test} does not use {module}.{function}"


def test_no_function_of_the_method_lacks_its_row():
    tabled = {f"aurl.{module}.{function}" for module, function, _, _ in EQUATIONS}
    public = {
        f"{module.__name__}.{name}"
        for module in (losses, generator, metrics)
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
        if inspect.isfunction(value) or inspect.isclass(value)
    }
    assert public - tabled == {"aurl.losses.unit", "aurl.losses.cosines"}  # the others are made of these


def test_parameter_count_is_the_one_that_the_tests_compute():
    stated = re.search(r"have ([\d,]+) parameters for (\d+) training classes", PAGE.read_text()).groups()
    tree = ast.parse((ROOT / "tests/test_models.py").read_text())
    test = next(node for node in tree.body if getattr(node, "name", "") == "test_parameter_count_of_the_papers_model")
    assert {int(stated[0].replace(",", "")), int(stated[1])} <= {
        node.value for node in ast.walk(test) if isinstance(node, ast.Constant)
    }
