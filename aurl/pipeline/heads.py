"""Every loss with many seeds at little cost: the heads of all variants, trained on one backbone's features.

    python -m aurl.pipeline.heads

The backbone is that of the run ``heads.backbone`` with the first seed. Its features of all videos are computed once and
kept in ``build/heads``, in the layout of `aurl.data.readers.features`, which also reads them here. Then the
projection, the
class encoder and the centers of every variant are trained anew with each seed, in memory, and evaluated on every test
set. As all start from the same features, variants differ in their heads and losses alone. Each gets the learning rate
of ``heads.rates`` that is best on validation videos. ``heads.sweeps`` does the same with other values of one parameter.
What a training came to is kept, so that a killed run goes on and a further variant costs its own trainings only.
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
from aurl.project import code, config, paths
from aurl.project.config.heads import SECTIONS, sweeps, trainable
from aurl.project.files import forget_key, is_made_from, key_of, note_key, write_bytes
from aurl.project.progress import bar, say
from aurl.training import checkpoints, devices
from aurl.training.inference import backbone_features
from aurl.training.loop import IGNORED, NotFinite, train_in_memory

JUDGES = 2  # seeds, the first ones, over which a learning rate is chosen
CLASSES = ["set", "variant", "seed", "class", "videos", "top1", "top5"]


def run():
    """Train and evaluate all heads: every class's figures go to `paths.HEADS`, every training's to `paths.HEADS_RUNS`
    and those of the sweeps to `paths.HEADS_SWEEPS`.

    Raises UserError for a variant of ``heads.variants`` whose clips or backbone are others than those of
    ``heads.backbone``, and for a training that diverges.
    """
    base = config.load(sections=["run", "heads"])
    variants, swept, first = trainable(), sweeps(), base.run.seeds[0]
    backbone = config.load(variant=base.heads.backbone, seed=first, sections=SECTIONS)
    keep_features(backbone, paths.run(base.heads.backbone, first))
    settings = list(variants)
    settings += [params for *_, params in swept if params not in settings]
    fewer = min(base.heads.seeds, base.heads.sweep_seeds)
    seeds = [base.heads.seeds] * len(variants) + [fewer] * (len(settings) - len(variants))
    inputs = {
        "code": code.digest("aurl.pipeline.heads"),
        "versions": {name: version(name) for name in ("numpy", "torch")},
        "processor": devices.processor(),
        "classes": hashlib.sha256(paths.CLASS_VECTORS.read_bytes()).hexdigest(),
        "features": {name: hashlib.sha256(paths.heads(name).read_bytes()).hexdigest() for name in _sets(backbone)},
    }
    begun, found = time.monotonic(), all_seeds(settings, seeds, partial(kept, inputs))
    say(f"heads: {len(settings)} variants and swept values took {time.monotonic() - begun:.0f} s.")
    classes, runs = (pd.concat([found[settings.index(params)][place] for params in variants]) for place in (0, 1))
    sets = pd.Categorical(classes["set"], backbone.data.test)  # rows are sorted as the studies' tables are
    _write(paths.HEADS, classes.iloc[sets.codes.argsort(kind="stable")])
    _write(paths.HEADS_RUNS, runs)
    rows = [
        found[settings.index(params)][1].assign(parameter=name, value=value, chosen=chosen)
        for name, value, chosen, params in swept
    ]
    rows = [own[own["seed"] < fewer] for own in rows]
    columns = ["parameter", "value", "chosen", *runs]
    _write(paths.HEADS_SWEEPS, pd.concat([pd.DataFrame(columns=columns), *rows])[columns])


def _sets(params):
    return [paths.merged(params.data.train), *params.data.test]


def _write(path, table):
    write_bytes(path, table.to_csv(index=False, lineterminator="\n").encode())


def all_seeds(settings, seeds, train):
    """Every one of ``settings`` with the first of its ``seeds``, at the best rate: pairs of `train`'s tables.

    The first `JUDGES` seeds are trained at every rate. The best has the highest top-1 on validation videos, in the mean
    over them; of equals it is the first.
    """
    heads, compute = settings[0].heads, settings[0].compute
    judges = range(min(JUDGES, *seeds))
    tried = list(product(range(len(settings)), heads.rates, judges))
    rest = sum(count - len(judges) for count in seeds)
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
            scores = {rate: sum(found[place, rate, seed][0] for seed in judges) for rate in heads.rates}
            best.append(max(scores, key=scores.get))
        found |= trained(
            [(place, best[place], seed) for place, n in enumerate(seeds) for seed in range(len(judges), n)]
        )
    return [
        tuple(pd.concat([found[place, best[place], seed][kind] for seed in range(n)]) for kind in (1, 2))
        for place, n in enumerate(seeds)
    ]


def keep_features(params, folder):
    """Keep the features of all videos by the backbone of the checkpoint in ``folder``, a file per set in build/heads.

    The training sets are one file, with both their splits. A set is taken from build/encoded if model, videos, clips
    and arithmetic are those that it was encoded with.
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
        key = key_of(code=code.digest("aurl.pipeline.heads"), encoded=encoded)
        if not is_made_from(file, protocols.sealed(key, file)):
            values, labels, ids, kinds = [], [], [], []
            for clips, (_, split) in zip(opened, parts, strict=True):
                desc = f"features of {name}, {split}"
                values.append(backbone_features(model, clips, _batch(params, clips), params.compute, desc))
                labels += [classes[place] for place in clips.labels]
                ids += clips.ids
                kinds += [split] * len(clips)
            forget_key(file)
            features.save(file, np.concatenate(values), labels, ids, kinds)
            note_key(file, protocols.sealed(key, file))
        write_bytes(paths.heads(name), file.read_bytes())


def _batch(params, clips):
    """Videos at a time: as many clips, however many a video has."""
    return max(1, params.evaluate.batch // clips.count)


def kept(inputs, params, rate, seed):
    """`train`, or what it came to when it was done before; ``inputs`` are all that it depends on but its arguments."""
    sections = {name: getattr(params, name).model_dump() for name in SECTIONS if name not in ("run", "heads")}
    sections["train"] = {name: value for name, value in sections["train"].items() if name not in IGNORED}
    sections["evaluate"] = {"batch": params.evaluate.batch}
    key = key_of(inputs=inputs, params=sections, variant=params.variant, rate=rate, seed=seed)
    path = paths.TRAININGS / "heads" / f"{key}.json"
    try:
        about = json.loads(path.read_text())
        if (about["key"], about["digest"]) == (key, key_of(result=about["result"])):
            score, *tables = about["result"]
            return score, *map(pd.DataFrame, tables)
    except (OSError, ValueError, TypeError, KeyError):  # there is none, or it is not whole
        pass
    score, *tables = train(params, rate, seed)
    result = [score, *(table.to_dict("records") for table in tables)]
    write_bytes(path, json.dumps({"key": key, "digest": key_of(result=result), "result": result}).encode())
    return score, *tables


def train(params, rate, seed):
    """The heads of one variant and seed: top-1 on validation videos, and the rows of both tables, each class's and the
    training's own."""
    params = params.replace(train={"lr": rate}, evaluate={"processes": 1}).model_copy(update={"seed": seed})
    seen, variant = paths.merged(params.data.train), params.variant
    part = params.text.share / config.load(sections=["text"]).text.share  # of what chapter 2 has kept
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
    """Trainings side by side: one on an accelerator, else as many as ``compute.threads`` leaves cores for."""
    if devices.best_device().type != "cpu" or compute.threads is None:
        return 1
    return max(1, joblib.cpu_count() // compute.threads)


if __name__ == "__main__":
    argparse.ArgumentParser(prog="python -m aurl.pipeline.heads", description=__doc__.splitlines()[0]).parse_args()
    try:
        run()
    except UserError as error:
        sys.exit(f"aurl: {error}")
