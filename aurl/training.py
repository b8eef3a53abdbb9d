"""Train AURL or a baseline: one readable loop, a checkpoint, and a history of every epoch."""

import hashlib
import math
import os
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch

import aurl.losses
import aurl.models
from aurl import UserError, checkpoints, code, devices, metrics
from aurl.files import key_of
from aurl.generator import ClassGenerator
from aurl.inference import encode, encode_classes, to_device
from aurl.progress import bar

SECTIONS = ("model", "loss", "generator", "train")  # that decide what is trained
# Code that no weight depends on: a change in it repeats no training.
HARMLESS = ("aurl", "aurl.code", "aurl.config", "aurl.files", "aurl.paths", "aurl.progress")


def train(params, clips, val, names, word_vectors, folder, scratch, start=None):
    """Train one variant and return its history, one row per epoch.

    The checkpoint kept is the one with the best top-1 on ``val``, the held-back videos of the *training* classes (the
    first of equals); no test class is seen here. A killed run resumes after its last whole epoch and ends with the same
    bytes. A training that was finished before, with the same code, parameters, videos, word vectors and seed, is not
    repeated: its checkpoint and history are taken over.

    Args:
        params: sections ``model, loss, generator, train, compute``, and ``variant`` and ``seed``.
        clips: training `aurl.video.clips.Clips`, whose labels are places in ``names``.
        val: validation `aurl.video.clips.Clips`.
        names: C class names.
        word_vectors: (C, W) word vectors of the classes.
        folder: where ``model.safetensors`` and ``model.json`` go.
        scratch: where the state of unfinished trainings is kept, and the result of finished ones.
        start: a folder that `aurl.checkpoints.save` wrote, whose video backbone the run begins with instead of random
            weights.

    Raises UserError for a batch larger than the training set and for a loss that is not finite.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it CUDA refuses to be deterministic
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(params.seed)
    device = devices.best_device()
    word_vectors = torch.as_tensor(word_vectors, dtype=torch.float32, device=device)
    model = aurl.models.build(params.model, len(names), word_vectors.shape[1]).to(device)
    if start is not None:
        model.backbone.load_state_dict(checkpoints.load(start)[0].backbone.state_dict())
    arithmetic = devices.settle(model, clips.clip, params.train.batch, params.compute)
    model.to(memory_format=arithmetic.memory_format)
    generator = ClassGenerator(params.generator.mode, params.generator.num_classes, params.generator.beta)
    optimizer = _optimizer(params.train, model)
    steps = min(len(clips) // params.train.batch, params.train.steps or len(clips))
    if not steps:
        raise UserError(
            f"train.batch is {params.train.batch} but there are only {len(clips)} training videos: lower it."
        )

    key = _key(params, clips, val, names, word_vectors, model, arithmetic)
    progress = checkpoints.Progress(Path(scratch, f"{params.variant}-{params.seed}"), key)
    if (history := progress.finished(folder)) is not None:
        return pd.DataFrame(history)
    history, best = progress.resume(model, optimizer)
    for epoch in range(len(history), params.train.epochs):
        torch.manual_seed(_draw(params.seed, epoch, "dropout"))  # an epoch's randomness is its own and can be repeated
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
            with arithmetic.autocast():
                projected, classes, centers = model(
                    to_device(video, arithmetic), word_vectors
                )  # (N, D), (C, D), (C, D)
                terms = aurl.losses.total(
                    params.loss.terms, projected=projected, classes=classes, centers=centers, labels=labels.to(device),
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
            at = f"epoch {epoch + 1}: lower train.lr ({params.train.lr})."
            raise UserError(f"the loss of variant {params.variant} is not finite in {at}")
        rate = params.train.lr * _schedule(epoch + 1, params.train)
        history.append({"epoch": epoch + 1, "lr": rate} | means | validate(model, val, word_vectors, params))
        if best is None or history[-1]["val_top1"] > best["val_top1"]:
            best = {"val_top1": history[-1]["val_top1"], "epoch": epoch + 1, "weights": checkpoints.copy_of(model)}
        progress.keep(model, optimizer, history, best)
    facts = {"epoch": best["epoch"], "val_top1": best["val_top1"], "arithmetic": arithmetic.facts()}
    checkpoints.save(folder, best["weights"], params.model, names, word_vectors.shape[1], **facts)
    progress.finish(folder, history)
    return pd.DataFrame(history)


def validate(model, val, word_vectors, params):
    """Top-1 in [0, 1] among the training classes, closeness and dispersion, on validation videos."""
    video, labels = encode(model, val, params.train.batch, params.compute)
    classes = encode_classes(model, word_vectors)
    if not np.allclose((video**2).sum(axis=1), 1, atol=0.01):  # NaN, or zero where a length overflowed
        raise UserError(
            f"training of variant {params.variant} diverged and its features have no direction any more: "
            f"lower train.lr ({params.train.lr})."
        )
    return {
        "val_top1": metrics.topk_accuracy(video @ classes.T, labels, 1),
        "val_closeness": metrics.closeness(video, classes, labels),
        "val_dispersion": metrics.dispersion(classes),
    }


def _optimizer(train, model):
    if train.optimizer == "sgd":
        return torch.optim.SGD(model.parameters(), train.lr, momentum=0.9, weight_decay=train.weight_decay)
    return torch.optim.AdamW(model.parameters(), train.lr, weight_decay=train.weight_decay)


def _schedule(epoch, train):
    """Share of the peak rate at a (fractional) epoch: linear warm-up from 0, then a cosine to 0 or constant."""
    if epoch < train.warmup_epochs:
        return epoch / train.warmup_epochs
    if train.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (epoch - train.warmup_epochs) / max(train.epochs - train.warmup_epochs, 1e-9)))


def _draw(*key):
    """A seed of 63 bits from anything that has a text."""
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "big") >> 1


def _key(params, clips, val, names, word_vectors, model, arithmetic):
    """Everything that the result depends on; the initial weights stand for ``start``."""
    return key_of(
        code=code.digest("aurl.training", "aurl.video.clips", without=HARMLESS),
        versions={name: version(name) for name in ("av", "numpy", "torch", "torchvision")},
        arithmetic=arithmetic.facts(),
        params={name: getattr(params, name).model_dump() for name in SECTIONS},
        seed=params.seed,
        weights={name: _digest(weight) for name, weight in model.state_dict().items()},
        clips=clips.facts(),
        val=val.facts(),
        names=list(names),
        word_vectors=_digest(word_vectors),
    )


def _digest(tensor):
    return hashlib.sha256(tensor.detach().cpu().contiguous().numpy().tobytes()).hexdigest()
