"""Models on disk: the checkpoint that later stages load, and the state of a training that a kill must not lose."""

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
from aurl.project.config import Model
from aurl.project.files import locked, write_bytes
from aurl.project.progress import say
from aurl.training import devices

# What checkpoints are that were written before these could be chosen.
BEFORE = {"backbone": "r2plus1d", "weights": None, "pooling": "mean", "describe": False, "score": "cosine"}
WEIGHTS, ABOUT, FINISHED = "model.safetensors", "model.json", "finished.json"


def save(folder, weights, model, names, word_dim, **facts):
    """Write ``model.safetensors`` and ``model.json`` (what is needed to build the model again, and ``facts``).

    ``weights`` is a state dict on the CPU, ``model`` the section of that name, ``names`` the C class names,
    ``word_dim`` W. A model of features has their dimension F as the fact ``features``, one that tells words in a video
    these as ``vocabulary``.
    """
    about = {"model": model.model_dump(), "word_dim": word_dim, "classes": list(names)} | facts
    write_bytes(Path(folder, WEIGHTS), safetensors.torch.save(weights))
    write_bytes(Path(folder, ABOUT), (json.dumps(about, indent=1) + "\n").encode())


def load(folder):
    """The model that `save` wrote to ``folder``, in eval mode on the best device there is, and its facts.

    Raises UserError if there is none, or if it is not one of ours.
    """
    try:
        about = json.loads(Path(folder, ABOUT).read_text())
        about["model"] = BEFORE | about["model"]
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
    """Give ``backbone``, a network of `aurl.backbones`, the weights of a file.

    The file is a state dict as torchvision's network of that name has it: ``.safetensors``, or what `torch.save` wrote,
    of which nothing is executed. The classifier's weights are passed over. Raises UserError for a file that is missing
    or is no state dict, and for a weight that is missing, foreign, of another shape or not finite.
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
    except Exception as error:  # torch and safetensors have many ways to say that a file is not their own
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


def copy_of(model):
    """The model's weights as `save` takes them, which further training does not change."""
    return {name: weight.detach().cpu().contiguous().clone() for name, weight in model.state_dict().items()}


class Progress:
    """How far one training has come, in a folder of its own: its last two states, or the finished result.

    The folder's name ends in the ``key``, which holds all that the result depends on; the files hold all of the key. A
    state's name ends in the digest of its bytes, so one that is not whole is passed over for the one before it.
    ``train`` is that section of ``params.yaml``, which says how often a state is due. Of several processes, one
    ``writes``.
    """

    def __init__(self, folder, key, train, writes=True):
        self.folder, self.key, self.train, self.writes = Path(f"{folder}-{key[:16]}"), key, train, writes
        self.kept = (time.monotonic(), 0)  # when, and after which step
        self.begun = time.monotonic()

    @contextlib.contextmanager
    def alone(self, name, target):
        """Keep other trainings out of ``target`` and of this folder. Raises UserError if one is in the former.

        One in the latter is the same training, for another target: this one waits, and can then take it over.
        """
        with contextlib.ExitStack() as stack:
            if self.writes:
                busy = f"another {name} is at work in {target}: wait until it ends, or stop it."
                stack.enter_context(locked(target, busy))
                stack.enter_context(locked(self.folder))
            yield

    def finished(self, target):
        """The history of this training if it was finished before, else ``None``; its checkpoint goes to ``target``."""
        try:
            about = json.loads((self.folder / FINISHED).read_text())
            files = {name: (self.folder / name).read_bytes() for name in (WEIGHTS, ABOUT)}
        except (OSError, ValueError):
            return None
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        if not isinstance(about, dict) or (about.get("key"), about.get("digests")) != (self.key, digests):
            return None
        for name, data in files.items() if self.writes else ():
            write_bytes(Path(target, name), data)
        return about["history"]

    def finish(self, target, history):
        """Keep the checkpoint that `save` wrote to ``target``, and ``history``, in place of the states."""
        files = {name: Path(target, name).read_bytes() for name in (WEIGHTS, ABOUT)}
        for name, data in files.items():
            write_bytes(self.folder / name, data)
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        about = {"key": self.key, "digests": digests, "history": history, "seconds": self._seconds()}
        write_bytes(self.folder / FINISHED, json.dumps(about).encode())  # last: without it there is no result
        for path in self._states():
            path.unlink()

    def state(self):
        """The last state that `keep` kept whole, with tensors on the CPU, or ``None``."""
        for path in self._states():
            try:
                data = path.read_bytes()
                state = torch.load(io.BytesIO(data), "cpu", weights_only=True)
                if (state["key"], _digest(data)) == (self.key, path.stem.rpartition("-")[2]):
                    self.begun -= state["seconds"]
                    return state
            except Exception:  # torch has many ways to say that a file is not its own
                continue
        return None

    def due(self, step):
        """Whether the state after ``step`` steps should be kept."""
        when, last = self.kept
        minutes, steps = self.train.save_minutes, self.train.save_steps
        late = minutes is not None and time.monotonic() - when >= 60 * minutes
        return late or (steps is not None and step - last >= steps)

    def keep(self, step, state, needed=False):
        """Keep ``state``, a dict of what `torch.save` can hold, as that after ``step`` steps.

        If it cannot be written, those kept before are still there; the reader is told, and UserError raised if there
        are none or this one is ``needed``.
        """
        self.kept = (time.monotonic(), step)
        if not self.writes:
            return
        try:
            self._write(step, state)
        except UserError as error:
            if needed or not self._states():
                raise
            say(f"aurl: {error} The training goes on, but a kill would now lose what came after the last state.")

    def _write(self, step, state):
        buffer = io.BytesIO()
        torch.save({"key": self.key, "seconds": self._seconds()} | state, buffer)
        data = buffer.getvalue()
        write_bytes(self.folder / f"state-{step:09d}-{_digest(data)}.pt", data)
        for path in self._states()[2:]:
            path.unlink()

    def _seconds(self):
        """How long the training has taken, up to the states that it went on from."""
        return round(time.monotonic() - self.begun, 1)

    def _states(self):
        """The files of states, the last one first."""
        return sorted(self.folder.glob("state-*.pt"), reverse=True)


def seconds(folder, scratch):
    """How long the finished training took whose checkpoint is in ``folder``; NaN if that is not known.

    ``scratch`` is what `aurl.training.loop.train` was given.
    """
    digest = hashlib.sha256(Path(folder, WEIGHTS).read_bytes()).hexdigest()
    for path in Path(scratch).glob(f"{Path(folder).name}-*/{FINISHED}"):
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):  # one that is damaged is not this one
            about = json.loads(path.read_text())
            if about["digests"][WEIGHTS] == digest:
                return about.get("seconds", math.nan)
    return math.nan


def _digest(data):
    return hashlib.sha256(data).hexdigest()[:16]


class Interruption:
    """Ctrl-C and SIGTERM while it lasts: both are noted in ``asked`` rather than obeyed, for the training to end with a
    whole step. A second Ctrl-C, two seconds later or more, is obeyed."""

    asked = False

    def __enter__(self):
        self.since, self.before = 0, {}
        if threading.current_thread() is threading.main_thread():  # no other thread may
            self.before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_):
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _note(self, number, _):
        if self.asked and number == signal.SIGINT and time.monotonic() - self.since > 2:
            raise KeyboardInterrupt
        self.asked, self.since = True, self.since or time.monotonic()
