"""What the front page of the site says, and the page of all studies: Markdown, from files alone."""

import importlib.metadata
import json
import platform
import re

import yaml

from aurl.evaluation import folds
from aurl.project import paths
from aurl.training import devices

PACKAGES = ["aurl", "torch", "torchvision", "numpy", "av", "fasttext-modern", "dvc", "papermill", "sphinx"]
COMPARED = ["data", "clip", "text", "model", "loss", "generator", "train", "evaluate"]  # with the paper's setting
SPHERE = paths.FIGURES / "figure1.html"


def front_page(root):
    """The front page of the project ``root``; parts whose files are missing are left out."""
    parts = ["# AURL, replicated", _first_paragraph(root / "README.md"), _links(root)]
    parts += ["## The paper's claims", *_claims(root)]
    parts += ["## Figure 1", *_figure(root)]
    parts += ["## Results", *_results(root)]
    parts += ["## How it was run", *_how(root)]
    return "\n\n".join(filter(None, parts)) + "\n"


def studies(root):
    """The page of what `make ablations` left: every table and picture, each under the name of its file."""
    folder = root / "reports/ablations"
    parts = ["# All studies"]
    for path in sorted(folder.glob("*.md")):
        parts += [f"## {_title(path)}", path.read_text()]
    for path in sorted(folder.glob("*.png")):
        parts += [f"## {_title(path)}, picture", f"![{_title(path)}]({path.relative_to(root).as_posix()})"]
    for study in sorted(path for path in folder.glob("*") if path.is_dir()):
        parts += [f"## Study {study.name}"]
        parts += [path.read_text() for path in sorted(study.glob("*.md"))]
        parts += [
            f"![{study.name}: {_title(p)}]({p.relative_to(root).as_posix()})" for p in sorted(study.glob("*.png"))
        ]
    return "\n\n".join(parts) + "\n"


def _title(path):
    return path.stem.replace("-", " ").replace("_", " ").capitalize()


def _over_studies(path):
    """What a table of `aurl.pipeline.studies.bring_together` is about."""
    name = path.stem.removesuffix("-claims")
    test = name.removesuffix("-heads")
    how = "end to end" if test == name else "as heads alone on fixed features"
    return f"On **{test}**, trained {how}, over all studies, which share out its classes:"


def _first_paragraph(readme):
    paragraphs = readme.read_text().split("\n\n") if readme.exists() else []
    return next((text for text in paragraphs if not text.startswith(("#", "!", "<", "["))), "")


def _links(root):
    documents = {"README.md": "The whole story", "notebooks": "the chapters", "docs/equations.md": "the equations"}
    found = [f"[{shown}]({name})" for name, shown in documents.items() if (root / name).exists()]
    return " · ".join([*found, "[the reference](aurl)"])


def _claims(root):
    found = sorted(root.glob("reports/ablations/*-claims.md"))
    if found:
        yield (
            "Each is a comparison that can fail. It is decided where two paired tests, over classes and over "
            f"trainings, both have p below {folds.SURE} after correction for the number of claims. Intervals are over "
            "classes, 95 %."
        )
    for path in found:
        yield _over_studies(path)
        yield path.read_text()
    if (root / paths.CLAIMS).exists():
        yield "What the runs of the pipeline itself agree on:"
        yield (root / paths.CLAIMS).read_text()


def _figure(root):
    if (root / SPHERE.with_suffix(".png")).exists():
        yield f"![Classes on a sphere, the variants of Figure 1 side by side]({SPHERE.with_suffix('.png')})"
        yield (
            "Dots are held-back videos, and stars are class names. A line joins each video to its star. Crosses mark "
            "videos that are nearer to another name."
        )
    if (root / SPHERE).exists():
        yield f"Turn it by hand here, or on [a page of its own]({SPHERE}):"
        yield f'<iframe class="sphere" src="{SPHERE}" title="Classes on a sphere, to turn by hand"></iframe>'


def _results(root):
    if (root / paths.SUMMARY_MARKDOWN).exists():
        yield "The runs of the pipeline, one fold:" if (root / "reports/ablations").exists() else ""
        yield (root / paths.SUMMARY_MARKDOWN).read_text()
    for path in sorted(root.glob("reports/ablations/*.md"), key=lambda path: path.stem):  # heads after end to end
        if not path.stem.endswith("claims"):
            yield _over_studies(path)
            yield path.read_text()
    if (root / "reports/ablations").exists():
        yield "[All studies](reports/ablations) has every table and picture."


def _how(root):
    made = sorted(root.glob("runs/*/model.json"))
    how = {json.dumps(json.loads(path.read_text()).get("arithmetic")) for path in made} - {"null"}
    yield "### Processor and versions"
    yield _table(
        ["what", "which"],
        [
            ["processor", devices.processor()],
            *(["arithmetic of the trainings", _inline(json.loads(text))] for text in sorted(how)),
            ["Python", platform.python_version()],
            ["packages", ", ".join(_versions())],
        ],
    )
    if (root / "params.paper.yaml").exists():
        yield "### Parameters"
        yield (
            "What differs in [`params.yaml`](params.yaml) from [the paper's setting](params.paper.yaml). All else in "
            f"the sections {', '.join(f'`{name}`' for name in COMPARED)} is the same, but for the folders of data sets."
        )
        yield _table(["parameter", "here", "in the paper's setting", "what it is"], _differences(root))
    if (root / "reports/tables/durations.md").exists():
        yield "### Times"
        yield "Minutes of `make reproduce`, as [the README](README.md#how-long-it-takes) explains:"
        yield (root / "reports/tables/durations.md").read_text()


def _versions():
    yield from (f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)


def _differences(root):
    text = (root / "params.yaml").read_text()
    here, there = yaml.safe_load(text), yaml.safe_load((root / "params.paper.yaml").read_text())
    for section in COMPARED:
        for key, value in here[section].items():
            other = there[section].get(key)
            if value != other and not isinstance(other, dict):
                what = re.search(rf"^{section}:.*?^  {key}: [^\n]*?# ([^\n]*)", text, flags=re.M | re.S)
                what = re.sub(r"(^|; )paper: .*", "", what[1]) if what else ""
                yield [f"`{section}.{key}`", _inline(value), _inline(other), what]


def _inline(value):
    """A value of a parameter as YAML on one line."""
    return yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("\n...\n").strip().strip("{}[]")


def _table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
