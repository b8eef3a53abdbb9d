"""Compare losses with many seeds at little cost: train the heads of all variants on one backbone's features.

    python -m aurl.pipeline.heads

The run ``heads.backbone`` with the first seed gives the backbone. Its features of all videos are computed once, into
``build/heads``. The projection, class encoder and centers of every variant are then trained in memory with each seed,
and evaluated on every test set. Each variant gets the learning rate of ``heads.rates`` with the best accuracy on
validation videos. ``heads.sweeps`` repeats this with other values of one parameter. The cache keeps every training.
"""

import argparse
import hashlib
import json
import sys
import time
from functools import partial
from importlib.metadata import version
from itertools import product

import joblib
import numpy as np
import pandas as pd

from aurl import UserError, metrics, text
from aurl.data.clips import open_set
from aurl.data.features import FixedFeatures
from aurl.data.readers import features
from aurl.evaluation import protocols
from aurl.project import cache, config, paths
from aurl.project.config.heads import SECTIONS, sweeps, trainable
from aurl.project.files import write_bytes
from aurl.project.progress import bar, print_line
from aurl.training import checkpoints, devices
from aurl.training.inference import backbone_features
from aurl.training.loop import IGNORED, NotFinite, train_in_memory

RATE_SEEDS = 2  # the first seeds, which choose the learning rate
CLASSES = ["set", "variant", "seed", "class", "videos", "top1", "top5"]


def run():
    """Train and evaluate all heads, and write `paths.HEADS`, `paths.HEADS_RUNS` and `paths.HEADS_SWEEPS`.

    Raises UserError for a variant with other clips or another backbone than ``heads.backbone``, and for a training that
    diverges.
    """
    base = config.load(sections=["run", "heads"])
    variants, swept, first = trainable(), sweeps(), base.run.seeds[0]
    if not variants:  # DVC expects the results anyway
        paths.heads("").parent.mkdir(parents=True, exist_ok=True)
        for path, columns in (
            (paths.HEADS, CLASSES),
            (paths.HEADS_RUNS, CLASSES[:3]),
            (paths.HEADS_SWEEPS, CLASSES[:3]),
        ):
            _write(path, pd.DataFrame(columns=columns))
        return
    backbone = config.load(variant=base.heads.backbone, seed=first, sections=SECTIONS)
    keep_features(backbone, paths.run(base.heads.backbone, first))
    settings = list(variants)
    settings += [params for *_, params in swept if params not in settings]
    fewer = min(base.heads.seeds, base.heads.sweep_seeds)
    seeds = [base.heads.seeds] * len(variants) + [fewer] * (len(settings) - len(variants))
    sets = [paths.merged(backbone.data.train), *backbone.data.test]
    inputs = {
        "code": cache.code_digest("aurl.pipeline.heads"),
        "versions": {name: version(name) for name in ("numpy", "torch")},
        "processor": devices.processor(devices.best_device()),
        "classes": hashlib.sha256(paths.CLASS_VECTORS.read_bytes()).hexdigest(),
        "features": {name: hashlib.sha256(paths.heads(name).read_bytes()).hexdigest() for name in sets},
    }
    begun, found = time.monotonic(), all_seeds(settings, seeds, partial(train_cached, inputs))
    print_line(f"heads: {len(settings)} variants and swept values took {time.monotonic() - begun:.0f} s.")
    classes, runs = (pd.concat([found[settings.index(params)][place] for params in variants]) for place in (0, 1))
    places = pd.Categorical(classes["set"], backbone.data.test).codes  # the order of the studies' tables
    _write(paths.HEADS, classes.iloc[places.argsort(kind="stable")])
    _write(paths.HEADS_RUNS, runs)
    rows = [
        found[settings.index(params)][1].assign(parameter=name, value=value, chosen=chosen)
        for name, value, chosen, params in swept
    ]
    rows = [own[own["seed"] < fewer] for own in rows]
    columns = ["parameter", "value", "chosen", *runs]
    _write(paths.HEADS_SWEEPS, pd.concat([pd.DataFrame(columns=columns), *rows])[columns])


def _write(path, table):
    write_bytes(path, table.to_csv(index=False, lineterminator="\n").encode())


def all_seeds(settings, seeds, train):
    """Train each of ``settings`` with its number of ``seeds`` at its best rate; returns `train`'s tables for each.

    The first `RATE_SEEDS` seeds are trained at every rate. The best rate has the highest mean top-1 on validation
    videos; of equal ones, it is the first.
    """
    heads, compute = settings[0].heads, settings[0].compute
    rate_seeds = range(min(RATE_SEEDS, *seeds))
    tried = list(product(range(len(settings)), heads.rates, rate_seeds))
    rest = sum(count - len(rate_seeds) for count in seeds)
    with bar(total=len(tried) + rest, desc=f"heads on {heads.backbone}", unit="run") as progress:

        def trained(keys):
            jobs = (joblib.delayed(train)(settings[place], rate, seed) for place, rate, seed in keys)
            results = {}
            size = max(1, min(len(keys), _at_once(compute)))
            for result, key in zip(joblib.Parallel(size, return_as="generator")(jobs), keys):
                results[key] = result
                progress.update()
            return results

        found, best = trained(tried), []
        for place in range(len(settings)):
            scores = {rate: sum(found[place, rate, seed][0] for seed in rate_seeds) for rate in heads.rates}
            best.append(max(scores, key=scores.get))
        found |= trained(
            [(place, best[place], seed) for place, n in enumerate(seeds) for seed in range(len(rate_seeds), n)]
        )
    return [
        tuple(pd.concat([found[place, best[place], seed][kind] for seed in range(n)]) for kind in (1, 2))
        for place, n in enumerate(seeds)
    ]


@devices.explain_out_of_memory("evaluate.batch")
def keep_features(params, folder):
    """Encode all videos with the backbone of the checkpoint in ``folder``; writes a file per set to build/heads.

    The training sets share one file, with their train and val splits.
    """
    model, _ = checkpoints.load(folder)
    seen = paths.merged(params.data.train)
    splits = {seen: [(params.data.train, "train"), (params.data.train, "val")]}
    splits |= {name: [([name], "test")] for name in params.data.test}
    for name, parts in splits.items():
        classes, _ = text.load_classes(paths.CLASS_VECTORS, name, params.model.describe)
        opened = [open_set(params, sources, split, classes, count=params.heads.segments) for sources, split in parts]
        file = paths.ENCODED / "heads" / f"{name}.npz"
        encoded = [protocols.key(model, clips, _batch(params, clips), params.compute) for clips in opened]
        key = cache.key_of(code=cache.code_digest("aurl.pipeline.heads"), encoded=encoded)
        if not cache.holds(file, key):
            values, labels, ids, kinds = [], [], [], []
            for clips, (_, split) in zip(opened, parts, strict=True):
                desc = f"features of {name}, {split}"
                values.append(backbone_features(model, clips, _batch(params, clips), params.compute, desc))
                labels += [classes[place] for place in clips.labels]
                ids += clips.ids
                kinds += [split] * len(clips)
            with cache.filling(file, key):
                features.save(file, np.concatenate(values), labels, ids, kinds)
        write_bytes(paths.heads(name), file.read_bytes())


def _batch(params, clips):
    """Videos per batch, so that the number of clips in a batch does not depend on the clips per video."""
    return max(1, params.evaluate.batch // clips.count)


def train_cached(inputs, params, rate, seed):
    """Cached `train`. ``inputs``: every dependency other than the arguments."""
    sections = {name: getattr(params, name).model_dump() for name in SECTIONS if name not in ("run", "heads")}
    sections["train"] = {name: value for name, value in sections["train"].items() if name not in IGNORED}
    sections["evaluate"] = {"batch": params.evaluate.batch}
    key = cache.key_of(inputs=inputs, params=sections, variant=params.variant, rate=rate, seed=seed)
    path = paths.HEADS_TRAINED / f"{key[:32]}.json"
    if cache.holds(path, key):
        score, *tables = json.loads(path.read_text())
        return score, *map(pd.DataFrame, tables)
    score, *tables = train(params, rate, seed)
    with cache.filling(path, key):
        write_bytes(path, json.dumps([score, *(table.to_dict("records") for table in tables)]).encode())
    return score, *tables


def train(params, rate, seed):
    """Top-1 of one training on validation videos, and its rows of `paths.HEADS` and `paths.HEADS_RUNS`."""
    params = params.replace(train={"lr": rate}, evaluate={"processes": 1}).model_copy(update={"seed": seed})
    seen, variant = paths.merged(params.data.train), params.variant
    part = params.text.share / config.load(sections=["text"]).text.share  # of the classes that chapter 2 kept
    known = text.share(*text.load_classes(paths.CLASS_VECTORS, seen, params.model.describe), part)
    table = features.read(paths.heads(seen))
    clips = FixedFeatures(table[table["split"] == "train"], known[0], params.clip.segments, seed)
    val = FixedFeatures(table[table["split"] == "val"], known[0], clips.segments)
    attributes = params.model.projection == "attributes"
    vocabulary = text.load_classes(paths.CLASS_VECTORS, paths.WORDS) if attributes else None
    try:
        trained = train_in_memory(params, clips, val, *known, vocabulary)
    except NotFinite:
        raise UserError(
            f"the loss is not finite in the training of {variant} seed {seed} on fixed features, with the learning "
            f"rate {rate:g}: leave that out of heads.rates."
        ) from None
    model, classes, runs = trained.judged, [], []
    seen_features = protocols.features(model, val, known[1], params)
    for name in params.data.test:
        tested = text.load_classes(paths.CLASS_VECTORS, name, params.model.describe)
        test = FixedFeatures(features.read(paths.heads(name)), tested[0], clips.segments)
        own = protocols.features(model, test, tested[1], params)
        same = protocols.shared(known, tested)
        score, labels = protocols.scores(own), own["labels"]
        found = {f"top{k}": metrics.topk_accuracy(score, labels, min(k, score.shape[1])) for k in (1, 5)}
        found["gzsl_harmonic"] = protocols.generalized(seen_features, own, same)["gzsl_harmonic"]
        geometry = protocols.geometry(own)
        found |= {key: geometry[key] for key in ("closeness", "dispersion")}
        key = {"set": name, "variant": variant, "seed": seed}
        runs.append(key | {"lr": rate} | protocols.rounded(found))
        classes.append(protocols.per_class(own, tested[0]).sort_values("class").assign(**key)[CLASSES])
    return trained.best["val_top1"], pd.concat(classes), pd.DataFrame(runs)


def _at_once(compute):
    """The number of concurrent trainings: one on an accelerator, else the cores divided by ``compute.threads``."""
    if devices.best_device().type != "cpu" or compute.threads is None:
        return 1
    return max(1, joblib.cpu_count() // compute.threads)


if __name__ == "__main__":
    argparse.ArgumentParser(prog="python -m aurl.pipeline.heads", description=__doc__.splitlines()[0]).parse_args()
    try:
        run()
    except UserError as error:
        sys.exit(f"aurl: {error}")
