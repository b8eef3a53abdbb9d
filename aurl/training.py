"""Train AURL or a baseline: one readable loop, a checkpoint, and a history of every epoch."""

import hashlib
import io
import json
import math
import os
from pathlib import Path

import numpy as np
import pandas as pd
import safetensors.torch
import torch

import aurl.losses
import aurl.models
from aurl import UserError, metrics
from aurl.files import write_bytes
from aurl.generator import ClassGenerator
from aurl.progress import bar
from aurl.video import to_input


def train(params, clips, val, names, words, folder, scratch, start=None):
    """Train one variant and return its history, one row an epoch.

    The checkpoint kept is the one with the best top-1 on ``val``, the held-back videos of the *training* classes
    (the first of equals); no test class is seen here. A run that was killed goes on from its last whole epoch
    and ends with the same bytes.

    Args:
        params: sections ``model, loss, generator, train, compute``, and ``variant`` and ``seed``.
        clips: training `aurl.video.clips.Clips`, whose labels are places in ``names``.
        val: validation `aurl.video.clips.Clips`.
        names: C class names.
        words: (C, W) word vectors of the classes.
        folder: where ``model.safetensors`` and ``model.json`` go.
        scratch: where the state of an unfinished run is kept.
        start: a folder that `save` wrote, whose video backbone the run begins with instead of random weights.
    """
    limit_threads(params.compute)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it CUDA refuses to be deterministic
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(params.seed)
    device = _device()
    words = torch.as_tensor(words, dtype=torch.float32, device=device)
    model = aurl.models.build(params.model, len(names), words.shape[1]).to(
        device, memory_format=memory_format(device, params.compute)
    )
    if start is not None:
        model.backbone.load_state_dict(load(start)[0].backbone.state_dict())
    generator = ClassGenerator(params.generator.mode, params.generator.num_classes, params.generator.beta)
    optimizer = _optimizer(params.train, model)
    steps = min(len(clips) // params.train.batch, params.train.steps or len(clips))
    if not steps:
        raise UserError(
            f"train.batch is {params.train.batch} but there are only {len(clips)} training videos: lower it."
        )

    state = _Resume(Path(scratch, f"{params.variant}-{params.seed}.pt"), params, clips, val, names, words)
    history, best, first = state.load(model, optimizer)
    for epoch in range(first, params.train.epochs):
        torch.manual_seed(
            _draw(params.seed, epoch, "dropout")
        )  # an epoch's randomness is its own, so that it can be repeated
        rng = torch.Generator().manual_seed(_draw(params.seed, epoch, "generator"))
        shuffle = torch.Generator().manual_seed(_draw(params.seed, epoch, "order"))
        clips.epoch = epoch
        model.train()
        sums = {}
        batches = clips.batches(params.train.batch, shuffle, params.train.steps)
        label = f"{params.variant} seed {params.seed} epoch {epoch + 1}/{params.train.epochs}"
        for step, (video, labels) in enumerate(bar(batches, desc=label, unit="step")):
            for group in optimizer.param_groups:
                group["lr"] = params.train.lr * _schedule(epoch + step / steps, params.train)
            labels = labels.to(device)
            with autocast(device, params.compute):
                projected, classes, centers = model(
                    to_device(video, device, params.compute), words
                )  # (N, D), (C, D), (C, D)
                terms = aurl.losses.total(
                    params.loss.terms, projected=projected, classes=classes, centers=centers, labels=labels,
                    generator=generator, rng=rng, scale=params.loss.scale,
                    uniformity_weight=params.loss.uniformity_weight, margin=params.loss.margin,
                )  # fmt: skip
            optimizer.zero_grad()
            terms["total"].backward()
            optimizer.step()
            for name, term in terms.items():
                sums[name] = sums.get(name, 0) + term.detach()
        means = {name: value.item() / steps for name, value in sums.items()}
        if not math.isfinite(means["total"]):
            raise UserError(
                f"{params.variant}: the loss is no longer a number in epoch {epoch + 1}: lower train.lr ({params.train.lr})."
            )
        history.append(
            {"epoch": epoch + 1, "lr": params.train.lr * _schedule(epoch + 1, params.train)}
            | means
            | validate(model, val, words, params)
        )
        if best is None or history[-1]["val_top1"] > best["val_top1"]:
            best = {"val_top1": history[-1]["val_top1"], "epoch": epoch + 1, "weights": _copy(model)}
        state.save(model, optimizer, history, best)
    save(folder, best["weights"], params.model, names, words, epoch=best["epoch"], val_top1=best["val_top1"])
    state.clear()
    return pd.DataFrame(history)


def validate(model, val, words, params):
    """Top-1 in [0, 1] among the training classes, closeness and dispersion, on validation videos."""
    video, labels = encode(model, val, params.train.batch, params.compute)
    with torch.no_grad():
        classes = model.encode_class(words).cpu().numpy()
    if not np.allclose(
        (video**2).sum(axis=1), 1, atol=0.01
    ):  # not numbers, or zero where a length was too large for one
        raise UserError(
            f"{params.variant}: the features of the validation videos are no longer numbers: lower train.lr ({params.train.lr})."
        )
    return {
        "val_top1": metrics.topk_accuracy(video @ classes.T, labels, 1),
        "val_closeness": metrics.closeness(video, classes, labels),
        "val_dispersion": metrics.dispersion(classes),
    }


@torch.no_grad()
def encode(model, clips, batch, compute, desc=None):
    """Features (N, D) float32 of unit length and labels (N,) of all clips, in their order.

    ``compute`` is the section of that name in ``params.yaml``.
    """
    limit_threads(compute)
    device = next(model.parameters()).device
    model.eval().to(memory_format=memory_format(device, compute))
    features, labels = [], []
    for video, label in bar(clips.batches(batch), desc=desc, unit="batch", disable=desc is None):
        with autocast(device, compute):
            features.append(model.encode_video(to_device(video, device, compute)).cpu())
        labels.append(label)
    return torch.cat(features).numpy(), torch.cat(labels).numpy()


def to_device(video, device, compute):
    """uint8 ``(N, K, T, H, W, 3)`` -> normalised floats ``(N, K, 3, T, H, W)``, laid out in memory as `memory_format` says."""
    flat = to_input(video.flatten(0, 1).to(device)).contiguous(memory_format=memory_format(device, compute))
    return flat.unflatten(0, video.shape[:2])


def limit_threads(compute):
    """Use ``compute.threads`` of the processor's cores: what a sum is split into changes its last digits, and training grows them.

    One thread gives the same result on any number of cores, and two trainings side by side finish sooner than in turn.
    """
    torch.set_num_threads(compute.threads or os.cpu_count())


def autocast(device, compute):
    """bfloat16 arithmetic if ``compute.precision`` asks for it; ``auto``: where the processor has instructions for it."""
    return torch.autocast(device.type, torch.bfloat16, enabled=_bf16(device, compute))


def memory_format(device, compute):
    """Channels last if ``compute.channels_last`` asks for it; ``auto``: together with bfloat16, which gains most by it."""
    last = compute.channels_last == "always" or (compute.channels_last == "auto" and _bf16(device, compute))
    return torch.channels_last_3d if last else torch.contiguous_format


def _bf16(device, compute):
    if compute.precision == "auto":
        return torch.cuda.is_bf16_supported() if device.type == "cuda" else torch.cpu._is_avx512_bf16_supported()
    return compute.precision == "bf16"


def save(folder, weights, model, names, words, **facts):
    """Write ``model.safetensors`` and ``model.json`` (what is needed to build the model again, and ``facts``)."""
    folder = Path(folder)
    about = {"model": model.model_dump(), "word_dim": words.shape[1], "classes": list(names)} | facts
    write_bytes(folder / "model.safetensors", safetensors.torch.save(weights))
    write_bytes(folder / "model.json", (json.dumps(about, indent=1) + "\n").encode())


def load(folder):
    """The model that `save` wrote to ``folder``, in eval mode on the best device there is, and its facts.

    Raises UserError if there is none, or if it is not one of ours.
    """
    from aurl.config import Model

    folder = Path(folder)
    try:
        about = json.loads((folder / "model.json").read_text())
        model = aurl.models.build(Model(**about["model"]), len(about["classes"]), about["word_dim"])
        model.load_state_dict(safetensors.torch.load_file(folder / "model.safetensors"))
    except FileNotFoundError as error:
        raise UserError(f"{error.filename or folder} is missing: train the variant first, with `dvc repro`.") from None
    except Exception as error:
        raise UserError(
            f"{folder} holds no checkpoint of this project ({type(error).__name__}): train the variant again."
        ) from error
    return model.to(_device()).eval(), about


def _device():
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _optimizer(train, model):
    if train.optimizer == "sgd":
        return torch.optim.SGD(model.parameters(), train.lr, momentum=0.9, weight_decay=train.weight_decay)
    return torch.optim.AdamW(model.parameters(), train.lr, weight_decay=train.weight_decay)


def _schedule(epoch, train):
    """Share of the peak learning rate at a (fractional) epoch: linear warm-up from 0, then a cosine to 0 or constant."""
    if epoch < train.warmup_epochs:
        return epoch / train.warmup_epochs
    if train.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (epoch - train.warmup_epochs) / max(train.epochs - train.warmup_epochs, 1e-9)))


def _draw(*key):
    """A seed of 63 bits from anything that has a text."""
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "big") >> 1


def _copy(model):
    return {name: weight.detach().cpu().contiguous().clone() for name, weight in model.state_dict().items()}


def _sizes(paths):
    """Each path with its file's size, which tells most changes of a video from afar."""
    return [(path, os.path.getsize(path) if os.path.exists(path) else None) for path in paths]


class _Resume:
    """The state after the last whole epoch, on disk as long as the run is unfinished."""

    def __init__(self, path, params, clips, val, names, words):
        self.path = path
        sections = {
            name: getattr(params, name).model_dump() for name in ("model", "loss", "generator", "train", "compute")
        }
        data = {
            name: (set_.clip.model_dump(), set_.count, set_.seed, _sizes(set_.paths), set_.labels)
            for name, set_ in (("clips", clips), ("val", val))
        }
        classes = {"names": list(names), "words": words.tolist()}
        self.key = hashlib.sha256(
            json.dumps(sections | data | classes | {"seed": params.seed}, sort_keys=True).encode()
        ).hexdigest()

    def load(self, model, optimizer):
        if self.path.is_file():
            try:
                state = torch.load(self.path, weights_only=True)
            except Exception:  # torch has many ways to say that a file is not whole or not its own; then begin anew
                state = None
            if isinstance(state, dict) and state.get("key") == self.key:
                model.load_state_dict(state["model"])
                optimizer.load_state_dict(state["optimizer"])
                return state["history"], state["best"], len(state["history"])
        return [], None, 0

    def save(self, model, optimizer, history, best):
        buffer = io.BytesIO()
        torch.save(
            {
                "key": self.key,
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "history": history,
                "best": best,
            },
            buffer,
        )
        write_bytes(self.path, buffer.getvalue())

    def clear(self):
        self.path.unlink(missing_ok=True)
