r"""Metrics of features and predictions, in NumPy; torch tensors on the CPU work as well.

Scores are (N, C), for example the cosine of every video with every class, and the *highest* is the
prediction. Labels are (N,) integers in [0, C). A tie with the right class counts as a mistake, so
equal scores earn nothing. Every function raises ValueError for shapes that do not fit and for NaN
(`stacked_accuracies`: not for a NaN among ``gammas``).
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.integer[Any]]
Booleans = NDArray[np.bool_]
BLOCK = 1024  # rows of features at a time
GAMMAS = np.arange(-1000, 1001) / 1000  # the candidates of `choose_gamma`


def closeness(video: ArrayLike, classes: ArrayLike, labels: ArrayLike, distance: str = "cosine") -> float:
    r"""The distance of videos from the name of their class; smaller is better aligned.

    .. math:: \frac{1}{|Y|} \sum_{c \in Y} \frac{1}{N_c} \sum_{i: y_i = c} d(v_i, s_c)

    over the classes Y that have videos; ``video`` (N, D), ``classes`` (C, D), ``labels`` (N,).
    ``distance`` is "cosine", :math:`1 - \cos` in [0, 2], or "euclidean", between features at unit
    length, in [0, 2].

    An author describes it as the average distance between features within the same class; the
    definition is not published. We chose the distance between a video and its class name (the pair that
    the loss aligns), averaged per class first, on the unit sphere.

    >>> closeness([[1, 0], [0, 2]], [[1, 0], [1, 0]], [0, 1])
    0.5
    """
    rows, names = np.asarray(video), _unit(classes, "classes")
    places = _labels(labels, len(rows), len(names))
    if rows.ndim == 2 and rows.shape[1] != names.shape[1]:
        raise ValueError(f"Videos have {rows.shape[1]} dimensions but classes {names.shape[1]}.")
    # A block stays in the processor's cache, while all videos in float64 would be twice their size in memory.
    starts = range(0, len(rows), BLOCK)
    blocks = [(_unit(rows[start : start + BLOCK], "video"), places[start : start + BLOCK]) for start in starts]
    cosines = np.concatenate([(own * names[at]).sum(axis=1) for own, at in blocks])
    return float(np.nanmean(_class_means(_distance(cosines, distance), places, len(names))))


def dispersion(classes: ArrayLike, distance: str = "cosine") -> float:
    r"""The distance of classes from their nearest neighbor; larger is more uniform.

    .. math:: \frac1C \sum_c \min_{k \ne c} d(s_c, s_k)

    ``classes`` (C, D) with C > 1; distances as in `closeness`.

    An author describes it as the minimum distances among all clusters; the definition is not published.
    We chose class-name features as clusters (pass mean video features for the visual side) and the
    minimum per class, averaged over classes.

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


def confusion(scores: ArrayLike, labels: ArrayLike) -> Integers:
    """The number of videos of each class (rows) with each prediction (columns), (C, C).

    Among equal scores the first is the prediction, while `hits` counts a tie as a mistake.

    >>> confusion([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8]], [0, 1, 1]).tolist()
    [[1, 0], [1, 1]]
    """
    table = _finite(scores, "scores")
    places, count = _labels(labels, *table.shape), table.shape[1]
    return np.bincount(places * count + table.argmax(axis=1), minlength=count**2).reshape(count, count)


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
    correct: ArrayLike,
    labels: ArrayLike,
    rng: np.random.Generator,
    resamples: int = 1000,
    level: float = 0.95,
    over: str = "videos",
) -> tuple[float, float]:
    """Percentile bootstrap interval ``(low, high)`` of an accuracy, over videos or over classes.

    ``correct`` (N,) in [0, 1] is `hits`, or its mean over several training runs. ``over`` is the unit
    that is resampled:

    - "videos", within their class, because a data set fixes its classes and their sizes. The interval
      covers other videos of the same classes. A class whose videos are all correct or all wrong does
      not vary, so an accuracy of 1 has the interval (1, 1).
    - "classes", each with all its videos. The interval covers other classes of the same kind, which a
      claim about unseen classes needs. It is wider, because classes differ more than videos of a class.
      The number of competing names stays. ValueError if only one class has videos.

    Neither covers other training runs.

    >>> bootstrap_interval([True, True], [0, 1], np.random.default_rng(0))
    (1.0, 1.0)
    """
    right = _finite(correct, "correct", ndim=1)
    if right.min() < 0 or right.max() > 1 or not 0 < level < 1 or resamples < 1:
        raise ValueError("A bootstrap needs correct in [0, 1], a level between 0 and 1, and one or more resamples.")
    classes, places = np.unique(_labels(labels, len(right)), return_inverse=True)
    if over == "videos":
        accuracies = np.zeros(resamples)
        for place in range(len(classes)):
            own = right[places == place]
            accuracies += own[rng.integers(len(own), size=(resamples, len(own)))].sum(axis=1) / len(right)
    elif over == "classes" and len(classes) > 1:
        times = rng.multinomial(len(classes), np.full(len(classes), 1 / len(classes)), size=resamples)  # of each class
        accuracies = (times @ np.bincount(places, weights=right)) / (times @ np.bincount(places))
    else:
        raise ValueError(f"A bootstrap is over 'videos' or, if there are two or more, over 'classes', not {over!r}.")
    low, high = np.quantile(accuracies, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def split_accuracy(scores: ArrayLike, labels: ArrayLike, protocol: str | Sequence[int] | Integers) -> dict[str, float]:
    """Accuracies on a subset of the classes: their videos and their columns of scores.

    ``protocol`` is "all" (every class), "half" (the 50 % protocol: for k = 0…9,
    ``numpy.random.seed(k)`` and ``numpy.random.permutation(C)[:C // 2]``), or the indices of the
    test classes (TruZe's lists). Returns ``top1``, ``top5`` and ``mean_per_class``, means over splits,
    the same with ``_std``, the (population) standard deviation over splits, and ``splits``, their
    number. With C < 5 classes top-5 is top-C. ValueError if a split has no videos.

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
        first, fifth = (hits(part, right, min(k, len(chosen))) for k in (1, 5))
        results.append([first.mean(), fifth.mean(), np.nanmean(_class_means(first, right, len(chosen)))])
    found: dict[str, float] = {"splits": len(results)}
    for name, values in zip(("top1", "top5", "mean_per_class"), np.transpose(results)):
        found |= {name: float(values.mean()), f"{name}_std": float(values.std())}
    return found


def stacking_margins(scores: ArrayLike, labels: ArrayLike, seen: ArrayLike) -> Floats:
    r"""The calibration at which each video becomes correct or wrong if seen and unseen classes compete, (N,).

    Calibrated stacking (Chao et al., ECCV 2016) subtracts :math:`\gamma` from the scores of the seen
    classes, for which ``seen`` (C,) is True, so that they win less often. The maxima exclude the right
    class:

    .. math:: m_i = \begin{cases}
        s_{i y_i} - \max_{c \text{ unseen}} s_{ic} & y_i \text{ seen: correct for } \gamma < m_i \\
        \max_{c \text{ seen}} s_{ic} - s_{i y_i} & y_i \text{ unseen: correct for } \gamma > m_i
        \end{cases}

    A video that loses within its own side is always wrong: :math:`-\infty` or :math:`\infty`. One pass
    over the scores thus gives the accuracies at every :math:`\gamma`. ValueError if a side has no class.

    >>> stacking_margins([[0.9, 0.4], [0.8, 0.5]], [0, 1], [True, False]).round(1).tolist()
    [0.5, 0.3]
    """
    table, mask = _finite(scores, "scores").copy(), np.asarray(seen)
    places, rows = _labels(labels, *table.shape), np.arange(len(table))
    if mask.shape != table.shape[1:] or mask.dtype != bool or mask.all() or not mask.any():
        raise ValueError(f"seen must be ({table.shape[1]},) booleans, some True and some not.")
    right = table[rows, places]
    table[rows, places] = -np.inf
    best_seen, best_unseen = table[:, mask].max(axis=1), table[:, ~mask].max(axis=1)
    margins: Floats = np.where(
        mask[places],
        np.where(right > best_seen, right - best_unseen, -np.inf),
        np.where(right > best_unseen, best_seen - right, np.inf),
    )
    return margins


def stacked_accuracies(
    margins: ArrayLike, labels: ArrayLike, seen: ArrayLike, gammas: ArrayLike
) -> tuple[Floats, Floats]:
    r"""Accuracies on seen and on unseen classes at each of the calibrations ``gammas`` (G,), (G,) each.

    They are means over the classes of a side that have videos, and NaN if none has. ``margins`` (N,)
    come from `stacking_margins`, with its ``labels`` (N,) and ``seen`` (C,).
    """
    known, new = _sides(margins, labels, seen)
    at = np.asarray(gammas, np.float64)
    return _share_above(*known, at), _share_below(*new, at)


def area_under_seen_unseen(margins: ArrayLike, labels: ArrayLike, seen: ArrayLike) -> float:
    r"""The area under the curve of seen against unseen accuracy for all :math:`\gamma`, in [0, 1].

    Larger is better, and no :math:`\gamma` must be chosen (Chao et al., ECCV 2016). Arguments and means
    over classes are those of `stacked_accuracies`. The curve is exact, with a corner just after every
    margin. ValueError if a side has no video.

    >>> area_under_seen_unseen([0.5, 0.3], [0, 1], [True, False])
    1.0
    """
    known, new = _sides(margins, labels, seen)
    if not (len(known[0]) and len(new[0])):
        raise ValueError("The area under the curve needs videos of seen and of unseen classes.")
    every = np.concatenate([known[0], new[0]])
    gammas = np.concatenate([[-np.inf], np.unique(every[np.isfinite(every)])])
    return float(np.trapezoid(_share_above(*known, gammas), _share_below(*new, gammas, side="right")))


def choose_gamma(scores: ArrayLike, labels: ArrayLike, share: float, draws: int = 10) -> float:
    r"""Choose the calibration :math:`\gamma` with the best harmonic mean, from videos of seen classes alone.

    In each of ``draws`` draws, a ``share`` in (0, 1) of the classes with videos, at least one, stands in
    for the unseen classes: for k = 0, 1, …, ``numpy.random.seed(k)`` and the first of a permutation.
    Returns the :math:`\gamma` in -1, -0.999, …, 1 with the best mean `harmonic_mean`, the middle one of
    equal ones. ``scores`` (N, C) are cosines of held-out videos with the training classes.

    ``share`` should be the share of unseen classes among all classes that will compete; with one half,
    both sides are alike and :math:`\gamma` is 0 except by chance. All these classes were trained on, so
    γ accounts for the number of unseen classes but not for the domain shift; it is biased toward 0.
    ValueError if fewer than two classes have videos.
    """
    table = _finite(scores, "scores")
    places, total = _labels(labels, *table.shape), np.zeros(len(GAMMAS))
    present = np.unique(places)
    if not 0 < share < 1 or draws < 1 or len(present) < 2:
        raise ValueError("Choosing gamma needs a share between 0 and 1, and videos of two or more classes.")
    count = min(max(round(share * len(present)), 1), len(present) - 1)
    for k in range(draws):
        seen = np.full(table.shape[1], True)
        seen[np.random.RandomState(k).permutation(present)[:count]] = False
        known, new = stacked_accuracies(stacking_margins(table, places, seen), places, seen, GAMMAS)
        total += 2 * known * new / np.maximum(known + new, np.finfo(float).tiny)
    best = np.flatnonzero(total >= total.max() - 1e-12)
    return float(GAMMAS[best[len(best) // 2]])


def _sides(margins: ArrayLike, labels: ArrayLike, seen: ArrayLike) -> list[tuple[Floats, Floats]]:
    """For seen and for unseen classes: the sorted margins (N,), and the total weight of the first n, (N + 1,)."""
    values, mask = np.asarray(margins, np.float64), np.asarray(seen, bool)
    places, sides = _labels(labels, len(values), len(mask)), []
    if np.isnan(values).any():
        raise ValueError("Margins must not be NaN.")
    for side in (True, False):
        own = mask[places] == side
        weights = 1 / np.bincount(places[own], minlength=len(mask))[places[own]]
        order = np.argsort(values[own], kind="stable")
        sums = np.concatenate([[0.0], np.cumsum(weights[order])])
        sides.append((values[own][order], sums / sums[-1] if own.any() else np.array([np.nan])))
    return sides


def _share_above(margins: Floats, sums: Floats, gammas: Floats) -> Floats:
    return 1 - sums[np.searchsorted(margins, gammas, side="right")]


def _share_below(margins: Floats, sums: Floats, gammas: Floats, side: Literal["left", "right"] = "left") -> Floats:
    return sums[np.searchsorted(margins, gammas, side=side)]


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
    cosine = np.clip(cosine, -1, 1)  # rounding could make a distance negative
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
    if not length:
        raise ValueError("There are no labels.")
    if places.min() < 0 or places.max() >= count:
        raise ValueError(f"Labels must lie in [0, {count}), not in [{places.min()}, {places.max()}].")
    return places
