"""Zero-shot evaluation: features once per data set, every figure from them."""

import io
from pathlib import Path

import numpy as np
import torch

from aurl import UserError, metrics
from aurl.files import write_bytes
from aurl.training import encode


def features(model, clips, words, params, desc=None):
    """A data set seen by a model: ``video`` (N, D) and ``classes`` (C, D), unit length, and ``labels`` (N,), as a dict.

    ``words`` (C, W) are the word vectors of the classes that the clips' labels are places in; ``params`` has the sections
    ``evaluate`` and ``compute``.
    """
    video, labels = encode(model, clips, params.evaluate.batch, params.compute, desc)
    with torch.no_grad():
        classes = model.encode_class(torch.as_tensor(words, device=next(model.parameters()).device)).cpu().numpy()
    return {"video": video, "classes": classes, "labels": labels}


def save(path, features):
    """Keep what `features` returns as ``.npz``."""
    buffer = io.BytesIO()
    np.savez(buffer, **features)
    write_bytes(path, buffer.getvalue())


def load(path):
    """What `save` kept. Raises UserError if it is missing."""
    try:
        with np.load(Path(path)) as arrays:
            return dict(arrays)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: evaluate the variant first, with `dvc repro`.") from None


def scores(features):
    """Cosine of every video with every class, (N, C); the prediction is the highest."""
    return features["video"] @ features["classes"].T


def report(features, bootstrap, seed=0):
    """Every figure of one data set, as a dict of floats.

    ``chance``, ``top1`` with its 95 % interval ``top1_low``, ``top1_high``, ``top5``, ``mean_per_class``; ``half_top1``, the mean
    over ten draws of half the classes with its standard deviation ``half_top1_std`` (all in [0, 1]); ``closeness`` (smaller
    is better aligned) and ``dispersion`` (larger is more uniform), as cosine distances and, with ``_euclidean``, as Euclidean.
    """
    score, labels = scores(features), features["labels"]
    low, high = metrics.bootstrap_interval(metrics.hits(score, labels), labels, np.random.default_rng(seed), bootstrap)
    half = metrics.split_accuracy(score, labels, "half")
    figures = {
        "chance": 1 / score.shape[1],
        "top1": metrics.topk_accuracy(score, labels, 1),
        "top1_low": low,
        "top1_high": high,
        "top5": metrics.topk_accuracy(score, labels, min(5, score.shape[1])),
        "mean_per_class": np.nanmean(metrics.per_class_accuracy(score, labels)),
        "half_top1": half["top1"],
        "half_top1_std": half["top1_std"],
    }
    for distance, suffix in (("cosine", ""), ("euclidean", "_euclidean")):
        figures[f"closeness{suffix}"] = metrics.closeness(features["video"], features["classes"], labels, distance)
        figures[f"dispersion{suffix}"] = metrics.dispersion(features["classes"], distance)
    return rounded(figures)


def generalised(seen, unseen):
    """Generalised zero-shot accuracies, where seen and unseen classes compete for every video, as a dict of floats in [0, 1].

    ``seen`` are the features of held-back videos of training classes, ``unseen`` those of a test set. ``gzsl_seen`` and
    ``gzsl_unseen`` are means over the classes of each, ``gzsl_harmonic`` is their harmonic mean.
    """
    classes = np.concatenate([seen["classes"], unseen["classes"]])
    accuracy = {}
    for name, features, first in (("gzsl_seen", seen, 0), ("gzsl_unseen", unseen, len(seen["classes"]))):
        accuracy[name] = np.nanmean(
            metrics.per_class_accuracy(features["video"] @ classes.T, features["labels"] + first)
        )
    return rounded(accuracy | {"gzsl_harmonic": metrics.harmonic_mean(*accuracy.values())})


def rounded(figures):
    """As floats of four digits, which is what files keep."""
    return {name: round(float(value), 4) for name, value in figures.items()}
