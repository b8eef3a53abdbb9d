"""Zero-shot evaluation: features once per data set, every figure from them."""

import io
from pathlib import Path

import numpy as np
import pandas as pd

from aurl import UserError, devices, metrics, processes
from aurl.files import write_bytes
from aurl.inference import encode, encode_classes, rank

ARRAYS = {"video", "classes", "labels"}


def features(model, clips, word_vectors, params, desc=None):
    """A data set seen by a model: ``video`` (N, D) and ``classes`` (C, D), unit length, and ``labels`` (N,), as a dict.

    ``word_vectors`` (C, W) are those of the classes that the clips' labels are places in; ``params`` has the sections
    ``evaluate`` and ``compute``. With ``desc`` a progress bar of that name is drawn.
    """
    return processes.together(
        _features,
        model,
        clips,
        word_vectors,
        params,
        desc,
        processes=params.evaluate.processes,
        name=desc or "encoding",
    )


def _features(model, clips, word_vectors, params, desc):
    model.to(devices.best_device())  # each process has its own
    video, labels = encode(model, clips, params.evaluate.batch, params.compute, desc)
    return {"video": video, "classes": encode_classes(model, word_vectors), "labels": labels}


def save(path, features):
    """Keep what `features` returns as ``.npz``."""
    buffer = io.BytesIO()
    np.savez(buffer, **features)
    write_bytes(path, buffer.getvalue())


def load(path):
    """What `save` kept. Raises UserError if it is missing, cut short or something else."""
    try:
        with np.load(Path(path)) as arrays:
            found = dict(arrays)
        if found.keys() != ARRAYS:
            raise KeyError(*ARRAYS ^ found.keys())
        return found
    except FileNotFoundError:
        raise UserError(f"{path} is missing: evaluate the variant first, with `dvc repro`.") from None
    except Exception as error:  # a file that is cut short fails in many ways, and so does one of another kind
        raise UserError(
            f"{path} holds no features of this project, or not all of them ({type(error).__name__}): "
            "delete it and run `dvc repro`."
        ) from error


def scores(features):
    """Cosine of every video with every class, (N, C); the prediction is the highest."""
    return features["video"] @ features["classes"].T


def predictions(features, ids, names, k=5):
    """What the model says of every video, one row each: ``id``, its class ``label``, ``top1`` ... and ``score1`` ....

    ``ids`` (N,) and ``names`` (C,) belong to ``features``. ``top1`` to ``top5`` are the ``k`` best of the classes, best
    first, fewer where there are fewer classes; ``score1`` to ``score5`` are their cosines, of four digits.
    """
    best, cosines = rank(features["video"], features["classes"], names, k)
    columns = {"id": list(ids), "label": np.array(names)[features["labels"]]}
    columns |= {f"top{place + 1}": best[:, place] for place in range(best.shape[1])}
    # Adding 0 turns -0 into 0.
    columns |= {f"score{place + 1}": cosines[:, place].astype(float).round(4) + 0 for place in range(best.shape[1])}
    return pd.DataFrame(columns)


def save_predictions(path, table):
    """Write `predictions` as CSV, for programs and spreadsheets.

    A spreadsheet would compute a text that begins like a formula, as the class name "=1+1" does. Such a text gets an
    apostrophe in front, which spreadsheets read as "what follows is text".
    """
    texts = table.select_dtypes(exclude="number").columns
    safe = table.assign(**{name: table[name].str.replace(r"^(?=[=+\-@\t\r\n])", "'", regex=True) for name in texts})
    write_bytes(path, safe.to_csv(index=False, lineterminator="\n").encode())


def examples(features, table, count=3):
    """The ``count`` best and worst rows of `predictions`, best first, indexed by "best" and "worst".

    A prediction is the better the further the right class's cosine lies above the best of the others.
    """
    score, labels = scores(features), features["labels"]
    right = np.take_along_axis(score, labels[:, None], axis=1)[:, 0]
    others = np.where(np.arange(score.shape[1]) == labels[:, None], -np.inf, score).max(axis=1)
    order, count = np.argsort(others - right, kind="stable"), min(count, len(labels) // 2)
    rows = pd.concat({"best": table.iloc[order[:count]], "worst": table.iloc[order[len(order) - count :]]})
    return rows.droplevel(1)


def halves(features, names, parts):
    """Which half of a two-part class name is understood, for each data set whose classes are such names.

    ``features`` and ``names`` map data sets to what `features` returns and to class names; ``parts`` maps a class name
    to its (action, companion). Returns a table indexed by ``set`` and ``part``: ``accuracy``, the share of videos whose
    predicted class has the right part, and ``chance``, that of guessing one of the parts there are.
    """
    rows = []
    for name, own in features.items():
        if not set(names[name]) <= parts.keys():
            continue
        predicted = scores(own).argmax(axis=1)
        for part, values in zip(("action", "companion"), np.array([parts[label] for label in names[name]]).T):
            right = values[predicted] == values[own["labels"]]
            rows.append((name, part, right.mean(), 1 / len(set(values))))
    return pd.DataFrame(rows, columns=["set", "part", "accuracy", "chance"]).set_index(["set", "part"])


def geometry(features):
    """How aligned and how uniform the features are, as a dict of floats.

    ``closeness`` (smaller is better aligned) and ``dispersion`` (larger is more uniform), as cosine distances and, with
    ``_euclidean``, as Euclidean.
    """
    figures = {}
    for distance, suffix in (("cosine", ""), ("euclidean", "_euclidean")):
        closeness = metrics.closeness(features["video"], features["classes"], features["labels"], distance)
        figures[f"closeness{suffix}"] = closeness
        figures[f"dispersion{suffix}"] = metrics.dispersion(features["classes"], distance)
    return rounded(figures)


def report(features, bootstrap, seed=0):
    """Every figure of one data set, as a dict of floats.

    ``chance``, ``top1`` with its 95 % interval ``top1_low``, ``top1_high``, ``top5``, ``mean_per_class``;
    ``half_top1``, the mean over ten draws of half the classes with its standard deviation ``half_top1_std`` (all in
    [0, 1]); and what `geometry` returns.
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
    return rounded(figures) | geometry(features)


def shared(seen, unseen):
    """Which classes of a test set are no unseen ones, as a dict from their places to those of the same seen classes.

    ``seen`` and ``unseen`` are names and word vectors (C, W), as `aurl.text.load_classes` returns them. Classes are the
    same if their names are, or if their word vectors are: HMDB51 writes "ride_bike" and Kinetics "riding a bike".
    """
    (names, vectors), (other_names, other_vectors) = seen, unseen
    cosines = _unit(other_vectors) @ _unit(vectors).T
    cosines[np.array(other_names)[:, None] == np.array(names)] = np.inf
    nearest = enumerate(cosines.argmax(axis=1).tolist())
    return {place: other for place, other in nearest if cosines[place, other] > 1 - 1e-6}


def generalized(seen, unseen, same):
    """Generalized zero-shot accuracies, where seen and unseen classes compete for every video, as a dict of floats.

    ``seen`` are the features of held-back videos of training classes, ``unseen`` those of a test set. ``same`` is what
    `shared` returns: both names of such a class count as one class, and the unseen side is measured without it.
    ``gzsl_seen`` and ``gzsl_unseen`` in [0, 1] are means over the classes of each side, ``gzsl_harmonic`` is their
    harmonic mean. The last two are NaN where no class of the test set is unseen.
    """
    count, own = len(seen["classes"]), [place for place in range(len(unseen["classes"])) if place not in same]
    columns = np.concatenate([seen["classes"], unseen["classes"][own]])

    def accuracy(video, labels):
        score = video @ columns.T
        for place, other in same.items():
            score[:, other] = np.maximum(score[:, other], video @ unseen["classes"][place])
        return np.nanmean(metrics.per_class_accuracy(score, labels))

    found = {"gzsl_seen": accuracy(seen["video"], seen["labels"]), "gzsl_unseen": np.nan, "gzsl_harmonic": np.nan}
    kept = np.isin(unseen["labels"], own)
    if kept.any():
        labels = count + np.searchsorted(own, unseen["labels"][kept])
        found["gzsl_unseen"] = accuracy(unseen["video"][kept], labels)
        found["gzsl_harmonic"] = metrics.harmonic_mean(found["gzsl_seen"], found["gzsl_unseen"])
    return rounded(found)


def rounded(figures):
    """As floats of four digits, which is what files keep; adding 0 turns -0 into 0."""
    return {name: round(float(value), 4) + 0 for name, value in figures.items()}


def _unit(vectors):
    vectors = np.asarray(vectors, np.float64)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
