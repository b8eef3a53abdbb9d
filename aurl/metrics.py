r"""How good features and predictions are, in NumPy; torch tensors on the CPU are taken as well.

Scores are (N, C) with the *highest* the prediction (the cosine of a video with a class, say), labels
(N,) integers in [0, C). A tie with the right class counts as a mistake, so that equal scores earn
nothing. NaN anywhere raises ValueError.
"""

import numpy as np


def closeness(video, classes, labels, distance="cosine"):
    r"""How near videos are to the name of their class; smaller is better aligned.

    .. math:: \frac{1}{|Y|} \sum_{c \in Y} \frac{1}{N_c} \sum_{i: y_i = c} d(v_i, s_c)

    over the classes Y that have videos; ``video`` (N, D), ``classes`` (C, D), ``labels`` (N,).
    ``distance`` is "cosine", :math:`1 - \cos` in [0, 2], or "euclidean", between features at unit
    length, in [0, 2].

    Certain is only that an author calls it the average distance between features within the same
    class. Our choice: between a video's feature and its class name's (the pair that the loss
    aligns), averaged per class first, and both distances on the unit sphere.

    >>> closeness([[1, 0], [0, 2]], [[1, 0], [1, 0]], [0, 1])
    0.5
    """
    video, classes = _unit(video, "video"), _unit(classes, "classes")
    labels = _labels(labels, len(video), len(classes))
    if video.shape[1] != classes.shape[1]:
        raise ValueError(f"Videos have {video.shape[1]} dimensions but classes {classes.shape[1]}.")
    distances = _distance((video * classes[labels]).sum(axis=1), distance)
    return float(np.nanmean(_class_means(distances, labels, len(classes))))


def dispersion(classes, distance="cosine"):
    r"""How far classes are from their nearest neighbour; larger is more uniform.

    .. math:: \frac1C \sum_c \min_{k \ne c} d(s_c, s_k)

    ``classes`` (C, D) with C > 1; distances as in `closeness`.

    Certain is only that an author calls it the minimum distances among all clusters. Our choice:
    clusters are class names' features (pass mean video features for the visual side), and the
    minimum is taken per class and averaged.

    >>> dispersion([[1, 0], [0, 1], [0, -1]])
    1.0
    """
    classes = _unit(classes, "classes")
    if len(classes) < 2:
        raise ValueError("Dispersion needs two or more classes.")
    cosines = classes @ classes.T
    np.fill_diagonal(cosines, -np.inf)
    return float(_distance(cosines.max(axis=1), distance).mean())


def hits(scores, labels, k=1):
    """Whether the right class is among the k best, as (N,) booleans; 1 <= k <= C.

    >>> hits([[0.9, 0.1, 0.5], [0.9, 0.1, 0.5]], [0, 1], k=2).tolist()
    [True, False]
    """
    scores = _finite(scores, "scores")
    labels = _labels(labels, *scores.shape)
    if not 1 <= k <= scores.shape[1]:
        raise ValueError(f"k must lie in [1, {scores.shape[1]}], the number of classes, not {k}.")
    right = np.take_along_axis(scores, labels[:, None], axis=1)
    return (scores >= right).sum(axis=1) <= k  # the right class itself is one of them


def topk_accuracy(scores, labels, k=1):
    """The share of videos whose right class is among the k best, in [0, 1]."""
    return float(hits(scores, labels, k).mean())


def per_class_accuracy(scores, labels):
    """Top-1 accuracy of every class, (C,), NaN for one without videos; its np.nanmean is the mean per class."""
    correct = hits(scores, labels)
    return _class_means(correct, np.asarray(labels), np.shape(scores)[1])


def harmonic_mean(seen, unseen):
    r"""Generalised zero-shot's summary :math:`2 s u / (s + u)` of accuracies on seen and unseen classes.

    Both in [0, 1] or both in percent; 0 where either is 0. ValueError for a negative one.

    >>> harmonic_mean(0.6, 0.3)
    0.4
    """
    if not (seen >= 0 and unseen >= 0):
        raise ValueError(f"Accuracies must be 0 or more, not {seen} and {unseen}.")
    return 2 * seen * unseen / (seen + unseen) if seen + unseen else 0.0


def bootstrap_interval(correct, labels, rng, resamples=1000, level=0.95):
    """Percentile bootstrap interval ``(low, high)`` of an accuracy, over videos.

    ``correct`` (N,) in [0, 1] is what `hits` returns, or its mean over several training runs; ``rng``
    a numpy.random.Generator. Videos are redrawn within their class, as a dataset fixes its classes
    and how many videos each has: the interval speaks of other videos of the same classes, not of
    other classes or other training runs. A class that is all right or all wrong varies nothing, so
    an accuracy of 1 has the interval (1, 1).

    >>> bootstrap_interval([True, True], [0, 1], np.random.default_rng(0))
    (1.0, 1.0)
    """
    correct = _finite(correct, "correct", ndim=1)
    if correct.min() < 0 or correct.max() > 1 or not 0 < level < 1 or resamples < 1:
        raise ValueError("A bootstrap needs correct in [0, 1], a level between 0 and 1, and one or more resamples.")
    labels, accuracies = _labels(labels, len(correct)), np.zeros(resamples)
    for label in np.unique(labels):
        own = correct[labels == label]
        accuracies += own[rng.integers(len(own), size=(resamples, len(own)))].sum(axis=1) / len(correct)
    low, high = np.quantile(accuracies, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def split_accuracy(scores, labels, protocol):
    """Top-1 and top-5 when only some of the classes are tested: their videos, their columns of scores.

    ``protocol`` is "all" (every class), "half" (the 50 % protocol: for k = 0…9,
    ``numpy.random.seed(k)`` and ``numpy.random.permutation(C)[:C // 2]``), or the indices of the
    test classes (TruZe's lists). Returns a dict of ``top1``, ``top1_std``, ``top5``, ``top5_std``,
    mean and standard deviation (of the population) over splits, and ``splits``, their number.
    With fewer than five classes top-5 asks for as many as there are. ValueError where a split has
    no videos.

    >>> split_accuracy(np.eye(4), np.arange(4), [1, 3])["top1"]
    1.0
    """
    scores = _finite(scores, "scores")
    labels, count = _labels(labels, *scores.shape), scores.shape[1]
    results = []
    for chosen in _splits(protocol, count):
        position = np.full(count, -1)
        position[chosen] = np.arange(len(chosen))
        kept = position[labels] >= 0
        if not kept.any():
            raise ValueError(f"No video belongs to the test classes {chosen.tolist()}.")
        part, right = scores[np.ix_(kept, chosen)], position[labels[kept]]
        results.append([topk_accuracy(part, right, min(k, len(chosen))) for k in (1, 5)])
    (top1, top5), (std1, std5) = np.mean(results, axis=0).tolist(), np.std(results, axis=0).tolist()
    return {"top1": top1, "top1_std": std1, "top5": top5, "top5_std": std5, "splits": len(results)}


def _splits(protocol, count):
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


def _distance(cosine, distance):
    cosine = np.clip(cosine, -1, 1)  # rounding must not make a distance negative
    if distance == "cosine":
        return 1 - cosine
    if distance == "euclidean":
        return np.sqrt(2 - 2 * cosine)
    raise ValueError(f"The distance must be 'cosine' or 'euclidean', not {distance!r}.")


def _class_means(values, labels, count):
    counts = np.bincount(labels, minlength=count)
    return np.bincount(labels, weights=values, minlength=count) / np.where(counts, counts, np.nan)


def _unit(features, name):
    features = _finite(features, name)
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    if not lengths.all():
        raise ValueError(f"A zero vector in {name} has no direction to measure.")
    return features / lengths


def _finite(values, name, ndim=2):
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != ndim or not values.size:
        raise ValueError(f"{name} must be a non-empty array of {ndim} dimension(s), not of shape {values.shape}.")
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite, but has NaN or infinite values.")
    return values


def _labels(labels, length, count=np.inf):
    labels = np.asarray(labels)
    if labels.shape != (length,) or labels.dtype.kind not in "iu":
        raise ValueError(f"Labels must be ({length},) integers, not {labels.shape} {labels.dtype}.")
    if labels.min() < 0 or labels.max() >= count:
        raise ValueError(f"Labels must lie in [0, {count}), not in [{labels.min()}, {labels.max()}].")
    return labels
