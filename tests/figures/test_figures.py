"""Figures are saved whole, show what they are given, and have the same bytes every time."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from drawn import boxes, colors

from aurl import figures, metrics
from aurl.data.video import write_video

pytestmark = pytest.mark.usefixtures("folder")


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def draw(name, tmp_path):
    rng = np.random.default_rng(0)
    names = ["walk duck", "kick ball", "spin box"]
    scores, labels = rng.normal(size=(30, 3)), np.repeat(np.arange(3), 10)
    if name == "contact_sheet":
        write_video(tmp_path / "v.mp4", np.full((8, 16, 16, 3), 90, np.uint8), fps=8)
        return figures.contact_sheet(
            pd.DataFrame(
                {"path": [str(tmp_path / "v.mp4")] * 2, "class": names[:2], "first": [0, 4], "frames": [8, 4]}
            ),
            columns=4,
        )
    if name == "similarity":
        return figures.similarity(names, rng.normal(size=(3, 5)), "title")
    if name == "learning_curves":
        columns = ["lr", "total", "alignment", "uniformity", "semantic", "val_top1", "val_closeness", "val_dispersion"]
        return figures.learning_curves(
            pd.DataFrame(rng.random((4, 8)), columns=columns).assign(epoch=range(1, 5)), chance=0.1
        )
    if name == "per_class":
        return figures.per_class(np.array([0.2, 0.9, 0.5]), names, 1 / 3, "title")
    if name == "confusion":
        return figures.confusion(metrics.confusion(scores, labels), names, "title")
    if name == "sphere":
        features = {"video": unit(rng.normal(size=(30, 3))), "classes": unit(rng.normal(size=(3, 3))), "labels": labels}
        return figures.sphere({"a": features, "b": features}, names)


ALL = [
    "contact_sheet",
    "similarity",
    "learning_curves",
    "per_class",
    "confusion",
    "sphere",
]


def test_contact_sheet_of_features_says_that_there_are_no_pictures():
    figure = figures.contact_sheet(pd.DataFrame({"path": [], "class": [], "first": [], "frames": []}))
    (text,) = figure.axes[0].texts
    plt.close(figure)
    assert text.get_text() == "No pictures: these sets are features."


def test_contact_sheet_spans_its_segment(tmp_path):
    write_video(
        tmp_path / "v.mp4",
        (25 * np.arange(8, dtype=np.uint8))[:, None, None, None] * np.ones((16, 16, 3), np.uint8),
        fps=8,
    )
    figure = figures.contact_sheet(
        pd.DataFrame({"path": [str(tmp_path / "v.mp4")], "class": ["x"], "first": [3], "frames": [5]}), columns=3
    )
    shown = [ax.images[0].get_array().mean() for ax in figure.axes]
    plt.close(figure)
    np.testing.assert_allclose(shown, [75, 125, 175], atol=6)


@pytest.mark.parametrize("name", ALL)
def test_saved_picture_is_what_the_notebook_shows_and_repeats(name, folder):
    shown = figures.save(draw(name, folder), name)
    kept = (folder / f"reports/figures/{name}.png").read_bytes()
    assert shown.data == kept and kept.startswith(b"\x89PNG") and len(kept) > 2000
    assert figures.save(draw(name, folder), name).data == kept


def test_classes_on_the_sphere_are_named():
    figure = draw("sphere", None)
    for _, texts in boxes(figure):
        assert set(texts) == {"walk duck", "kick ball", "spin box"}
    plt.close(figure)


def test_videos_by_another_star_are_crosses():
    features = {"video": np.eye(3)[[0, 1, 1]], "classes": np.eye(3), "labels": np.array([0, 1, 2])}
    figure = figures.sphere({"a": features}, ["x", "y", "z"])
    dots, crosses, stars = (figure.axes[0].collections[place : place + 2] for place in (1, 3, 5))
    assert [sum(len(points.get_offsets()) for points in kind) for kind in (dots, crosses, stars)] == [2, 1, 3]
    plt.close(figure)


@pytest.mark.parametrize("name", ["learning_curves", "sphere", "per_class"])
def test_at_most_seven_colors(name, folder):
    figure = draw(name, folder)
    assert len(colors(figure)) <= 7
    plt.close(figure)


@pytest.mark.parametrize("values", [[0.1, 0.1, 0.1, 0.1], [0.0, 0.5, 0.52, 1.0]])
def test_lines_are_named_at_their_ends_apart_from_each_other(values):
    history = pd.DataFrame({name: [0.3, value] for name, value in zip(("total", "a", "b", "c"), values)})
    columns = ["alignment", "uniformity", "val_top1", "val_closeness", "val_dispersion"]
    figure = figures.learning_curves(history.assign(epoch=[1, 2], **dict.fromkeys(columns, 0.5)), chance=0.02)
    found = [texts for _, texts in boxes(figure)]
    assert list(map(set, found)) == [
        {"total", "a", "b", "c"},
        {"alignment", "uniformity"},
        {"top1", "chance, 2.0%"},
        {"closeness", "dispersion"},
    ]
    for ax, texts in boxes(figure):
        for name, box in texts.items():
            assert box.x0 > ax.bbox.x1
            assert not any(box.overlaps(other) for text, other in texts.items() if text != name)
    plt.close(figure)


@pytest.mark.parametrize("count", [2, 24, 101])
def test_every_class_has_room_for_its_name(count):
    rng = np.random.default_rng(0)
    figure = figures.per_class(rng.random(count), [f"class {i}" for i in range(count)], 1 / count, "title")
    figure.canvas.draw()
    (ax,) = figure.axes
    labels = [label.get_window_extent() for label in ax.get_yticklabels()]
    assert len(labels) == count and not any(a.overlaps(b) for a, b in itertools.pairwise(labels))
    chance = ax.texts[0].get_window_extent()
    assert not any(chance.overlaps(bar.get_window_extent()) for bar in ax.patches)
    plt.close(figure)


def test_a_class_without_videos_comes_last():
    figure = figures.per_class(np.array([np.nan, 0.0, 0.5]), ["x", "y", "z"], 1 / 3, "title")
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["z", "y", "x"]
    plt.close(figure)


def test_only_confused_classes_are_shown_of_many():
    scores, labels = np.eye(101), np.arange(101)
    scores[[7, 90]] = scores[[90, 7]]  # the only two that are confused
    figure = figures.confusion(metrics.confusion(scores, labels), [f"c{i}" for i in range(101)], "title", most=2)
    ax = figure.axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["c7", "c90"]
    assert ax.collections[0].get_array().reshape(2, 2).tolist() == [[0, 1], [1, 0]]
    assert ax.get_title() == "title: the 2 of 101 classes that are confused most"
    plt.close(figure)


def test_a_map_of_many_classes_stays_a_page(folder):
    vectors = np.random.default_rng(0).normal(size=(700, 4))
    figure = figures.similarity([str(i) for i in range(700)], vectors, "title")
    assert max(figure.get_size_inches()) < 20 and not figure.axes[0].get_yticklabels()
    plt.close(figure)


def test_per_class_sorts_best_first(folder):
    figure = draw("per_class", folder)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["kick ball", "spin box", "walk duck"]
    plt.close(figure)


def test_confusion_rows_are_shares_of_the_true_class(folder):
    figure = draw("confusion", folder)
    values = figure.axes[0].collections[0].get_array().reshape(3, 3)
    assert np.allclose(values.sum(axis=1), 1)
    plt.close(figure)


def test_table_formats_shares_and_repeats():
    frame = pd.DataFrame({"top1": [0.123456], "closeness": [0.123456], "seed": [0]})
    html = figures.table(frame).data
    assert "12.3%" in html and "0.123" in html and html == figures.table(frame).data


def test_table_has_no_negative_zero_and_no_markup_of_names():
    frame = pd.DataFrame({"relative gain": [-1e-5], "closeness": [-1e-5], "label": ["<b>"]})
    html = figures.table(frame).data
    assert "-0" not in html and ">0.0%<" in html and ">0.000<" in html and "&lt;b&gt;" in html


def test_no_name_is_markup_or_mathematics():
    """Where a formula is broken, Matplotlib would end the chapter."""
    names = ["<b>$\\frac{$", "a $5 to $6 *b*", "c_d"]
    assert (
        figures.literal(names[0]) == "&#60;b&#62;&#36;&#92;frac&#123;&#36;"
        and figures.literal(names[1])[-6:] == "b&#42;"
    )
    for figure in (
        figures.similarity(names, np.eye(3), "title"),
        figures.per_class(np.arange(3.0), names, 0.1, "title"),
        figures.confusion(np.eye(3), names, "title"),
    ):
        figure.canvas.draw()
        labels = [label.get_text().replace(r"\$", "$") for label in figure.axes[0].get_yticklabels()]
        assert sorted(labels) == sorted(names)
        plt.close(figure)


def test_table_cuts_no_text():
    assert "x" * 500 in figures.table(pd.DataFrame({"what": ["x" * 500]})).data
