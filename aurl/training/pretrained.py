"""Share trained models: load one from a folder, an address or the Hugging Face hub, and save or push one with a card.

    model = aurl.load("runs/aurl-0")                                   # a folder
    model = aurl.load("someone/aurl-verbs")                            # the hub; add @REVISION for a branch or commit
    model = aurl.load("https://example.org/aurl-0#sha256=0123...")     # a plain address, with a digest
    aurl.push_to_hub("runs/aurl-0", "someone/aurl-verbs")

A shared model is ``model.safetensors``, ``model.json`` with the digest of these weights, and a card. The digest of
``model.json`` therefore covers both files. A plain address needs this digest, because its content could change.
"""

import contextlib
import hashlib
import json
import os
import re
import sys
from http.client import HTTPException
from pathlib import Path

import torch

from aurl import UserError
from aurl.project import paths
from aurl.project.files import sha256, write_bytes
from aurl.project.markdown import markdown_table
from aurl.training import checkpoints, devices, released
from aurl.training.checkpoints import ABOUT, WEIGHTS

CARD = "README.md"
DIGEST = "sha256"  # entry of `ABOUT` that holds the digest of `WEIGHTS`
ADDRESS = re.compile(r"https?://", re.IGNORECASE)
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w./-]+)?")


def load(source):
    """A trained `aurl.models.AURL` in eval mode on the best device.

    Its attribute ``about`` is the content of ``model.json``, or ``clip`` and ``word_dim`` of a released checkpoint.
    ``source`` is a folder of a training or of `save_pretrained`; one of the authors' released checkpoints; a hub id
    ``OWNER/NAME`` or ``OWNER/NAME@REVISION``; or the address of a folder, ``https://...#sha256=DIGEST`` with the digest
    of its ``model.json``. Raises UserError for a source that is missing or cannot be downloaded, and for files that are
    cut, changed or of another kind. No code in them is executed.
    """
    if os.path.isfile(source):
        model = released.load_released(source).to(devices.best_device())
        model.about = {"clip": released.CLIP.model_dump(), "word_dim": model.class_encoder[0].in_features}
        return model
    folder = _fetch(str(source))
    model, model.about = _checked(folder, source)
    return model


def save_pretrained(model, folder, metrics=None):
    """Write a trained model for sharing; returns the SHA-256 of ``model.json``, which a plain address needs.

    Raises UserError for a folder without a model, metrics that cannot be read, and files that cannot be written.

    Args:
        model: the folder of a training, such as ``runs/aurl-0``.
        folder: receives ``model.safetensors``, ``model.json`` and ``README.md``, a card with the metrics.
        metrics: the JSON file of chapter 4 for this model. By default the file in ``reports/metrics`` with the folder's
            name, if any.
    """
    files = _files(model, metrics)
    for name, data in files.items():
        write_bytes(Path(folder, name), data)
    return hashlib.sha256(files[ABOUT]).hexdigest()


def push_to_hub(model, hub_id, metrics=None, private=False):
    """Publish a trained model on the Hugging Face hub, where `load` finds it; returns the address of the commit.

    ``hf auth login`` or the variable ``HF_TOKEN`` gives the account. Raises UserError as `save_pretrained` does, and
    if the hub refuses.

    Args:
        model: the folder of a training, such as ``runs/aurl-0``.
        hub_id: ``OWNER/NAME``; the repository is made if there is none.
        metrics: as in `save_pretrained`.
        private: whether a new repository is private.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    added = [CommitOperationAdd(name, data) for name, data in _files(model, metrics).items()]
    with _hub_errors(f"{model} was not pushed to {hub_id}"):
        HfApi().create_repo(hub_id, private=private, exist_ok=True)
        message = f"Upload {Path(model).resolve().name}"
        return HfApi().create_commit(hub_id, added, commit_message=message).commit_url


def _files(model, metrics):
    """The files of a shared model, name -> content."""
    _, about = checkpoints.load(model)
    weights = Path(model, WEIGHTS).read_bytes()
    about[DIGEST] = hashlib.sha256(weights).hexdigest()
    text = (json.dumps(about, indent=1) + "\n").encode()
    card = _card(Path(model).resolve().name, about, hashlib.sha256(text).hexdigest(), _metrics(model, metrics))
    return {WEIGHTS: weights, ABOUT: text, CARD: card.encode()}


def _fetch(source):
    """The local folder of ``source``, downloaded if that is an address or a hub id."""
    if os.path.isdir(source):
        return source
    if ADDRESS.match(source):
        return _fetch_address(source)
    if HUB_ID.fullmatch(source) and not os.path.isdir(source.partition("/")[0]):
        return _fetch_hub(source)
    raise UserError(
        f"there is no model {source}: run `make reproduce`, which trains runs/aurl-0, or name another folder, a hub id "
        "OWNER/NAME, or an address."
    )


def _fetch_hub(source):
    from huggingface_hub import snapshot_download

    hub_id, _, revision = source.partition("@")
    with _hub_errors(f"{source} is no folder here, and the hub did not give it"):
        folder = snapshot_download(hub_id, revision=revision or None, allow_patterns=[ABOUT, WEIGHTS])
    for name in (ABOUT, WEIGHTS):
        if not Path(folder, name).is_file():
            raise UserError(f"{source} on the hub has no {name}, so it is no model of this project: correct the id.")
    return folder


@contextlib.contextmanager
def _hub_errors(what):
    """Turn the hub's refusals into a UserError that begins with ``what``."""
    try:
        yield
    except Exception as error:  # of huggingface_hub or of the HTTP library that it uses
        reason = f"{type(error).__name__}: {' '.join(str(error).split()).split('. ')[0]}".rstrip(".: ")
        raise UserError(f"{what} ({reason}): correct the id, log in by `hf auth login`, or try again.") from None


def _fetch_address(source):
    address, _, fragment = source.partition("#")
    address, digest = address.rstrip("/"), fragment.lower().removeprefix(f"{DIGEST}=")
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise UserError(
            f"{address} needs a digest, because its content could change: append #{DIGEST}= and the SHA-256 of its "
            f"{ABOUT}, which the model's card has."
        )
    folder = Path(torch.hub.get_dir(), "aurl", digest)
    _download(f"{address}/{ABOUT}", folder / ABOUT, digest)
    try:
        weights = json.loads((folder / ABOUT).read_text())[DIGEST]
    except (ValueError, TypeError, KeyError):
        raise UserError(f"{address}/{ABOUT} is of no model of `aurl.save_pretrained`: correct the address.") from None
    _download(f"{address}/{WEIGHTS}", folder / WEIGHTS, weights)
    return folder


def _download(address, path, digest):
    """Download a file unless it is there. Raises UserError for content of another SHA-256 than ``digest``."""
    if path.is_file() and sha256(path) == digest:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(address, path, hash_prefix=digest, progress=sys.stderr.isatty())
    except RuntimeError:
        raise UserError(
            f"{address} has another SHA-256 than {digest}, so it was cut or changed and was not kept: download it "
            "again, or ask its owner for the digest."
        ) from None
    except (OSError, ValueError, HTTPException) as error:
        raise UserError(f"{address} cannot be downloaded ({error}): correct the address, or try again.") from None


def _checked(folder, source):
    """The result of `checkpoints.load`; raises UserError if the weights lack the digest that `ABOUT` may state."""
    about, weights = Path(folder, ABOUT), Path(folder, WEIGHTS)
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):  # `checkpoints.load` reports these errors
        if json.loads(about.read_text())[DIGEST] != sha256(weights):
            raise UserError(
                f"the weights of {source} are not those that its {ABOUT} names, so they were cut or changed: "
                "download them again."
            )
    return checkpoints.load(folder)


def _metrics(model, path):
    """The metrics of a model, set -> metric -> value; none without a ``path`` if the default file does not exist."""
    variant, _, seed = Path(model).resolve().name.rpartition("-")
    default = paths.metrics(variant, seed)
    if path is None and not default.is_file():
        return {}
    path = path or default
    try:
        return {name: dict(own) for name, own in json.loads(Path(path).read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path} holds no metrics ({error}): name the file of chapter 4, or none.") from None


FIGURES = {"top1": "top-1", "top5": "top-5", "mean_per_class": "mean per class", "chance": "chance level"}


def _card(name, about, digest, metrics):
    """The card as Markdown, with the metrics also in its header, where the hub reads them."""
    from huggingface_hub import EvalResult, ModelCardData

    shown = {key: {figure: own[figure] for figure in FIGURES if figure in own} for key, own in metrics.items()}
    results = [
        EvalResult(
            task_type="video-classification", dataset_type=key, dataset_name=key, metric_type=figure,
            metric_name=FIGURES[figure], metric_value=value,
        )
        for key, own in shown.items()
        for figure, value in own.items()
    ]  # fmt: skip
    header = ModelCardData(
        license="mit", library_name="aurl", pipeline_tag="video-classification", tags=["zero-shot", "aurl"],
        model_name=name, eval_results=results or None,
    )  # fmt: skip
    rows = [[key, *(f"{own[figure]:.4f}" if figure in own else "" for figure in FIGURES)] for key, own in shown.items()]
    table = markdown_table(["data set", *FIGURES.values()], rows)
    facts = [f"- Training classes: {len(about['classes'])}."]
    if clip := about.get("clip"):
        facts.append(
            f"- Input: clips of {clip['frames']} frames, {clip['stride']} apart, of {clip['size']}x{clip['size']} "
            f"pixels; {clip['segments']} per video."
        )
    if text := about.get("text"):
        source, value = next(iter(text.items()))
        facts.append(f"- Class names are embedded by {source}: `{value}` ({about['word_dim']} dimensions).")
    lines = [
        f"---\n{header.to_yaml()}\n---\n",
        f"# {name}\n",
        "A model of AURL, alignment-uniformity aware representation learning for zero-shot video classification (Pu, "
        "Zhao and Zheng, CVPR 2022, arXiv 2203.15381), trained by a replication.\n",
        *facts,
        "\n## Metrics\n",
        table if rows else "None were given when this model was saved.\n",
        "The names of the data sets are those of the training project.",
        "\n## Use\n",
        '```python\nimport aurl\n\nmodel = aurl.load("OWNER/NAME")  # or the path of this folder\n```\n',
        f"To load it from a plain address, append `#{DIGEST}={digest}`, the digest of `{ABOUT}`.",
    ]
    return "\n".join(lines) + "\n"
