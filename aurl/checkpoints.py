"""Models on disk: the checkpoint that later stages load, and the state of a training that a kill must not lose."""

import hashlib
import io
import json
from pathlib import Path

import safetensors.torch
import torch

import aurl.models
from aurl import UserError, devices
from aurl.config import Model
from aurl.files import write_bytes

WEIGHTS, ABOUT, STATE, FINISHED = "model.safetensors", "model.json", "state.pt", "finished.json"


def save(folder, weights, model, names, word_dim, **facts):
    """Write ``model.safetensors`` and ``model.json`` (what is needed to build the model again, and ``facts``).

    ``weights`` is a state dict on the CPU, ``model`` the section of that name, ``names`` the C class names,
    ``word_dim`` W.
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
        model = aurl.models.build(Model(**about["model"]), len(about["classes"]), about["word_dim"])
        model.load_state_dict(safetensors.torch.load_file(Path(folder, WEIGHTS)))
    except FileNotFoundError as error:
        raise UserError(f"{error.filename or folder} is missing: train the variant first, with `dvc repro`.") from None
    except Exception as error:
        raise UserError(
            f"{folder} holds no checkpoint of this project ({type(error).__name__}): train the variant again."
        ) from error
    return model.to(devices.best_device()).eval(), about


def copy_of(model):
    """The model's weights as `save` takes them, which further training does not change."""
    return {name: weight.detach().cpu().contiguous().clone() for name, weight in model.state_dict().items()}


class Progress:
    """How far one training has come, in a folder of its own: the state after an epoch, or the finished result.

    The folder's name ends in the ``key``, which holds all that the result depends on; both files hold all of the key.
    """

    def __init__(self, folder, key):
        self.folder, self.key = Path(f"{folder}-{key[:16]}"), key

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
        for name, data in files.items():
            write_bytes(Path(target, name), data)
        return about["history"]

    def finish(self, target, history):
        """Keep the checkpoint that `save` wrote to ``target``, and ``history``, in place of the state."""
        files = {name: Path(target, name).read_bytes() for name in (WEIGHTS, ABOUT)}
        for name, data in files.items():
            write_bytes(self.folder / name, data)
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        about = {"key": self.key, "digests": digests, "history": history}
        write_bytes(self.folder / FINISHED, json.dumps(about).encode())  # last: without it there is no result
        (self.folder / STATE).unlink(missing_ok=True)

    def resume(self, model, optimizer):
        """Put model and optimizer where the last whole epoch left them; the history and the best epoch so far."""
        try:
            state = torch.load(self.folder / STATE, weights_only=True)
        except Exception:  # torch has many ways to say that a file is missing, not whole or not its own
            state = None
        if isinstance(state, dict) and state.get("key") == self.key:
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            return state["history"], state["best"]
        return [], None

    def keep(self, model, optimizer, history, best):
        """Keep the state after an epoch."""
        buffer = io.BytesIO()
        states = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        torch.save({"key": self.key, "history": history, "best": best} | states, buffer)
        write_bytes(self.folder / STATE, buffer.getvalue())
