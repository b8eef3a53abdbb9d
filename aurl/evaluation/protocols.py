"""Zero-shot evaluation: every protocol, from features computed once per data set and number of clips."""

import hashlib
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from aurl import UserError, metrics
from aurl.project import cache
from aurl.project.files import npz, to_csv, write_bytes
from aurl.rivals import Relation
from aurl.text.class_names import words
from aurl.text.class_vectors import unit
from aurl.training import devices, processes
from aurl.training.inference import encode, encode_classes, mean_over_segments, rank, similarity

ARRAYS = {"video", "classes", "labels"}
RELATION = "relation."
CALIBRATED = ["gzsl_gamma", "gzsl_calibrated_seen", "gzsl_calibrated_unseen", "gzsl_calibrated_harmonic"]
GENERALIZED = ["gzsl_seen", "gzsl_unseen", "gzsl_harmonic", "gzsl_area", *CALIBRATED]


def features(model, clips, word_vectors, params, desc=None, kept=None):
    """Encode a data set: unit-length ``video`` (N, D) and ``classes`` (C, D), and ``labels`` (N,), as a dict.

    ``video`` is the average over a video's clips (`aurl.models.AURL.encode_video`), which suffices for every protocol.
    With a learned relation, ``video`` is (N, K, D), and the dict also has the weights of the `aurl.rivals.Relation`,
    with names that start with `RELATION`.

    Args:
        model: an `aurl.models.AURL`.
        clips: `aurl.data.clips.Clips`.
        word_vectors: (C, W) of the classes that the labels of ``clips`` index.
        params: the sections ``evaluate`` and ``compute``.
        desc: the name of a progress bar; without it, none is drawn.
        kept: a path where the videos' features are kept, and reused for the same model, videos, clips and arithmetic.
    """
    return processes.run_in_processes(
        _features,
        model,
        clips,
        word_vectors,
        params,
        desc,
        kept,
        processes=params.evaluate.processes,
        name=desc or "encoding",
    )


@devices.explain_out_of_memory("evaluate.batch")
def _features(model, clips, word_vectors, params, desc, kept):
    model.to(devices.best_device())  # each process has its own device
    batch = max(1, params.evaluate.batch // clips.count)  # the same number of clips at a time for any K
    classes = encode_classes(model, word_vectors)
    about = kept and key(model, clips, batch, params.compute)
    if kept and cache.holds(kept, about):
        return load(kept) | {"classes": classes}
    video, labels = encode(model, clips, batch, params.compute, desc)
    found = {"video": video, "classes": classes, "labels": labels}
    if model.relation is not None:
        found |= {RELATION + name: weight.cpu().numpy() for name, weight in model.relation.state_dict().items()}
    if kept and processes.rank() == 0:
        with cache.filling(kept, about):
            save(kept, found)
    return found


def key(model, clips, batch, compute):
    """The key of everything that the videos' features depend on."""
    weights = model.state_dict()
    return cache.key_of(
        code=cache.code_digest("aurl.training.inference", "aurl.models", "aurl.data.clips", skip=cache.NAMES_GIVEN),
        versions={name: version(name) for name in ("av", "numpy", "torch", "torchvision")},
        arithmetic=devices.choose_arithmetic(model, clips.clip, batch, compute).facts()
        | {"processes": processes.count()},
        batch=batch,
        weights={name: hashlib.sha256(weight.cpu().numpy().tobytes()).hexdigest() for name, weight in weights.items()},
        clips=clips.facts(),
    )


def save(path, features):
    """Write `features` as ``.npz``."""
    write_bytes(path, npz(features))


def load(path):
    """The features that `save` wrote. Raises UserError for a file that is missing, truncated or of another kind."""
    try:
        with np.load(Path(path)) as arrays:
            found = dict(arrays)
        if {name for name in found if not name.startswith(RELATION)} != ARRAYS:
            raise KeyError(*ARRAYS ^ found.keys())
        return found
    except FileNotFoundError:
        raise UserError(f"{path} is missing: evaluate the variant first, with `dvc repro`.") from None
    except Exception as error:  # truncated and foreign files fail in many ways
        raise UserError(
            f"{path} holds no features of this project, or not all of them ({type(error).__name__}): "
            "delete it and run `dvc repro`."
        ) from error


def scores(features, classes=None, exact=False):
    """Scores (N, C) of every video with the classes of its set, or with other ``classes`` (C, D).

    A score is the cosine or the learned relation (`aurl.training.inference.similarity`). ``exact`` cosines are summed
    in float64, which is slower, so that their first digits do not depend on the machine's linear algebra library.
    """
    weights = {name: torch.from_numpy(value) for name, value in features.items() if name.startswith(RELATION)}
    relation = None
    if weights:
        relation = Relation(*reversed(weights[f"{RELATION}judge.0.weight"].shape))
        relation.load_state_dict({name.removeprefix(RELATION): weight for name, weight in weights.items()})
    video, classes = features["video"], features["classes"] if classes is None else classes
    if exact and relation is None:
        video, classes = video.astype(np.float64), classes.astype(np.float64)
    return similarity(video, classes, relation)


def predictions(features, ids, names, k=5):
    """The model's predictions, one row per video: ``id``, its class ``label``, ``top1`` ... and ``score1`` ....

    ``top1`` to ``top5`` are the ``k`` best of the C ``names``, or all if C < k; ``score1`` to ``score5`` are their
    `scores`, rounded to four digits.
    """
    best, found = rank(scores(features, exact=True), names, k)
    columns = {"id": list(ids), "label": np.array(names)[features["labels"]]}
    columns |= {f"top{place + 1}": best[:, place] for place in range(best.shape[1])}
    # Adding 0 turns -0 into 0.
    columns |= {f"score{place + 1}": found[:, place].astype(float).round(4) + 0 for place in range(best.shape[1])}
    return pd.DataFrame(columns)


def save_predictions(path, table):
    """Write `predictions` as CSV, for programs and spreadsheets (`to_csv`)."""
    write_bytes(path, to_csv(table).encode())


def examples(features, table, count=3):
    """The best and the worst `predictions` of ``count`` different classes each, indexed by "best" and "worst".

    Predictions are sorted by the score of the right class minus the best other score. Two columns describe the right
    class: ``place``, its rank (1 if it is predicted), and ``score``.
    """
    score, labels = scores(features, exact=True), features["labels"]
    right = np.take_along_axis(score, labels[:, None], axis=1)[:, 0]
    others = np.where(np.arange(score.shape[1]) == labels[:, None], -np.inf, score).max(axis=1)
    table = table.assign(place=1 + (score > right[:, None]).sum(axis=1), score=right.astype(float).round(4) + 0)
    table = table.iloc[np.argsort(others - right, kind="stable")]
    count = min(count, table["label"].nunique() // 2)  # then no video is among the best and the worst
    best, worst = (table.drop_duplicates("label", keep=end) for end in ("first", "last"))
    return pd.concat({"best": best.head(count), "worst": worst.tail(count)}).droplevel(1)


def geometry(features):
    """Closeness (smaller is better aligned) and dispersion (larger is more uniform), as a dict of floats.

    ``closeness`` and ``dispersion`` are cosine distances; the same with ``_euclidean`` are Euclidean.
    """
    figures, video = {}, mean_over_segments(features["video"])
    for distance, suffix in (("cosine", ""), ("euclidean", "_euclidean")):
        closeness = metrics.closeness(video, features["classes"], features["labels"], distance)
        figures[f"closeness{suffix}"] = closeness
        figures[f"dispersion{suffix}"] = metrics.dispersion(features["classes"], distance)
    return rounded(figures)


def report(features, bootstrap, seed=0, truze=()):
    """All accuracies of one data set whose own classes compete, as a dict of accuracies in [0, 1] and `geometry`.

    - All classes: ``chance``, ``top1``, ``top5``, ``mean_per_class``, and the 95 % intervals of ``top1``, of
      ``bootstrap`` resamples: ``top1_low, top1_high`` over videos, ``top1_classes_low, top1_classes_high`` over
      classes (`aurl.metrics.bootstrap_interval`).
    - The 50 % protocol: ``half_top1``, ``half_top5``, ``half_mean_per_class``, means over ten draws of half the
      classes, and the same with ``_std``, their standard deviation.
    - TruZe, if ``truze`` has indices of unseen classes: ``truze_top1``, ``truze_top5`` and ``truze_mean_per_class``
      among these classes.
    - What `geometry` returns.
    """
    score, labels = scores(features), features["labels"]
    hits = metrics.hits(score, labels)
    over_videos, over_classes = (
        metrics.bootstrap_interval(hits, labels, np.random.default_rng(seed), bootstrap, over=over)
        for over in ("videos", "classes")
    )
    figures = {
        "chance": 1 / score.shape[1],
        "top1": hits.mean(),
        "top1_low": over_videos[0],
        "top1_high": over_videos[1],
        "top1_classes_low": over_classes[0],
        "top1_classes_high": over_classes[1],
        "top5": metrics.topk_accuracy(score, labels, min(5, score.shape[1])),
        "mean_per_class": np.nanmean(metrics.per_class_accuracy(score, labels)),
    }
    half = metrics.split_accuracy(score, labels, "half")
    figures |= {f"half_{name}": value for name, value in half.items() if name != "splits"}
    if len(truze):
        found = metrics.split_accuracy(score, labels, truze)
        figures |= {f"truze_{name}": found[name] for name in ("top1", "top5", "mean_per_class")}
    return rounded(figures) | geometry(features)


def word_accuracies(features, names):
    """How often the first and the last word of the predicted name are right, as a dict of floats in [0, 1].

    ``first_word_top1`` and ``last_word_top1`` are shares of all videos. The dict is empty if a name has a single word.
    """
    parts = [words(name) for name in names]
    if min(map(len, parts)) < 2:
        return {}
    predicted, found = scores(features).argmax(axis=1), {}
    for key, place in (("first_word_top1", 0), ("last_word_top1", -1)):
        own = np.array([part[place] for part in parts])
        found[key] = (own[predicted] == own[features["labels"]]).mean()
    return rounded(found)


def per_class(features, names):
    """The accuracy of each of the classes ``names``, a row per class, best first.

    Columns: ``videos``, their number; ``top1`` and ``top5``, NaN without videos; ``mistaken for``, the most frequent
    wrong prediction, empty if there is none; ``share``, the share of the class's videos with that prediction.
    """
    score, labels = scores(features), features["labels"]
    count, k = len(names), min(5, score.shape[1])
    videos = np.bincount(labels, minlength=count)
    fifth = np.bincount(labels, metrics.hits(score, labels, k), minlength=count)
    wrong = metrics.confusion(score, labels) * (1 - np.eye(count, dtype=int))
    most, worst = wrong.max(axis=1), np.array(names)[wrong.argmax(axis=1)]
    some = np.where(videos, videos, np.nan)
    table = pd.DataFrame(
        {
            "class": names,
            "videos": videos,
            "top1": metrics.per_class_accuracy(score, labels),
            "top5": fifth / some,
            "mistaken for": np.where(most, worst, ""),
            "share": most / some,
        }
    )
    return table.sort_values("top1", ascending=False, kind="stable", na_position="last").reset_index(drop=True)


def shared(seen, unseen):
    """The classes of a test set that training has seen, as a dict from their index to that of the same seen class.

    ``seen`` and ``unseen`` are names and word vectors (C, W), as `aurl.text.load_classes` returns them. Classes are the
    same if their names are, or if their word vectors are: HMDB51 writes "ride_bike" and Kinetics "riding a bike".
    """
    (names, vectors), (other_names, other_vectors) = seen, unseen
    cosines = unit(other_vectors) @ unit(vectors).T
    cosines[np.array(other_names)[:, None] == np.array(names)] = np.inf
    nearest = enumerate(cosines.argmax(axis=1).tolist())
    return {place: other for place, other in nearest if cosines[place, other] > 1 - 1e-6}


def semantic_distance(features, seen, unseen):
    """`nearest_seen` with a column ``top1``, without classes that have no videos; ``features`` are the test set's."""
    top1 = metrics.per_class_accuracy(scores(features), features["labels"])
    table = nearest_seen(seen, unseen)
    table["top1"] = table["class"].map(dict(zip(unseen[0], top1)))
    return table.dropna(subset="top1").reset_index(drop=True)


def nearest_seen(seen, unseen):
    """The distance of each unseen class of a test set to the nearest seen class, by word vectors.

    ``seen`` and ``unseen`` are names and word vectors (C, W), as for `shared`. Classes that it finds are left out.
    Returns a row per class: ``class``; ``nearest``, the seen class with the nearest word vector; ``distance``, the
    cosine distance between the two, in [0, 2].
    """
    (names, vectors), (other_names, other_vectors) = seen, unseen
    cosines = unit(other_vectors) @ unit(vectors).T
    nearest = np.array(names)[cosines.argmax(axis=1)]
    table = pd.DataFrame({"class": other_names, "nearest": nearest, "distance": 1 - cosines.max(axis=1)})
    return table.drop(index=list(shared(seen, unseen))).reset_index(drop=True)


def generalized(seen, unseen, same):
    """Generalized zero-shot accuracies: seen and unseen classes compete for every video. Returns a dict of floats.

    ``seen`` are the features of held-out videos of training classes, ``unseen`` those of a test set. ``same`` is
    the result of `shared`: both names of such a class count as one seen class, and the unseen side is measured without
    it.

    - ``gzsl_seen`` and ``gzsl_unseen`` in [0, 1] are means over the classes of each side, ``gzsl_harmonic`` is their
      harmonic mean.
    - With calibrated stacking, ``gzsl_gamma`` is subtracted from the scores of seen classes. It is chosen on the
      videos of ``seen`` alone, where some classes stand in for unseen ones (`aurl.metrics.choose_gamma`). The
      accuracies are then ``gzsl_calibrated_seen``, ``_unseen`` and ``_harmonic``.
    - ``gzsl_area`` in [0, 1], the area under seen against unseen accuracy, needs no such choice.

    All but ``gzsl_seen`` are NaN if no video of the test set has an unseen class.
    """
    count, own = len(seen["classes"]), [place for place in range(len(unseen["classes"])) if place not in same]
    columns = np.concatenate([seen["classes"], unseen["classes"][own]])

    def competing(own):
        score = scores(own, columns)
        for place, other in same.items():
            score[:, other] = np.maximum(score[:, other], scores(own, unseen["classes"][[place]])[:, 0])
        return score

    found, kept = dict.fromkeys(GENERALIZED, np.nan), np.isin(unseen["labels"], own)
    if not kept.any():
        found["gzsl_seen"] = np.nanmean(metrics.per_class_accuracy(competing(seen), seen["labels"]))
        return rounded(found)
    mask = np.arange(len(columns)) < count
    sides = [
        (seen, seen["labels"]),
        (unseen | {"video": unseen["video"][kept]}, count + np.searchsorted(own, unseen["labels"][kept])),
    ]
    labels = np.concatenate([side for _, side in sides])
    margins = np.concatenate([metrics.stacking_margins(competing(features), side, mask) for features, side in sides])
    gamma = metrics.choose_gamma(scores(seen), seen["labels"], len(own) / len(columns))
    known, new = metrics.stacked_accuracies(margins, labels, mask, [0, gamma])
    for place, name in enumerate(("gzsl", "gzsl_calibrated")):
        harmonic = metrics.harmonic_mean(known[place], new[place])
        found |= {f"{name}_seen": known[place], f"{name}_unseen": new[place], f"{name}_harmonic": harmonic}
    found |= {"gzsl_area": metrics.area_under_seen_unseen(margins, labels, mask), "gzsl_gamma": gamma}
    return rounded(found)


def rounded(figures):
    """Round to four digits for files, and the chance level of many classes to six; adding 0 turns -0 into 0."""
    return {name: round(float(value), 6 if name == "chance" else 4) + 0 for name, value in figures.items()}
