"""Figures of a run's classes show what they are given, whatever the names."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from aurl import figures
from aurl.data.video import write_video
from aurl.evaluation import protocols
from aurl.figures import evaluation as class_figures

pytestmark = pytest.mark.usefixtures("folder")


@pytest.fixture
def videos(folder):
    """The best and the worst of nine videos of a set whose names hold markup and formulas."""
    write_video(
        folder / "v.mp4",
        np.arange(0, 200, 25, np.uint8)[:, None, None, None].repeat(16, 1).repeat(16, 2).repeat(3, 3),
        8,
    )
    names = ["<b>", "$x_", "$1 & $2", "d", "e", "f", "g", "h", "i"]
    video = np.eye(9)
    video[8, 0] = -0.3  # of class 0, which is its last
    features = {"video": video, "classes": np.eye(9), "labels": np.array([0, 1, 2, 3, 4, 5, 6, 7, 0])}
    table = protocols.predictions(features, [f"s/{i}" for i in range(9)], names)
    return protocols.examples(features, table, count=1).assign(
        path=str(folder / "v.mp4"), first=3, frames=5, codec="h264"
    )


def test_film_strips_span_the_segment_and_mark_the_right_class(videos):
    figure = class_figures.film_strips(videos, columns=3)
    rows = np.array(figure.axes).reshape(2, 4)
    for row, place in zip(rows, [1, 9]):
        np.testing.assert_allclose([ax.images[0].get_array().mean() for ax in row[:3]], [75, 125, 175], atol=6)
        labels = [text.get_text() for text in row[-1].get_yticklabels()]
        colors = [to_hex(bar.get_facecolor()) for bar in row[-1].patches]
        right = labels.index(f"{place}. <b>")
        assert colors.count(colors[right]) == 1 and len(set(colors)) == 2
        assert right == min(place - 1, 5)
    assert [row[0].get_title(loc="left") for row in rows] == ["best: <b>", "worst: <b>"]
    plt.close(figure)


def test_features_have_no_film_strip(videos):
    figure = class_figures.film_strips(videos.assign(path="none.npz", codec="features"), columns=3)
    assert [text.get_text() for ax in figure.axes[:3] for text in ax.texts] == ["no pictures: features"]
    assert figure.axes[0].get_title(loc="left") == "best: <b>" and figure.axes[3].patches
    plt.close(figure)


def test_film_strips_repeat(videos):
    shown = figures.save(class_figures.film_strips(videos), "strips").data
    assert figures.save(class_figures.film_strips(videos), "strips").data == shown


def distances(top1):
    names = [f"${i} <b>" for i in range(len(top1))]
    return pd.DataFrame({"class": names, "nearest": "x_$", "distance": np.linspace(0.1, 0.5, len(top1)), "top1": top1})


def test_a_class_far_from_the_seen_ones_is_named_with_its_nearest():
    tables = {"s": distances([0.9, 0.8, 0.7, 0.6, 0.3, 0.35, 0.2, 0.1, 0.0, 0.05]), "$t": distances([0.0, 0.0, 0.0])}
    figure = class_figures.semantic_distance(tables, {"s": 0.1, "$t": 1 / 3})
    first, second = figure.axes
    assert first.get_title() == "s: Spearman's ρ = -0.98, p = 1.5e-06, 10 classes"
    assert second.get_title() == "$t: 3 classes, too alike for a rank correlation"
    texts = {text.get_text() for text in first.texts} - {""}
    assert texts == {f"${i} <b> (x_$)" for i in (0, 1, 2, 3, 8, 9)} | {"chance\n10.0%"}
    assert len(first.collections[0].get_offsets()) == 10
    shown = figures.save(figure, "distance").data
    assert shown == figures.save(class_figures.semantic_distance(tables, {"s": 0.1, "$t": 1 / 3}), "distance").data


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_unseen_classes_are_still_drawn(count):
    figures.save(class_figures.semantic_distance({"s": distances([0.5] * count)}, {"s": 0.5}), "distance")


def test_class_vectors_name_the_nearest_pairs_of_both_spaces():
    rng = np.random.default_rng(0)
    vectors, learned = rng.normal(size=(12, 6)), rng.normal(size=(12, 4))
    vectors[1], learned[3] = vectors[0] * 2, learned[2]  # nearest before, and after
    names = [f"${i} <b>" for i in range(12)]
    figure = class_figures.class_vectors(names, np.arange(12) >= 9, vectors, learned)
    before, after, cosines = figure.axes
    shown = [{text.get_text() for text in ax.texts} - {""} for ax in (before, after)]
    assert shown[0] == shown[1] and set(names[:4]) <= shown[0]
    assert [len(dots.get_offsets()) for dots in before.collections] == [9, 3]
    joined = [line.get_xydata() for line in before.lines]
    assert any(np.allclose(*ends) for ends in joined)  # of a pair in one direction
    heights = [patch.get_xy()[:, 1].max() for patch in cosines.patches]
    assert len(heights) == 2 and all(height > 0 for height in heights)
    plt.close(figure)
