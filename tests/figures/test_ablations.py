"""Figures that compare variants name them all, show every training, and hide no text behind another or a line."""

import numpy as np
import pandas as pd
import pytest
from drawn import boxes, disjoint, tick_labels, trainings
from matplotlib.text import Text

from aurl.figures import ablations


def test_training_curves_are_shares_of_guessing_and_named_once():
    epochs = {"epoch": [1, 2, 3], "val_top1": [0.1, 0.3, 0.4]}
    aurl = pd.DataFrame(epochs | {"synthetic": [2.0, 1.0, 0.1]})
    histories = {("aurl", 0): aurl, ("aurl", 1): aurl, ("e2e", 0): pd.DataFrame(epochs)}
    figure = ablations.training_curves(histories, 2.0, "title")
    assert figure.get_suptitle() == "title"
    accuracy, synthetic = figure.axes
    assert len(accuracy.lines) == 3 and [text.get_text() for text in figure.legends[0].get_texts()] == ["aurl", "e2e"]
    *curves, tenth = synthetic.lines
    assert [list(line.get_ydata()) for line in curves] == [[1.0, 0.5, 0.05]] * 2 and set(tenth.get_ydata()) == {0.1}


def test_panels_of_cosines_have_their_own_titles():
    panels = {name: {"a": np.arange(3), "b": np.arange(4)} for name in ("first", "second")}
    figure = ablations.synthetic_class_cosines(panels, "title")
    assert [figure.get_suptitle(), *(ax.get_title() for ax in figure.axes)] == ["title", "first", "second"]


@pytest.mark.parametrize(("count", "seeds", "outlier"), [(3, 1, False), (19, 3, False), (6, 2, True)])
def test_every_variant_is_named_by_its_mean_and_no_line_goes_through_a_name(count, seeds, outlier):
    runs = trainings("s", count, seeds)
    if outlier:
        runs.loc[0, ["closeness", "dispersion", "top1"]] = 1.6, 0.1, 0.1
    figure = ablations.closeness_dispersion(runs)
    ((ax, texts),) = boxes(figure)
    assert set(texts) == {f"variant_{i:02d}" for i in range(count)} and disjoint(texts.values())
    assert all(ax.bbox.contains(*corner) for box in texts.values() for corner in (box.min, box.max))
    lines = [line.get_path().transformed(line.get_transform()) for line in ax.lines]
    assert len(lines) == count * seeds and sum(len(dots.get_offsets()) for dots in ax.collections) == count * (
        seeds + 1
    )
    if count < 10:  # else there is no room for it
        assert not any(line.intersects_bbox(box, filled=False) for line in lines for box in texts.values())
    assert ax.get_title() == f"s, {seeds} seed{'s' * (seeds > 1)} per variant"


def test_variants_stand_from_best_to_worst_with_every_training():
    top1 = {"a": [0.3, 0.1], "b": [0.05, 0.1], "c": [0.5]}
    rows = [(name, value, value / 2, 1 - value) for name, own in top1.items() for value in own]
    runs = pd.DataFrame(rows, columns=["variant", "top1", "dispersion", "closeness"])
    figure = ablations.accuracy_and_metrics(runs, 0.1, "$set_, fold 3")
    assert tick_labels(figure.axes[0].yaxis)[0] == ["c", "a", "b"]
    assert figure.get_suptitle() == "$set_, fold 3 (dots: trainings, line: mean)"
    for ax, value in zip(figure.axes, (lambda x: x, lambda x: x / 2, lambda x: 1 - x)):
        drawn = [dots.get_offsets().tolist() for dots in ax.collections]
        np.testing.assert_allclose(drawn[1], [[value(0.3), 1], [value(0.1), 1]])
        means = [line.get_xdata()[0] for line in ax.lines][:3]
        assert means == pytest.approx([value(0.5), value(0.2), value(0.075)])
    assert figure.axes[0].lines[3].get_xdata()[0] == 0.1  # chance level
    labels = [ax.xaxis.label.get_window_extent() for ax in figure.axes]
    assert disjoint(labels)


def test_every_panel_shows_its_own_chance():
    table = pd.DataFrame({"set": ["s", "t"], "variant": "aurl", "top1": 0.5, "top1_low": 0.4, "top1_high": 0.6})
    table = table.assign(chance=[0.01, 0.2])
    figure = ablations.variant_accuracies(table, table)
    assert [list(texts) for _, texts in boxes(figure)] == [["chance, 1.0%"], ["chance, 20.0%"]]
    assert [ax.get_title() for ax in figure.axes] == ["s, 1 seed per variant", "t, 1 seed per variant"]
    for ax, texts in boxes(figure):  # outside, between the bars and the title
        (chance,) = texts.values()
        assert chance.y0 >= ax.bbox.y1 and not chance.overlaps(Text.get_window_extent(ax.title))


def test_sweeps_join_means_and_mark_the_value_that_the_variant_has():
    scale = [("loss.scale", value, value == 10, top1) for value in (5, 10) for top1 in (0.1 * value, 0.02 * value)]
    share = [("text.share", 0.5, False, 0.2)]
    runs = pd.DataFrame([*scale, *share], columns=["parameter", "value", "chosen", "top1"])
    figure = ablations.parameter_sweeps(runs, 0.1, "set, fold 0")
    first, second = figure.axes
    assert [ax.get_xlabel() for ax in figure.axes] == ["loss.scale", "text.share"]
    assert tick_labels(first.xaxis)[0] == ["5.0", "10.0"]
    np.testing.assert_allclose(first.lines[0].get_ydata(), [0.3, 0.6])
    np.testing.assert_allclose(first.lines[1].get_xydata(), [[1, 0.6]])
    assert len(first.collections[0].get_offsets()) == 4 and len(second.lines) == 2  # means and chance, no square
    assert figure.get_suptitle() == "set, fold 0, 1 to 2 seeds per value"


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_legend_of_sweeps_covers_no_label(count):
    rows = [(f"loss.parameter_{i}", value, value == 1, 0.1 * value) for i in range(count) for value in (1, 2)]
    figure = ablations.parameter_sweeps(pd.DataFrame(rows, columns=["parameter", "value", "chosen", "top1"]), 0.1, "s")
    figure.canvas.draw()
    legend = figure.legends[0].get_window_extent()
    labels = [axis.label for ax in figure.axes for axis in (ax.xaxis, ax.yaxis) if axis.label.get_text()]
    assert len(labels) > count and not any(legend.overlaps(label.get_window_extent()) for label in labels)
