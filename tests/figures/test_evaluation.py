"""Figures of one training and its classes show what they are given, whatever the names."""

import numpy as np
import pandas as pd
import pytest
from drawn import boxes, disjoint, tick_labels
from matplotlib.colors import to_hex

from aurl import figures, metrics
from aurl.data.video import write_video
from aurl.evaluation import protocols
from aurl.figures import MAX_NAMES, evaluation


@pytest.fixture
def videos(folder):
    """The best and the worst of nine videos of a set whose names hold markup and formulas."""
    frames = np.arange(0, 200, 25, np.uint8)[:, None, None, None].repeat(16, 1).repeat(16, 2).repeat(3, 3)
    write_video(folder / "v.mp4", frames, 8)
    names = ["<b>", "$x_", "$1 & $2", "d", "e", "f", "g", "h", "i"]
    video = np.eye(9)
    video[8, 0] = -0.3  # of class 0, which is its last
    features = {"video": video, "classes": np.eye(9), "labels": np.array([0, 1, 2, 3, 4, 5, 6, 7, 0])}
    table = protocols.predictions(features, [f"s/{i}" for i in range(9)], names)
    found = protocols.examples(features, table, count=1)
    return found.assign(path=str(folder / "v.mp4"), first=3, frames=5, codec="h264")


def test_film_strips_span_the_segment_and_mark_the_right_class(videos):
    figure = evaluation.film_strips(videos, "title", columns=3)
    rows = np.array(figure.axes).reshape(2, 2)
    for (strip, bars), place in zip(rows, [1, 9]):
        np.testing.assert_allclose([shown.get_array().mean() for shown in strip.images], [75, 125, 175], atol=6)
        labels = [text.get_text() for text in bars.get_yticklabels()]
        colors = [to_hex(bar.get_facecolor()) for bar in bars.patches]
        right = labels.index(f"{place}. <b>")
        assert colors.count(colors[right]) == 1 and len(set(colors)) == 2
        assert right == min(place - 1, 5)
    assert [row[0].get_title(loc="left") for row in rows] == ["best: <b>", "worst: <b>"]


def test_features_have_no_film_strip(videos):
    figure = evaluation.film_strips(videos.assign(path="none.npz", codec="features"), "title", columns=3)
    assert [text.get_text() for text in figure.axes[0].texts] == ["no pictures: features"]
    assert figure.axes[0].get_title(loc="left") == "best: <b>" and figure.axes[1].patches


def test_film_strips_repeat(videos):
    shown = figures.save(evaluation.film_strips(videos, "title"), "strips").data
    assert figures.save(evaluation.film_strips(videos, "title"), "strips").data == shown


def distances(top1):
    names = [f"${i} <b>" for i in range(len(top1))]
    return pd.DataFrame({"class": names, "nearest": "x_$", "distance": np.linspace(0.1, 0.5, len(top1)), "top1": top1})


def test_a_class_far_from_the_seen_ones_is_named_with_its_nearest():
    tables = {"s": distances([0.9, 0.8, 0.7, 0.6, 0.3, 0.35, 0.2, 0.1, 0.0, 0.05]), "$t": distances([0.0, 0.0, 0.0])}
    figure = evaluation.semantic_distance(tables, {"s": 0.1, "$t": 1 / 3})
    first, second = figure.axes
    assert first.get_title() == "s\nSpearman's ρ = -0.98, p = 1.5e-06, 10 classes"
    assert second.get_title() == "$t\n3 classes, too alike for a rank correlation"
    texts = {text.get_text() for text in first.texts} - {""}
    assert texts == {f"${i} <b> (x_$)" for i in (0, 1, 2, 3, 8, 9)} | {"chance,\n10.0%"}
    assert len(first.collections[0].get_offsets()) == 10


def test_class_vectors_name_the_nearest_pairs_of_both_spaces():
    rng = np.random.default_rng(0)
    vectors, learned = rng.normal(size=(12, 6)), rng.normal(size=(12, 4))
    vectors[1], learned[3] = vectors[0] * 2, learned[2]  # nearest before, and after
    names = [f"${i} <b>" for i in range(12)]
    figure = evaluation.class_vectors(names, np.arange(12) >= 9, vectors, learned, "$1")
    before, after, cosines = figure.axes
    shown = [{text.get_text() for text in ax.texts} - {""} for ax in (before, after)]
    assert shown[0] == shown[1] and set(names[:4]) <= shown[0]
    assert [len(dots.get_offsets()) for dots in before.collections] == [9, 3]
    joined = [line.get_xydata() for line in before.lines]
    assert any(np.allclose(*ends) for ends in joined)  # of a pair in one direction
    heights = [patch.get_xy()[:, 1].max() for patch in cosines.patches]
    assert len(heights) == 2 and all(height > 0 for height in heights)


def curves(**columns):
    others = ["alignment", "uniformity", "val_top1", "val_closeness", "val_dispersion"]
    history = pd.DataFrame(dict.fromkeys(others, 0.5) | columns, index=[0, 1]).assign(epoch=[1, 2])
    return evaluation.learning_curves(history, chance=0.02, title="aurl, seed 3")


@pytest.mark.parametrize("values", [[0.1, 0.1, 0.1, 0.1], [0.0, 0.5, 0.52, 1.0]])
def test_lines_are_named_at_their_ends_apart_from_each_other(values):
    figure = curves(**{name: [0.3, value] for name, value in zip(("total", "a", "b", "c"), values)})
    found = list(boxes(figure))
    assert [set(texts) for _, texts in found] == [
        {"total", "a", "b", "c"},
        {"alignment", "uniformity"},
        {"top1", "chance, 2.0%"},
        {"closeness", "dispersion"},
    ]
    for ax, texts in found:
        assert all(box.x0 > ax.bbox.x1 for box in texts.values()) and disjoint(texts.values())
    assert figure.get_suptitle() == "aurl, seed 3"


@pytest.mark.parametrize("count", [2, 24, 40, 101])
def test_every_class_or_the_best_and_the_worst_have_room_for_their_names(count):
    accuracy = np.random.default_rng(0).permutation(count) / count
    figure = evaluation.class_accuracies(accuracy, [f"class {i}" for i in range(count)], 1 / count, "title")
    ax, *histogram = figure.axes
    texts, extents = tick_labels(ax.yaxis)
    best = [f"class {i}" for i in np.argsort(-accuracy)]
    assert texts == (best if count <= MAX_NAMES else best[:15] + best[-15:]) and disjoint(extents)
    assert max(figure.get_size_inches()) < 13
    chance = next(text for text in ax.texts if text.get_text().startswith("chance")).get_window_extent()
    assert not any(chance.overlaps(bar.get_window_extent()) for bar in ax.patches)
    assert len(histogram) == (count > MAX_NAMES)
    for shown in histogram:
        assert sum(bar.get_height() for bar in shown.patches) == count
        assert "71 classes between" in [text.get_text() for text in ax.texts]


@pytest.mark.parametrize("count", [3, 50])
def test_a_class_without_videos_comes_last_or_is_not_among_the_worst(count):
    accuracy = np.array([np.nan, *np.linspace(0, 0.5, count - 1)])
    figure = evaluation.class_accuracies(accuracy, [f"c{i}" for i in range(count)], 1 / 3, "title")
    assert tick_labels(figure.axes[0].yaxis)[0][-1] == ("c0" if count == 3 else "c1")
    few = evaluation.class_accuracies(np.where(np.arange(count) < 5, accuracy, np.nan), ["c"] * count, 1 / 3, "title")
    assert len(few.axes) == 1 and len(tick_labels(few.axes[0].yaxis)[0]) == min(count, 4)
    assert len(figure.axes) == 1 or figure.axes[1].get_ylabel() == "classes, of 49"


def test_confusion_rows_are_shares_of_the_true_class():
    figure = evaluation.confusion_matrix(np.array([[1, 3], [0, 0]]), ["x", "y"], "title")
    assert figure.axes[0].collections[0].get_array().reshape(2, 2).tolist() == [[0.25, 0.75], [0, 0]]


def test_only_confused_classes_are_shown_of_many():
    scores, labels = np.eye(101), np.arange(101)
    scores[[7, 90]] = scores[[90, 7]]  # the only two that are confused
    figure = evaluation.confusion_matrix(metrics.confusion(scores, labels), [f"c{i}" for i in range(101)], "title")
    ax = figure.axes[0]
    texts, _ = tick_labels(ax.yaxis)
    shares = ax.collections[0].get_array().reshape(MAX_NAMES, MAX_NAMES)
    places = [texts.index(name) for name in ("c7", "c90")]
    assert shares[np.ix_(places, places)].tolist() == [[0, 1], [1, 0]] and np.trace(shares) == MAX_NAMES - 2
    assert ax.get_title() == "title: the 40 of 101 classes that are confused most"
