"""Models on disk: the checkpoint that later stages load, and the state of a training that a kill must not lose."""

import io
import json
from pathlib import Path

import safetensors.torch
import torch

import aurl.models
from aurl import UserError, devices
from aurl.config import Model
from aurl.files import is_made_from, note_key, write_bytes

WEIGHTS, ABOUT, HISTORY = "model.safetensors", "model.json", "history.json"


def save(folder, weights, model, names, word_dim, **facts):
    """Write ``model.safetensors`` and ``model.json`` (what is needed to build the model again, and ``facts``).

    ``weights`` is a state dict on the CPU, ``model`` the section of that name, ``names`` the C class names, ``word_dim`` W.
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
    """How far one training has come, in ``folder``: the state after its last whole epoch, or its finished result.

    Both are taken up only by a training with the same ``key``, which holds all that the result depends on.
    """

    def __init__(self, folder, key):
        self.folder, self.key = Path(folder), key
        self.state, self.history = self.folder / "state.pt", self.folder / HISTORY

    def finished(self, target):
        """The history of this very training if it was finished before; its checkpoint goes to ``target``. Else ``None``."""
        if not all(is_made_from(self.folder / name, self.key) for name in (WEIGHTS, ABOUT, HISTORY)):
            return None
        for name in (WEIGHTS, ABOUT):
            write_bytes(Path(target, name), (self.folder / name).read_bytes())
        return json.loads(self.history.read_text())

    def finish(self, target, history):
        """Keep the checkpoint that `save` wrote to ``target``, and ``history``, in place of the state."""
        for name in (WEIGHTS, ABOUT):
            write_bytes(self.folder / name, Path(target, name).read_bytes())
        write_bytes(self.history, json.dumps(history).encode())
        for name in (WEIGHTS, ABOUT, HISTORY):
            note_key(self.folder / name, self.key)
        self.state.unlink(missing_ok=True)

    def resume(self, model, optimizer):
        """Put model and optimizer where the last whole epoch left them; the history and the best epoch so far."""
        try:
            state = torch.load(self.state, weights_only=True)
        except Exception:  # torch has many ways to say that a file is missing, not whole or not its own
            state = None
        if isinstance(state, dict) and state.get("key") == self.key:
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            return state["history"], state["best"]
        return [], None

    def keep(self, model, optimizer, history, best):
        """Keep the state after an epoch; its key lies inside, so that one write replaces both."""
        buffer = io.BytesIO()
        states = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        torch.save({"key": self.key, "history": history, "best": best} | states, buffer)
        write_bytes(self.state, buffer.getvalue())
