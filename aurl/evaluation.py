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

    ``chance``, ``top1`` with its 95 % interval ``top1_low``, ``top1_high``, ``top5``, ``mean_per_class`` (all in [0, 1]),
    ``closeness`` (cosine distance, smaller is better aligned), ``dispersion`` (cosine distance, larger is more uniform).
    """
    score, labels = scores(features), features["labels"]
    low, high = metrics.bootstrap_interval(metrics.hits(score, labels), labels, np.random.default_rng(seed), bootstrap)
    figures = {
        "chance": 1 / score.shape[1],
        "top1": metrics.topk_accuracy(score, labels, 1),
        "top1_low": low,
        "top1_high": high,
        "top5": metrics.topk_accuracy(score, labels, min(5, score.shape[1])),
        "mean_per_class": np.nanmean(metrics.per_class_accuracy(score, labels)),
        "closeness": metrics.closeness(features["video"], features["classes"], labels),
        "dispersion": metrics.dispersion(features["classes"]),
    }
    return {name: round(float(value), 4) for name, value in figures.items()}


def markdown(table):
    """The main table as Markdown, accuracies in percent with their 95 % interval, and below it what `verdicts` says."""
    lines = ["| test set | variant | top-1 % (95 % interval) | times chance | top-5 % | closeness ↓ | dispersion ↑ |", "|---|---|---|---|---|---|---|"]
    for row in table.itertuples():
        seed = f", seed {row.seed}" if table["seed"].nunique() > 1 else ""
        lines.append(
            f"| {row.set} | {row.variant}{seed} | {100 * row.top1:.1f} ({100 * row.top1_low:.1f}–{100 * row.top1_high:.1f}) | {row.top1 / row.chance:.1f} "
            f"| {100 * row.top5:.1f} | {row.closeness:.3f} | {row.dispersion:.3f} |"
        )
    return "\n".join([*lines, "", *(f"- {sentence}" for sentence in verdicts(table))]) + "\n"


def verdicts(table, method="aurl"):
    """One sentence per test set, seed and other variant: is ``method`` above it, and do the intervals overlap?"""
    sentences = []
    for (name, seed), rows in table.groupby(["set", "seed"], sort=False):
        rows = rows.set_index("variant")
        if method not in rows.index:
            continue
        ours = rows.loc[method]
        for variant, other in rows.drop(index=method).iterrows():
            points = 100 * (ours["top1"] - other["top1"])
            apart = ours["top1_low"] > other["top1_high"] or other["top1_low"] > ours["top1_high"]
            which = f"{name}, seed {seed}" if table["seed"].nunique() > 1 else name
            side = "above" if points > 0 else "below"
            sentences.append(f"{which}: `{method}` is {abs(points):.1f} points {side} `{variant}`; their intervals {'do not overlap' if apart else 'overlap'}.")
    return sentences
