r"""How good features and predictions are, in NumPy; torch tensors on the CPU work as well.

Scores are (N, C), for example the cosine of every video with every class, and the *highest* is the
prediction. Labels are (N,) integers in [0, C). A tie with the right class counts as a mistake, so that
equal scores earn nothing. Every function raises ValueError for NaN and for shapes that do not fit.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.integer[Any]]
Booleans = NDArray[np.bool_]


def closeness(video: ArrayLike, classes: ArrayLike, labels: ArrayLike, distance: str = "cosine") -> float:
    r"""How near videos are to the name of their class; smaller is better aligned.

    .. math:: \frac{1}{|Y|} \sum_{c \in Y} \frac{1}{N_c} \sum_{i: y_i = c} d(v_i, s_c)

    over the classes Y that have videos; ``video`` (N, D), ``classes`` (C, D), ``labels`` (N,).
    ``distance`` is "cosine", :math:`1 - \cos` in [0, 2], or "euclidean", between features at unit
    length, in [0, 2].

    An author calls it the average distance between features within the same class; nothing else is
    known of the definition. We chose the distance between a video's feature and its class name's (the
    pair that the loss aligns), averaged per class first, on the unit sphere.

    >>> closeness([[1, 0], [0, 2]], [[1, 0], [1, 0]], [0, 1])
    0.5
    """
    videos, names = _unit(video, "video"), _unit(classes, "classes")
    places = _labels(labels, len(videos), len(names))
    if videos.shape[1] != names.shape[1]:
        raise ValueError(f"Videos have {videos.shape[1]} dimensions but classes {names.shape[1]}.")
    distances = _distance((videos * names[places]).sum(axis=1), distance)
    return float(np.nanmean(_class_means(distances, places, len(names))))


def dispersion(classes: ArrayLike, distance: str = "cosine") -> float:
    r"""How far classes are from their nearest neighbor; larger is more uniform.

    .. math:: \frac1C \sum_c \min_{k \ne c} d(s_c, s_k)

    ``classes`` (C, D) with C > 1; distances as in `closeness`.

    An author calls it the minimum distances among all clusters; nothing else is known of the
    definition. We chose class names' features as clusters (pass mean video features for the visual
    side), and the minimum per class, averaged over classes.

    >>> dispersion([[1, 0], [0, 1], [0, -1]])
    1.0
    """
    names = _unit(classes, "classes")
    if len(names) < 2:
        raise ValueError("Dispersion needs two or more classes.")
    cosines = names @ names.T
    np.fill_diagonal(cosines, -np.inf)
    return float(_distance(cosines.max(axis=1), distance).mean())


def hits(scores: ArrayLike, labels: ArrayLike, k: int = 1) -> Booleans:
    """Whether the right class is among the k best, as (N,) booleans; k lies in [1, C].

    >>> hits([[0.9, 0.1, 0.5], [0.9, 0.1, 0.5]], [0, 1], k=2).tolist()
    [True, False]
    """
    table = _finite(scores, "scores")
    places = _labels(labels, *table.shape)
    if not 1 <= k <= table.shape[1]:
        raise ValueError(f"k must lie in [1, {table.shape[1]}], the number of classes, not {k}.")
    right = np.take_along_axis(table, places[:, None], axis=1)
    better: Booleans = (table >= right).sum(axis=1) <= k  # the right class itself is one of them
    return better


def topk_accuracy(scores: ArrayLike, labels: ArrayLike, k: int = 1) -> float:
    """The share of videos whose right class is among the k best, in [0, 1]."""
    return float(hits(scores, labels, k).mean())


def per_class_accuracy(scores: ArrayLike, labels: ArrayLike) -> Floats:
    """Top-1 accuracy of every class, (C,), and NaN for a class without videos; np.nanmean gives mean-per-class."""
    correct = hits(scores, labels)
    return _class_means(correct, np.asarray(labels), np.shape(scores)[1])


def harmonic_mean(seen: float, unseen: float) -> float:
    r"""Generalized zero-shot's summary :math:`2 s u / (s + u)` of accuracies on seen and unseen classes.

    Both are in [0, 1] or both in percent. It is 0 where either is 0. ValueError for a negative one.

    >>> harmonic_mean(0.6, 0.3)
    0.4
    """
    if not (seen >= 0 and unseen >= 0):
        raise ValueError(f"Accuracies must be 0 or more, not {seen} and {unseen}.")
    return 2 * seen * unseen / (seen + unseen) if seen + unseen else 0.0


def bootstrap_interval(
    correct: ArrayLike, labels: ArrayLike, rng: np.random.Generator, resamples: int = 1000, level: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval ``(low, high)`` of an accuracy, over videos.

    ``correct`` (N,) in [0, 1] is what `hits` returns, or its mean over several training runs. Videos
    are redrawn within their class, as a dataset fixes its classes and how many videos each has. The
    interval therefore speaks of other videos of the same classes, not of other classes or other
    training runs. A class that is all right or all wrong does not vary, so an accuracy of 1 has the
    interval (1, 1).

    >>> bootstrap_interval([True, True], [0, 1], np.random.default_rng(0))
    (1.0, 1.0)
    """
    right = _finite(correct, "correct", ndim=1)
    if right.min() < 0 or right.max() > 1 or not 0 < level < 1 or resamples < 1:
        raise ValueError("A bootstrap needs correct in [0, 1], a level between 0 and 1, and one or more resamples.")
    places, accuracies = _labels(labels, len(right)), np.zeros(resamples)
    for label in np.unique(places):
        own = right[places == label]
        accuracies += own[rng.integers(len(own), size=(resamples, len(own)))].sum(axis=1) / len(right)
    low, high = np.quantile(accuracies, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def split_accuracy(scores: ArrayLike, labels: ArrayLike, protocol: str | Sequence[int] | Integers) -> dict[str, float]:
    """Top-1 and top-5 where only some of the classes are tested, on their videos and their columns of scores.

    ``protocol`` is "all" (every class), "half" (the 50 % protocol: for k = 0…9,
    ``numpy.random.seed(k)`` and ``numpy.random.permutation(C)[:C // 2]``), or the indices of the
    test classes (TruZe's lists). Returns ``top1``, ``top1_std``, ``top5``, ``top5_std``, the mean and
    the (population) standard deviation over splits, and ``splits``, their number. With C < 5 classes
    top-5 is top-C. ValueError where a split has no videos.

    >>> split_accuracy(np.eye(4), np.arange(4), [1, 3])["top1"]
    1.0
    """
    table = _finite(scores, "scores")
    places, count = _labels(labels, *table.shape), table.shape[1]
    results = []
    for chosen in _splits(protocol, count):
        position = np.full(count, -1)
        position[chosen] = np.arange(len(chosen))
        kept = position[places] >= 0
        if not kept.any():
            raise ValueError(f"No video belongs to the test classes {chosen.tolist()}.")
        part, right = table[np.ix_(kept, chosen)], position[places[kept]]
        results.append([topk_accuracy(part, right, min(k, len(chosen))) for k in (1, 5)])
    (top1, top5), (std1, std5) = np.mean(results, axis=0).tolist(), np.std(results, axis=0).tolist()
    return {"top1": top1, "top1_std": std1, "top5": top5, "top5_std": std5, "splits": len(results)}


def _splits(protocol: str | Sequence[int] | Integers, count: int) -> list[Integers]:
    if isinstance(protocol, str):
        if protocol == "all":
            return [np.arange(count)]
        if protocol == "half" and count > 1:
            return [np.random.RandomState(k).permutation(count)[: count // 2] for k in range(10)]
        raise ValueError(
            f"The protocol must be 'all', 'half' (two or more classes) or class indices, not {protocol!r}."
        )
    chosen = np.asarray(protocol)
    if chosen.ndim != 1 or not chosen.size or len(np.unique(chosen)) < len(chosen):
        raise ValueError("Test classes must be a list of one or more different class indices.")
    return [_labels(chosen, len(chosen), count)]


def _distance(cosine: Floats, distance: str) -> Floats:
    cosine = np.clip(cosine, -1, 1)  # rounding must not make a distance negative
    if distance == "cosine":
        return 1 - cosine
    if distance == "euclidean":
        return np.sqrt(2 - 2 * cosine)
    raise ValueError(f"The distance must be 'cosine' or 'euclidean', not {distance!r}.")


def _class_means(values: Floats | Booleans, labels: Integers, count: int) -> Floats:
    counts = np.bincount(labels, minlength=count)
    return np.bincount(labels, weights=values, minlength=count) / np.where(counts, counts, np.nan)


def _unit(features: ArrayLike, name: str) -> Floats:
    rows = _finite(features, name)
    lengths: Floats = np.linalg.norm(rows, axis=1, keepdims=True)
    if not lengths.all():
        raise ValueError(f"A zero vector in {name} has no direction to measure.")
    return rows / lengths


def _finite(values: ArrayLike, name: str, ndim: int = 2) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != ndim or not array.size:
        raise ValueError(f"{name} must be a non-empty array of {ndim} dimension(s), not of shape {array.shape}.")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, but has NaN or infinite values.")
    return array


def _labels(labels: ArrayLike, length: int, count: float = np.inf) -> Integers:
    places = np.asarray(labels)
    if places.shape != (length,) or places.dtype.kind not in "iu":
        raise ValueError(f"Labels must be ({length},) integers, not {places.shape} {places.dtype}.")
    if places.min() < 0 or places.max() >= count:
        raise ValueError(f"Labels must lie in [0, {count}), not in [{places.min()}, {places.max()}].")
    return places
