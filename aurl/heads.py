"""Every loss with many seeds at little cost: the heads of all variants, trained on one backbone's features.

    python -m aurl.heads

The backbone is that of the run ``heads.backbone`` with the first seed. Its features of all videos are computed once and
kept in ``build/heads``, in the layout of `aurl.datasets.features`, which also reads them here. Then the projection, the
class encoder and the centers of every variant are trained anew with each seed, in memory, and evaluated on every test
set. As all start from the same features, variants differ in their heads and losses alone.
"""

import io
import math
import sys
import time

import joblib
import pandas as pd
import torch

from aurl import UserError, checkpoints, config, devices, evaluation, metrics, paths, text
from aurl.datasets import features
from aurl.files import write_bytes
from aurl.inference import to_device
from aurl.progress import bar, say
from aurl.training import Order, Run, validate
from aurl.video.clips import open_set
from aurl.video.fixed import FixedFeatures

SECTIONS = ["run", "data", "clip", "compute", "model", "loss", "generator", "train", "evaluate", "heads"]
SHARED = [
    "backbone",
    "weights",
    "width",
    "depth",
    "pooling",
]  # parameters of the model that a backbone was trained with
ORDER = ["set", "variant", "seed"]


def run():
    """Train and evaluate all heads; their figures go to `paths.HEADS` (every class) and `paths.HEADS_RUNS`.

    Raises UserError for a variant of ``heads.variants`` whose clips or backbone are others than those of
    ``heads.backbone``, and for a training that diverges.
    """
    base = config.load(sections=["run", "heads", "compute"])
    variants, first = trainable(), base.run.seeds[0]
    backbone = config.load(variant=base.heads.backbone, seed=first, sections=SECTIONS)
    keep_features(backbone, paths.run(base.heads.backbone, first))
    seeds, begun = range(base.heads.seeds), time.monotonic()
    jobs = [joblib.delayed(train)(params.model_copy(update={"seed": seed})) for params in variants for seed in seeds]
    results = joblib.Parallel(_at_once(base.compute), return_as="generator")(jobs)
    found = list(bar(results, desc=f"heads on {base.heads.backbone}", unit="run", total=len(jobs)))
    say(f"heads: {len(jobs)} trainings took {time.monotonic() - begun:.0f} s.")
    for path, place in ((paths.HEADS, 0), (paths.HEADS_RUNS, 1)):
        table = pd.concat([tables[place] for tables in found])
        sets = pd.Categorical(table["set"], backbone.data.test)  # rows are sorted as the studies' tables are
        table = table.iloc[sets.codes.argsort(kind="stable")] if place == 0 else table
        write_bytes(path, table.to_csv(index=False, lineterminator="\n").encode())


def trainable(path="params.yaml"):
    """The parameters of each variant under ``heads.variants``, with features in place of a backbone.

    Of all variants (null) those are left out that see other clips than ``heads.backbone``, or by another backbone.
    """
    heads = config.load(path, sections=["heads"]).heads
    own = config.load(path, heads.backbone, sections=SECTIONS)
    found = []
    for name in heads.variants or config.load(path).variants:
        params = config.load(path, name, sections=SECTIONS)
        if params.clip == own.clip and all(getattr(params.model, key) == getattr(own.model, key) for key in SHARED):
            found.append(params.replace(model={"backbone": config.FEATURES, "weights": None}))
        elif heads.variants:
            raise UserError(
                f"heads.variants names {name}, whose clips or backbone are not those of {heads.backbone}: leave it out."
            )
    return found


def keep_features(params, folder):
    """Keep the features of all videos by the backbone of the checkpoint in ``folder``, a file per set in build/heads.

    The training sets are one file, with both their splits.
    """
    model, _ = checkpoints.load(folder)
    seen = paths.merged(params.data.train)
    splits = {seen: [(params.data.train, "train"), (params.data.train, "val")]}
    splits |= {name: [([name], "test")] for name in params.data.test}
    for name, parts in splits.items():
        classes, _ = text.load_classes(paths.CLASS_VECTORS, name, params.model.describe)
        values, labels, ids, kinds = [], [], [], []
        for sources, split in parts:
            clips = open_set(params, sources, split, classes, count=params.heads.segments)
            values.append(backbone_features(model, clips, params, f"features of {name}, {split}"))
            labels += [classes[place] for place in clips.labels]
            ids += clips.ids
            kinds += [split] * len(clips)
        buffer = io.BytesIO()
        features.save(buffer, torch.cat(values).numpy(), labels, ids, kinds)
        write_bytes(paths.heads(name), buffer.getvalue())


@torch.no_grad()
def backbone_features(model, clips, params, desc=None):
    """The backbone's features (N, K, F), float32, of the K clips of each video, before any pooling or projection."""
    batch = max(1, params.evaluate.batch // clips.count)
    arithmetic = devices.settle(model, clips.clip, batch, params.compute)
    model.eval().to(memory_format=arithmetic.memory_format)
    found = []
    for video, _, mirrored in bar(clips.batches(batch, None, params.compute), desc=desc, unit="batch"):
        with arithmetic.autocast():
            own = model.backbone(to_device(video, mirrored, arithmetic).flatten(0, 1))  # (n * K, F)
        found.append(own.float().cpu().unflatten(0, video.shape[:2]))
    return torch.cat(found)


def train(params):
    """The heads of one variant and seed: the rows of both tables, each class's and the training's own."""
    seen, variant, seed = paths.merged(params.data.train), params.variant, params.seed
    known = text.load_classes(paths.CLASS_VECTORS, seen, params.model.describe)
    table = features.read(paths.heads(seen))
    clips = FixedFeatures(table[table["split"] == "train"], known[0], seed=seed)
    val = FixedFeatures(table[table["split"] == "val"], known[0], clips.segments)
    model = fit(params, clips, val, *known)
    seen_features = evaluation.features(model, val, known[1], params)
    classes, runs = [], []
    for name in params.data.test:
        tested = text.load_classes(paths.CLASS_VECTORS, name, params.model.describe)
        test = FixedFeatures(features.read(paths.heads(name)), tested[0], clips.segments)
        own = evaluation.features(model, test, tested[1], params)
        same = evaluation.shared(known, tested)
        score, labels = evaluation.scores(own), own["labels"]
        found = {f"top{k}": metrics.topk_accuracy(score, labels, min(k, score.shape[1])) for k in (1, 5)}
        found["gzsl_harmonic"] = evaluation.generalized(seen_features, own, same)["gzsl_harmonic"]
        geometry = evaluation.geometry(own)
        found |= {key: geometry[key] for key in ("closeness", "dispersion")}
        runs.append({"set": name, "variant": variant, "seed": seed} | evaluation.rounded(found))
        rows = evaluation.per_class(own, tested[0])[["class", "videos", "top1", "top5"]].sort_values("class")
        rows = rows.assign(set=name, variant=variant, seed=seed)
        classes.append(rows[[*ORDER, "class", "videos", "top1", "top5"]])
    return pd.concat(classes), pd.DataFrame(runs)


def fit(params, clips, val, names, word_vectors):
    """The trained model of its best epoch on ``val``: `aurl.training.train` without anything on the disk."""
    vocabulary = (
        text.load_classes(paths.CLASS_VECTORS, paths.WORDS) if params.model.projection == "attributes" else None
    )
    run = Run(params, clips, names, word_vectors, vocabulary=vocabulary)
    order = Order(len(clips), params.train, params.seed)
    for batch in clips.batches(params.train.batch, order):
        means, _ = run.take(batch, order)
        if not math.isfinite(means["total"] + means["grad_norm"]):
            raise UserError(f"the loss is not finite in the {run.name} on fixed features: lower its train.lr.")
        run.count(means)
        if run.step % order.steps == 0:
            run.close_epoch(validate(run.judged, val, run.word_vectors, params))
    run.judged.load_state_dict(run.best["weights"])
    return run.judged


def _at_once(compute):
    """Trainings side by side: one on an accelerator, else as many as ``compute.threads`` leaves cores for."""
    if devices.best_device().type != "cpu" or compute.threads is None:
        return 1
    return max(1, joblib.cpu_count() // compute.threads)


if __name__ == "__main__":
    try:
        run()
    except UserError as error:
        sys.exit(f"aurl: {error}")
