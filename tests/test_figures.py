"""Figures are saved whole, show what they are given, and repeat to the byte."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from aurl import figures
from aurl.video import write_video


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "FOLDER", tmp_path)
    yield tmp_path
    assert not plt.get_fignums(), "a figure was left open"


def draw(name, tmp_path):
    rng = np.random.default_rng(0)
    names = ["walk duck", "kick ball", "spin box"]
    scores, labels = rng.normal(size=(30, 3)), np.repeat(np.arange(3), 10)
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)
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
        return figures.confusion(scores, labels, names, "title")
    if name == "sphere":
        features = {"video": unit(rng.normal(size=(30, 3))), "classes": unit(rng.normal(size=(3, 3))), "labels": labels}
        return figures.sphere({"a": features, "b": features}, names)
    if name == "spread":
        return figures.spread({"a": {"x": rng.random(9), "y": rng.random(9)}, "b": {"x": rng.random(9)}}, "cosine")
    table = pd.DataFrame(
        {
            "set": ["s", "s", "t", "t"],
            "variant": ["aurl", "e2e"] * 2,
            "seed": 0,
            "top1": 0.5,
            "top1_low": 0.4,
            "top1_high": 0.7,
            "chance": 0.1,
            "closeness": 0.2,
            "dispersion": 0.3,
        }
    )
    return figures.tradeoff(table) if name == "tradeoff" else figures.comparison(table, table)


ALL = [
    "contact_sheet",
    "similarity",
    "learning_curves",
    "per_class",
    "confusion",
    "sphere",
    "comparison",
    "tradeoff",
    "spread",
]


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
    kept = (folder / f"{name}.png").read_bytes()
    assert shown.data == kept and kept.startswith(b"\x89PNG") and len(kept) > 2000
    assert figures.save(draw(name, folder), name).data == kept


@pytest.mark.parametrize("name", ["per_class", "comparison", "learning_curves"])
def test_legend_does_not_cover_data(name, folder):
    figure = draw(name, folder)
    figure.canvas.draw()
    for ax in figure.axes:
        if ax.get_legend():
            box = ax.get_legend().get_window_extent()
            for bar in ax.patches:
                assert not box.overlaps(bar.get_window_extent())
            for line in ax.lines[:-1] if name == "comparison" else ax.lines:
                points = (
                    ax.transData.transform(np.column_stack(line.get_data()).astype(float))
                    if name == "learning_curves"
                    else []
                )
                assert not any(box.contains(*point) for point in points)
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
