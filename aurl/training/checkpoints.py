"""Models on disk: the checkpoint that later stages load, and the states from which a killed training resumes."""

import contextlib
import hashlib
import io
import json
import math
import signal
import threading
import time
from pathlib import Path

import safetensors.torch
import torch

import aurl.models
from aurl import UserError, backbones
from aurl.project import cache
from aurl.project.config import Model
from aurl.project.files import locked, write_bytes
from aurl.project.progress import print_line
from aurl.training import devices

# Defaults for model options missing from old checkpoints.
OLD_DEFAULTS = {"backbone": "r2plus1d", "weights": None, "pooling": "mean", "describe": False, "score": "cosine"}
WEIGHTS, ABOUT, FINISHED = "model.safetensors", "model.json", "finished.json"


def save(folder, weights, model, names, word_dim, **facts):
    """Write ``model.safetensors`` and ``model.json``, which together rebuild the model.

    Args:
        folder: receives both files.
        weights: a state dict on the CPU.
        model: the ``model`` section of params.yaml.
        names: C class names.
        word_dim: W, the dimension of word vectors.
        facts: further entries of ``model.json``. `load` needs ``features``, the dimension F, for a model of precomputed
            features, and ``vocabulary``, a list of words, for the projection "attributes".
    """
    about = {"model": model.model_dump(), "word_dim": word_dim, "classes": list(names)} | facts
    _write_files(folder, safetensors.torch.save(weights), about)


def _write_files(folder, weights, about):
    write_bytes(Path(folder, WEIGHTS), weights)
    write_bytes(Path(folder, ABOUT), (json.dumps(about, indent=1) + "\n").encode())


def load(folder):
    """The model that `save` wrote to ``folder``, in eval mode on the best device, and the contents of ``model.json``.

    Raises UserError for a checkpoint that is missing or not of this project.
    """
    try:
        about = json.loads(Path(folder, ABOUT).read_text())
        about["model"] = OLD_DEFAULTS | about["model"]
        sizes = len(about["classes"]), about["word_dim"], len(about.get("vocabulary", [])), about.get("features")
        model = aurl.models.build(Model(**about["model"]), *sizes)
        model.load_state_dict(safetensors.torch.load_file(Path(folder, WEIGHTS)))
    except FileNotFoundError as error:
        raise UserError(f"{error.filename or folder} is missing: train the variant first, with `dvc repro`.") from None
    except Exception as error:
        raise UserError(
            f"{folder} holds no checkpoint of this project ({type(error).__name__}): train the variant again."
        ) from error
    return model.to(devices.best_device()).eval(), about


def load_backbone(backbone, path):
    """Load the weights of a file into ``backbone``, a network of `aurl.backbones`.

    The file holds the state dict of torchvision's network of that name, as ``.safetensors`` or as `torch.save` writes
    it; no code in it is executed. The classifier's weights are ignored. Raises UserError for a file that is missing or
    no state dict, and for a weight that is missing, unknown, of another shape or not finite.
    """
    try:
        found = (
            safetensors.torch.load_file(path)
            if Path(path).suffix == ".safetensors"
            else dict(torch.load(path, map_location="cpu", weights_only=True))
        )
        found = {name: w for name, w in found.items() if name.partition(".")[0] not in backbones.CLASSIFIERS}
        shapes = {name: tuple(weight.shape) for name, weight in found.items()}
    except FileNotFoundError:
        raise UserError(f"model.weights: there is no file {path}: write the path of one, or null.") from None
    except Exception as error:  # torch and safetensors raise many kinds for a foreign file
        raise UserError(
            f"model.weights: {path} is no state dict ({type(error).__name__}): save `network.state_dict()` alone."
        ) from error
    own, fault = backbone.state_dict(), None
    for name in [*own, *shapes]:
        if name not in shapes:
            fault = f"lacks {name}"
        elif name not in own:
            fault = f"has {name}, which the backbone has not"
        elif shapes[name] != tuple(own[name].shape):
            fault = f"has {name} of shape {shapes[name]}, and the backbone of {tuple(own[name].shape)}"
        elif not found[name].isfinite().all():
            fault = f"has a weight in {name} that is not finite"
        if fault:
            raise UserError(f"model.weights: {path} {fault}: take weights of the network that model.backbone names.")
    backbone.load_state_dict(found)


class Progress:
    """The progress of one training in a folder of its own: its last two states, or the finished result.

    Args:
        folder: the folder's path; the start of ``key`` is appended to its name.
        key: a text that stands for everything that the result depends on. It is kept with every file.
        train: the section of ``params.yaml`` that says how often states are written.
        writes: whether this process writes; only one process of a training does.

    The name of a state ends in the digest of its bytes, so a damaged state is skipped for the one before it.
    """

    def __init__(self, folder, key, train, writes=True):
        self.folder, self.key, self.train, self.writes = Path(f"{folder}-{key[:16]}"), key, train, writes
        self.kept = (time.monotonic(), 0)  # time and step of the last state
        self.begun = time.monotonic()

    @contextlib.contextmanager
    def locked(self, name, target):
        """Lock ``target`` and this folder. Raises UserError if another training has locked ``target``.

        If the same training for another target has locked this folder, this one waits and reuses its result.
        """
        with contextlib.ExitStack() as stack:
            if self.writes:
                busy = f"another {name} is at work in {target}: wait until it ends, or stop it."
                stack.enter_context(locked(target, busy))
                stack.enter_context(locked(self.folder))
            yield

    def finished(self, target, **facts):
        """The history of this training if it is finished, else ``None``. Copies its checkpoint to ``target``.

        ``facts`` replace entries of ``model.json`` that do not depend on the key.
        """
        files = {name: self.folder / name for name in (WEIGHTS, ABOUT, FINISHED)}
        if not all(cache.holds(path, self.key) for path in files.values()):
            return None
        if self.writes:
            _write_files(target, files[WEIGHTS].read_bytes(), json.loads(files[ABOUT].read_text()) | facts)
        return json.loads(files[FINISHED].read_text())["history"]

    def finish(self, target, history):
        """Replace the states by the result: the checkpoint that `save` wrote to ``target``, and ``history``."""
        files = {name: Path(target, name).read_bytes() for name in (WEIGHTS, ABOUT)}
        about = {"weights": hashlib.sha256(files[WEIGHTS]).hexdigest(), "history": history, "seconds": self._seconds()}
        for name, data in (files | {FINISHED: json.dumps(about).encode()}).items():
            with cache.filling(self.folder / name, self.key):
                write_bytes(self.folder / name, data)
        for path in self._states():
            path.unlink()

    def last_state(self):
        """The last undamaged state that `keep` wrote, with tensors on the CPU, or ``None``. Removes damaged ones."""
        for path in self._states():
            try:
                data = path.read_bytes()
                state = torch.load(io.BytesIO(data), "cpu", weights_only=True)
                if (state["key"], _digest(data)) == (self.key, path.stem.rpartition("-")[2]):
                    self.begun -= state["seconds"]
                    return state
            except OSError:  # unreadable for now
                continue
            except Exception:  # torch raises many kinds for a foreign file
                pass
            if self.writes:
                path.unlink()  # or `_write` would take it for one of the last two
        return None

    def should_keep(self, step):
        """Whether the state after ``step`` steps should be written."""
        when, last = self.kept
        minutes, steps = self.train.save_minutes, self.train.save_steps
        late = minutes is not None and time.monotonic() - when >= 60 * minutes
        return late or (steps is not None and step - last >= steps)

    def keep(self, step, state, needed=False):
        """Write ``state``, a dict for `torch.save`, after ``step`` steps.

        If this fails, earlier states remain and a warning is printed. Raises UserError if there is no earlier state or
        this one is ``needed``.
        """
        self.kept = (time.monotonic(), step)
        if not self.writes:
            return
        try:
            self._write(step, state)
        except UserError as error:
            if needed or not self._states():
                raise
            print_line(f"aurl: {error} The training goes on, but a kill would now lose what came after the last state.")

    def _write(self, step, state):
        buffer = io.BytesIO()
        torch.save({"key": self.key, "seconds": self._seconds()} | state, buffer)
        data = buffer.getvalue()
        write_bytes(self.folder / f"state-{step:09d}-{_digest(data)}.pt", data)
        for path in self._states()[2:]:
            path.unlink()

    def _seconds(self):
        """Seconds that the training has taken, including those before the state that it resumed from."""
        return round(time.monotonic() - self.begun, 1)

    def _states(self):
        """The files of states, the latest first."""
        return sorted(self.folder.glob("state-*.pt"), reverse=True)


def seconds(folder, scratch):
    """Seconds that the training of the checkpoint in ``folder`` took; NaN if unknown.

    ``scratch`` is the argument of `aurl.training.loop.train`.
    """
    digest = hashlib.sha256(Path(folder, WEIGHTS).read_bytes()).hexdigest()
    for path in Path(scratch).glob(f"{Path(folder).name}-*/{FINISHED}"):
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):  # a damaged file counts as another's
            about = json.loads(path.read_text())
            if about["weights"] == digest:
                return about.get("seconds", math.nan)
    return math.nan


def _digest(data):
    return hashlib.sha256(data).hexdigest()[:16]


class Interruption:
    """Defers SIGINT and SIGTERM: sets ``asked``, so that the loop stops after the current step.

    A SIGINT more than two seconds after the first signal raises KeyboardInterrupt at once.
    """

    asked = False

    def __enter__(self):
        self.since, self.before = 0, {}
        if threading.current_thread() is threading.main_thread():  # only it may set handlers
            self.before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_):
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _note(self, number, _):
        if self.asked and number == signal.SIGINT and time.monotonic() - self.since > 2:
            raise KeyboardInterrupt
        self.asked, self.since = True, self.since or time.monotonic()
