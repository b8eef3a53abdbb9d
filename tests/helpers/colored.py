"""Videos of colored noise whose class is their color, for tests of training and of what it leaves."""

from types import SimpleNamespace

import numpy as np
import pandas as pd

from aurl.data.clips import Clips
from aurl.data.features import FixedFeatures
from aurl.data.readers import features
from aurl.project import config

NAMES = ["red", "green", "blue", "dark"]
COLORS = np.array([[200, 60, 60], [60, 200, 60], [60, 60, 200], [40, 40, 40]])
WORDS = np.eye(4, 6, dtype=np.float32) + 0.3
MODEL = dict(
    backbone="r2plus1d", weights=None, width=4, depth=1, pooling="mean", projection="mlp", semantic="learned",
    score="cosine", describe=False, hidden=8, word_hidden=8, dim=8, dropout=0.05,
)  # fmt: skip
LOSS = dict(
    terms=["semantic", "visual", "synthetic"], scale=10.0, uniformity_weight=1.0, margin=0.1, sources="together"
)
TRAIN = dict(
    epochs=4, steps=None, batch=16, micro_batch=None, optimizer="adamw", lr=1e-2, weight_decay=1e-2, decay_norms=True,
    schedule="cosine", milestones=[60, 120], warmup_epochs=1, ema=None, processes=1, nodes=1, rendezvous=None,
    save_minutes=None, save_steps=None, log_every=1,
)  # fmt: skip
FILES = ("model.safetensors", "model.json")


def compute(precision):
    return config.sections.Compute(
        threads=1, precision=precision, channels_last="never", compile="never", cache_gb=1,
        workers=None, workers_gb=None, pin_workers=False,
    )  # fmt: skip


def settings(seed=0, precision="float32", model=None, loss=None, **train):
    return SimpleNamespace(
        model=config.Model(**MODEL | (model or {})),
        loss=config.sections.Loss(**LOSS | (loss or {})),
        train=config.sections.Train(**TRAIN | train),
        generator=config.sections.Generator(mode="released", num_classes=None, beta=1.0),
        compute=compute(precision),
        variant="aurl",
        seed=seed,
    )


def fixed(folder, per_class, seed, random=None, count=1):
    """Features of 5 numbers whose class is their mean, in mixed order, as a data set of them."""
    rng, path = np.random.default_rng(seed), folder / f"{seed}.npz"
    labels = np.tile(np.arange(4), per_class)
    values = (np.eye(4, 5)[labels][:, None] + rng.normal(0, 0.2, (len(labels), 3, 5))).astype(np.float32)
    np.savez(
        path, features=values, labels=labels, classes=NAMES, ids=[f"one/{seed}-{i:03d}" for i in range(len(labels))]
    )
    return FixedFeatures(features.read(path), NAMES, count, random)


def videos(per_class, seed, random=None):
    """Clips whose class is their color, 5 frames per video, in mixed order."""
    rng = np.random.default_rng(seed)
    labels = np.tile(np.arange(4), per_class)
    frames = np.repeat(COLORS[labels], 5, axis=0)[:, None, None] + rng.normal(0, 25, (5 * len(labels), 16, 16, 3))
    manifest = pd.DataFrame(
        {"id": [f"{seed}-{i}" for i in range(len(labels))], "path": [f"{seed}-{i}.mp4" for i in range(len(labels))],
         "digest": [f"{seed}-{i}" for i in range(len(labels))], "class": [NAMES[i] for i in labels], "first": 0,
         "frames": 5},
    )  # fmt: skip
    return Clips(
        manifest,
        NAMES,
        config.Clip(frames=4, segments=1, stride=1, size=16, crop="squash"),
        seed=random,
        cache=frames.clip(0, 255).astype(np.uint8),
    )


class Watched(Clips):
    """Clips that call ``before(epoch, i)`` when item ``i`` is read."""

    def item(self, epoch, i):
        self.before(epoch, i)
        return super().item(epoch, i)


def watched(clips, before):
    found = object.__new__(Watched)
    vars(found).update(vars(clips), before=before)
    return found
