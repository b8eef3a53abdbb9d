"""Metrics against naive loops, scikit-learn, and values known beforehand."""

import math
import statistics

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import auc, confusion_matrix, recall_score, top_k_accuracy_score

from aurl import metrics

quick = settings(max_examples=25, deadline=None, derandomize=True)
seeds = st.integers(0, 10**6)
both = pytest.mark.parametrize("distance", ["cosine", "euclidean"])


def draw(seed=0, n=40, c=6, d=4):
    rng = np.random.default_rng(seed)
    return 3 * rng.normal(size=(n, d)), 0.5 * rng.normal(size=(c, d)), rng.integers(c - 1, size=n)  # one class is empty


def between(a, b, distance):
    a, b = a / math.sqrt(sum(a * a)), b / math.sqrt(sum(b * b))
    return 1 - sum(a * b) if distance == "cosine" else math.sqrt(sum((a - b) ** 2))


# --- closeness and dispersion ----------------------------------------------------------------------


@both
def test_closeness_by_loops(distance):
    video, classes, labels = draw()
    means = []
    for c in range(len(classes)):
        of_class = [between(v, classes[c], distance) for v, y in zip(video, labels, strict=True) if y == c]
        if of_class:
            means.append(sum(of_class) / len(of_class))
    assert metrics.closeness(video, classes, labels, distance) == pytest.approx(sum(means) / len(means))
    assert len(means) == 5


@both
def test_dispersion_by_loops(distance):
    _, classes, _ = draw()
    nearest = [min(between(a, b, distance) for k, b in enumerate(classes) if k != c) for c, a in enumerate(classes)]
    assert metrics.dispersion(classes, distance) == pytest.approx(sum(nearest) / len(nearest))


@both
@quick
@given(seed=seeds, factor=st.floats(0.01, 100))
def test_neither_turning_nor_stretching_nor_order_matters(distance, seed, factor):
    video, classes, labels = draw(seed)
    rng = np.random.default_rng(seed)
    turn, order = np.linalg.qr(rng.normal(size=(4, 4)))[0], rng.permutation(6)
    moved = factor * (video @ turn), (classes @ turn)[order], np.argsort(order)[labels]
    assert metrics.closeness(*moved, distance) == pytest.approx(metrics.closeness(video, classes, labels, distance))
    assert metrics.dispersion(moved[1], distance) == pytest.approx(metrics.dispersion(classes, distance))


@quick
@given(seed=seeds)
def test_closeness_falls_as_videos_move_to_their_class(seed):
    video, classes, labels = draw(seed)
    nearer = video + classes[labels]
    assert metrics.closeness(nearer, classes, labels) < metrics.closeness(video, classes, labels)


def test_closed_forms():
    eye, labels = np.eye(3), np.arange(3)
    assert metrics.closeness(eye, eye, labels) == 0 and metrics.closeness(-eye, eye, labels) == 2
    assert metrics.closeness(-eye, eye, labels, "euclidean") == pytest.approx(2)
    assert metrics.dispersion(eye) == 1 and metrics.dispersion(eye, "euclidean") == pytest.approx(math.sqrt(2))
    assert metrics.dispersion(np.ones((3, 2))) == pytest.approx(0, abs=1e-12)
    # a regular simplex is the most uniform arrangement of three classes
    simplex = [[math.cos(t), math.sin(t)] for t in (0, 2 * math.pi / 3, 4 * math.pi / 3)]
    assert metrics.dispersion(simplex) == pytest.approx(1.5)


# --- accuracies ------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2, 5, 6])
def test_accuracies_and_confusions_are_those_of_scikit_learn(k):
    _, _, labels = draw(n=200)
    scores = np.random.default_rng(1).normal(size=(200, 6))
    assert metrics.topk_accuracy(scores, labels, k) == pytest.approx(
        top_k_accuracy_score(labels, scores, k=k, labels=range(6))
    )
    named, counts = scores.argmax(axis=1), metrics.confusion(scores, labels)
    assert (counts == confusion_matrix(labels, named, labels=range(6))).all()
    each = metrics.per_class_accuracy(scores, labels)
    assert each[:5] == pytest.approx(recall_score(labels, named, labels=range(5), average=None)) and np.isnan(each[5])


def test_hits_by_loops():
    _, _, labels = draw()
    scores = np.random.default_rng(1).normal(size=(40, 6))
    for k in range(1, 7):
        expected = [y in sorted(range(6), key=lambda c: -row[c])[:k] for row, y in zip(scores, labels, strict=True)]
        assert metrics.hits(scores, labels, k).tolist() == expected


def test_a_tie_earns_nothing():
    scores, labels = np.zeros((4, 3)), [0, 1, 2, 0]
    assert metrics.topk_accuracy(scores, labels, 1) == metrics.topk_accuracy(scores, labels, 2) == 0
    assert metrics.topk_accuracy(scores, labels, 3) == 1
    assert metrics.hits([[1, 1, 0]], [2], 3).all() and metrics.hits([[1, 1, 2]], [2], 1).all()


def test_torch_tensors_are_taken():
    assert metrics.topk_accuracy(torch.eye(3), torch.arange(3), 1) == 1
    assert metrics.closeness(torch.eye(3), torch.eye(3), torch.arange(3)) == 0


@quick
@given(seen=st.floats(0.001, 1), unseen=st.floats(0.001, 1))
def test_harmonic_mean(seen, unseen):
    assert metrics.harmonic_mean(seen, unseen) == pytest.approx(statistics.harmonic_mean([seen, unseen]))
    assert metrics.harmonic_mean(seen, 0) == metrics.harmonic_mean(0, unseen) == metrics.harmonic_mean(0, 0) == 0


# --- intervals -------------------------------------------------------------------------------------


def test_interval_is_that_of_redrawing_videos_within_classes():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 4], [30, 50, 20])
    correct = rng.random(100) < np.repeat([0.9, 0.5, 0.1], [30, 50, 20])
    redrawn = []
    for _ in range(4000):
        rows = [rng.choice(np.flatnonzero(labels == c), size=(labels == c).sum()) for c in (0, 1, 4)]
        redrawn.append(correct[np.concatenate(rows)].mean())
    found = metrics.bootstrap_interval(correct, labels, np.random.default_rng(1), resamples=4000)
    assert found == pytest.approx(tuple(np.quantile(redrawn, [0.025, 0.975])), abs=0.011)
    assert found[0] < correct.mean() < found[1]
    # classes differ, so redrawing over all videos at once would claim a wider interval
    unstratified = metrics.bootstrap_interval(correct, np.zeros(100, int), np.random.default_rng(1), resamples=4000)
    assert unstratified[1] - unstratified[0] > found[1] - found[0] + 0.02


def test_interval_of_a_mean_over_runs_is_narrower_than_of_one():
    rng = np.random.default_rng(0)
    runs, labels = rng.random((4, 400)) < 0.5, np.arange(400) % 5
    one, mean = (
        metrics.bootstrap_interval(correct, labels, np.random.default_rng(1))
        for correct in (runs[0], runs.mean(axis=0))
    )
    assert (mean[1] - mean[0]) / (one[1] - one[0]) == pytest.approx(1 / 2, abs=0.1)  # four independent runs


def test_interval_covers_the_truth_as_often_as_it_says():
    rng, truth = np.random.default_rng(0), np.array([0.8, 0.6, 0.3, 0.5])
    labels, covered = np.repeat(range(4), 60), 0
    for _ in range(300):
        low, high = metrics.bootstrap_interval(rng.random(240) < truth[labels], labels, rng, resamples=300)
        covered += low <= truth.mean() <= high
    assert 0.90 <= covered / 300 <= 0.98


def test_interval_is_reproducible_and_narrows_with_its_level():
    correct, labels = np.arange(60) % 3 == 0, np.arange(60) % 2
    wide, narrow = (
        metrics.bootstrap_interval(correct, labels, np.random.default_rng(0), level=level) for level in (0.95, 0.5)
    )
    assert wide == metrics.bootstrap_interval(correct, labels, np.random.default_rng(0))
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_interval_over_classes_is_that_of_redrawing_classes():
    rng = np.random.default_rng(0)
    sizes = np.array([30, 50, 20, 10, 40])
    labels, truth = np.repeat([0, 1, 4, 5, 7], sizes), np.array([0.9, 0.5, 0.1, 0.6, 0.3])
    correct = rng.random(150) < np.repeat(truth, sizes)
    redrawn = []
    for _ in range(4000):
        rows = [np.flatnonzero(labels == c) for c in rng.choice([0, 1, 4, 5, 7], size=5)]
        redrawn.append(correct[np.concatenate(rows)].mean())
    found = metrics.bootstrap_interval(correct, labels, np.random.default_rng(1), resamples=4000, over="classes")
    assert found == pytest.approx(tuple(np.quantile(redrawn, [0.025, 0.975])), abs=0.02)
    videos = metrics.bootstrap_interval(correct, labels, np.random.default_rng(1), resamples=4000)
    assert found[1] - found[0] > 2 * (videos[1] - videos[0])


def test_interval_over_classes_covers_other_classes_and_that_over_videos_does_not():
    rng, covered = np.random.default_rng(0), {"classes": 0, "videos": 0}
    for _ in range(200):
        truth = rng.beta(2, 2, size=30)  # of mean 1/2: each trial meets 30 other classes
        labels = np.repeat(range(30), 20)
        correct = rng.random(600) < truth[labels]
        for over in covered:
            low, high = metrics.bootstrap_interval(correct, labels, rng, resamples=300, over=over)
            covered[over] += low <= 0.5 <= high
    assert 0.88 <= covered["classes"] / 200 <= 0.99 and covered["videos"] / 200 < 0.75


# --- seen and unseen classes ------------------------------------------------------------------------


def stacked(seed=0, n=60):
    """Scores (n, 7), labels and which classes are seen, the first four; seen classes win too often."""
    rng = np.random.default_rng(seed)
    labels, seen = np.concatenate([np.arange(7), rng.integers(7, size=n - 7)]), np.arange(7) < 4
    return rng.normal(size=(n, 7)) + 1.5 * np.eye(7)[labels] + 0.7 * seen, labels, seen


def by_loops(scores, labels, seen, gamma):
    """Means over the classes of each side, where gamma is subtracted from the scores of seen ones."""
    sides = ([], [])
    for c in range(len(seen)):
        own = [row - gamma * seen for row, y in zip(scores, labels, strict=True) if y == c]
        right = [row[c] > max(np.delete(row, c)) for row in own]
        sides[0 if seen[c] else 1].append(sum(right) / len(right))
    return tuple(sum(side) / len(side) for side in sides)


def test_calibrated_stacking_by_loops():
    scores, labels, seen = stacked()
    margins = metrics.stacking_margins(scores, labels, seen)
    gammas = [-9, -0.5, 0, 0.3, 0.7, 2, 9]
    found = metrics.stacked_accuracies(margins, labels, seen, gammas)
    assert np.transpose(found) == pytest.approx(np.array([by_loops(scores, labels, seen, gamma) for gamma in gammas]))


def test_area_by_loops_and_scikit_learn():
    scores, labels, seen = stacked(n=30)
    margins, gammas = metrics.stacking_margins(scores, labels, seen), np.linspace(-6, 6, 1200)
    known, new = np.transpose([by_loops(scores, labels, seen, gamma) for gamma in gammas])
    assert metrics.area_under_seen_unseen(margins, labels, seen) == pytest.approx(auc(new, known), abs=0.005)


@quick
@given(seed=seeds, shift=st.floats(-2, 2))
def test_area_ignores_a_shift_of_seen_scores_and_accuracies_run_one_way(seed, shift):
    scores, labels, seen = stacked(seed)
    margins = metrics.stacking_margins(scores, labels, seen)
    moved = metrics.stacking_margins(scores + shift * seen, labels, seen)
    area = metrics.area_under_seen_unseen(margins, labels, seen)
    assert 0 <= area <= 1 and metrics.area_under_seen_unseen(moved, labels, seen) == pytest.approx(area)
    known, new = metrics.stacked_accuracies(margins, labels, seen, np.linspace(-3, 3, 50))
    assert (np.diff(known) <= 0).all() and (np.diff(new) >= 0).all()


def test_closed_forms_of_stacking():
    seen, labels = np.array([True, True, False]), np.arange(3)
    margins = metrics.stacking_margins(np.eye(3), labels, seen)
    assert margins.tolist() == [1, 1, -1] and metrics.area_under_seen_unseen(margins, labels, seen) == 1
    assert metrics.stacked_accuracies(margins, labels, seen, [-2, -1, 0, 1, 2]) == (
        pytest.approx([1, 1, 1, 0, 0]), pytest.approx([0, 0, 1, 1, 1])
    )  # fmt: skip
    never = metrics.stacking_margins(np.zeros((3, 3)), labels, seen)  # ties are mistakes on the seen side
    assert never.tolist() == [-np.inf, -np.inf, 0]
    assert np.isnan(metrics.stacked_accuracies(margins[:2], labels[:2], seen, [0])[1]).all()


def test_gamma_is_the_best_of_all_on_average_over_draws():
    scores, labels, _ = stacked(n=90)
    scores, state, total = scores / 10, np.random.get_state(), 0
    for k in range(10):
        np.random.seed(k)
        seen = ~np.isin(range(7), np.random.permutation(7)[:2])
        pairs = [by_loops(scores, labels, seen, gamma) for gamma in metrics.GAMMAS[800:1201:20]]
        total = total + np.array([metrics.harmonic_mean(*pair) for pair in pairs])
    np.random.set_state(state)
    best = metrics.GAMMAS[800:1201:20][np.isclose(total, total.max())]
    assert min(abs(best - metrics.choose_gamma(scores, labels, share=2 / 7))) < 0.03


def test_gamma_is_the_middle_of_equally_good_ones():
    assert metrics.choose_gamma(np.eye(4), np.arange(4), share=0.5) == 0  # all from -0.999 to 0.999 are as good


def test_gamma_is_chosen_with_a_share_of_the_classes_to_the_nearest():
    """A quarter of seven classes are two: as many videos of each class, and scores that lean the more the fewer."""
    rng, labels = np.random.default_rng(0), np.repeat(np.arange(7), 30)
    scores = 0.1 * rng.normal(size=(210, 7)) + 0.15 * np.eye(7)[labels]
    one, nearly_two, two = (metrics.choose_gamma(scores, labels, share) for share in (1 / 7, 1.75 / 7, 2 / 7))
    assert one != two == nearly_two


def test_gamma_removes_a_lean_toward_many_classes():
    """Few classes against many lose by number, which a gamma above 0 makes good."""
    rng, labels = np.random.default_rng(0), np.repeat(np.arange(30), 20)
    scores = 0.1 * rng.normal(size=(600, 30)) + 0.15 * np.eye(30)[labels]
    few, many = (metrics.choose_gamma(scores, labels, share) for share in (0.1, 0.9))
    assert few > 0.02 and many < -0.02 and abs(metrics.choose_gamma(scores, labels, 0.5)) < 0.02


# --- class splits ----------------------------------------------------------------------------------


def naive_split(scores, labels, test_classes):
    """Top-1, top-5 and mean per class by loops."""
    top1, top5, own = 0, 0, {c: [] for c in test_classes}
    for row, y in zip(scores, labels, strict=True):
        if y in test_classes:
            ranked = sorted(test_classes, key=lambda c: -row[c])
            own[y].append(y == ranked[0])
            top1, top5 = top1 + (y == ranked[0]), top5 + (y in ranked[:5])
    videos, means = sum(map(len, own.values())), [sum(right) / len(right) for right in own.values() if right]
    return top1 / videos, top5 / videos, statistics.mean(means)


def test_half_of_the_classes_by_loops():
    rng = np.random.default_rng(0)
    labels = rng.integers(15, size=150)
    scores = rng.normal(size=(150, 15)) + 2 * np.eye(15)[labels]
    results, state = [], np.random.get_state()
    for k in range(10):
        np.random.seed(k)
        results.append(naive_split(scores, labels, np.random.permutation(15)[:7].tolist()))
    np.random.set_state(state)
    expected = {"splits": 10}
    for name, values in zip(("top1", "top5", "mean_per_class"), zip(*results, strict=True), strict=True):
        expected |= {name: statistics.mean(values), f"{name}_std": statistics.pstdev(values)}
    assert metrics.split_accuracy(scores, labels, "half") == pytest.approx(expected)


def test_half_leaves_global_random_numbers_alone():
    np.random.seed(5)
    expected = np.random.RandomState(5).random()
    metrics.split_accuracy(np.eye(8), np.arange(8), "half")
    assert np.random.random() == expected


def test_all_and_chosen_classes():
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(12, size=80), rng.normal(size=(80, 12))
    whole = metrics.split_accuracy(scores, labels, "all")
    assert whole["top1"] == metrics.topk_accuracy(scores, labels, 1)
    assert whole["top5"] == metrics.topk_accuracy(scores, labels, 5) and whole["top1_std"] == 0
    chosen = [11, 0, 7, 3, 4, 9]
    found = metrics.split_accuracy(scores, labels, chosen)
    assert (found["top1"], found["top5"], found["mean_per_class"]) == pytest.approx(naive_split(scores, labels, chosen))
    assert found["splits"] == 1
    assert metrics.split_accuracy(scores, labels, [2, 5])["top5"] == 1


# --- mistakes --------------------------------------------------------------------------------------


def test_nan_is_refused_everywhere():
    bad, good, labels = np.array([[np.nan, 1.0], [0.0, 1.0]]), np.eye(2), np.arange(2)
    for call in (
        lambda: metrics.topk_accuracy(bad, labels, 1),
        lambda: metrics.per_class_accuracy(bad, labels),
        lambda: metrics.split_accuracy(bad, labels, "all"),
        lambda: metrics.dispersion(bad),
        lambda: metrics.closeness(bad, good, labels),
        lambda: metrics.closeness(good, bad, labels),
    ):
        with pytest.raises(ValueError, match="must be finite"):
            call()
    with pytest.raises(ValueError, match="Accuracies"):
        metrics.harmonic_mean(float("nan"), 0.5)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: metrics.topk_accuracy(np.eye(3), [0, 1, 3], 1), "Labels must lie"),
        (lambda: metrics.topk_accuracy(np.eye(3), [0, 1], 1), "Labels must be"),
        (lambda: metrics.topk_accuracy(np.eye(3), [0.0, 1.0, 2.0], 1), "integers"),
        (lambda: metrics.topk_accuracy(np.eye(3), [0, 1, 2], 4), "k must lie"),
        (lambda: metrics.topk_accuracy(np.zeros((0, 3)), [], 1), "non-empty"),
        (lambda: metrics.closeness(np.eye(3), np.eye(3), [0, 1, 2], "manhattan"), "distance must be"),
        (lambda: metrics.closeness(np.eye(3), np.eye(2), [0, 1, 1]), "dimensions"),
        (lambda: metrics.closeness(np.zeros((0, 2)), np.eye(2), np.zeros(0, int)), "no labels"),
        (lambda: metrics.dispersion(np.ones((1, 2))), "two or more"),
        (lambda: metrics.dispersion(np.eye(3) * [1, 1, 0]), "zero vector"),
        (lambda: metrics.harmonic_mean(-0.1, 0.5), "Accuracies"),
        (lambda: metrics.split_accuracy(np.eye(3), [0, 1, 2], "third"), "protocol must be"),
        (lambda: metrics.split_accuracy(np.eye(3), [0, 1, 2], [1, 1]), "different"),
        (lambda: metrics.split_accuracy(np.eye(3), [0, 1, 1], [2]), "No video"),
        (lambda: metrics.bootstrap_interval([1.5, 1], [0, 1], np.random.default_rng(0)), "0, 1"),
        (lambda: metrics.bootstrap_interval([0, 1], [0, 1], np.random.default_rng(0), over="runs"), "'runs'"),
        (lambda: metrics.stacking_margins(np.eye(3), [0, 1, 2], [True, True, True]), "some True"),
        (lambda: metrics.stacked_accuracies([np.nan, 1], [0, 1], [True, False], [0]), "NaN"),
        (lambda: metrics.area_under_seen_unseen([1.0, 1.0], [0, 0], [True, False]), "videos of seen"),
        (lambda: metrics.choose_gamma(np.eye(3), [0, 1, 2], 1.0), "share between"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
