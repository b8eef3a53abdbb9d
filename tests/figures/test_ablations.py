"""Figures that compare variants name them all, show every training, and have the same bytes every time."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from drawn import boxes, colors

from aurl import figures
from aurl.figures import ablations as comparison_figures

pytestmark = pytest.mark.usefixtures("folder")


def many_runs(count, seeds):
    """Runs of ``count`` variants that crowd on two test sets."""
    rng = np.random.default_rng(0)
    rows = [(name, f"variant_{i:02d}", seed) for name in "st" for i in range(count) for seed in range(seeds)]
    runs = pd.DataFrame(rows, columns=["set", "variant", "seed"])
    middle = rng.random((2 * count, 3)).repeat(seeds, axis=0) * 0.5
    values = middle + rng.normal(scale=0.02, size=middle.shape)
    return runs.assign(**dict(zip(("closeness", "dispersion", "top1"), values.T)), chance=0.1)


def draw(name, runs):
    if name == "spread":
        rng = np.random.default_rng(0)
        return comparison_figures.spread(
            {"a": {"x": rng.random(9), "y": rng.random(9)}, "b": {"x": rng.random(9)}}, "cosine"
        )
    if name == "comparison":
        table = runs.groupby(["set", "variant"], as_index=False).mean()
        return comparison_figures.comparison(runs, table.assign(top1_low=table["top1"] - 0.1, top1_high=table["top1"]))
    if name == "tradeoff":
        return comparison_figures.tradeoff(runs)
    return comparison_figures.metrics_and_accuracy(runs[runs["set"] == "s"], 0.1, "s")


ALL = ["comparison", "tradeoff", "metrics_and_accuracy", "spread"]


@pytest.mark.parametrize("name", ALL)
def test_the_same_runs_give_the_same_bytes(name):
    kept = figures.save(draw(name, many_runs(3, 2)), name).data
    assert kept.startswith(b"\x89PNG") and figures.save(draw(name, many_runs(3, 2)), name).data == kept


@pytest.mark.parametrize("name", ALL)
def test_at_most_seven_colors(name):
    figure = draw(name, many_runs(9, 2))
    assert len(colors(figure)) <= 7
    plt.close(figure)


@pytest.mark.parametrize("name", ["tradeoff", "metrics_and_accuracy"])
@pytest.mark.parametrize(("count", "seeds"), [(3, 1), (19, 3)])
def test_every_variant_is_named_beside_its_runs(name, count, seeds):
    figure = draw(name, many_runs(count, seeds))
    for ax, texts in boxes(figure):
        texts.pop("chance, 10.0%", None)
        assert set(texts) == {f"variant_{i:02d}" for i in range(count)}
        for variant, box in texts.items():
            assert ax.bbox.contains(*box.min) and ax.bbox.contains(*box.max)
            assert not any(box.overlaps(other) for text, other in texts.items() if text != variant)
        trainings = sum(len(points.get_offsets()) for points in ax.collections)
        assert trainings == count * (seeds + 1)  # and a mean
    plt.close(figure)


def test_every_panel_shows_its_own_chance():
    table = pd.DataFrame({"set": ["s", "t"], "variant": "aurl", "top1": 0.5, "top1_low": 0.4, "top1_high": 0.6})
    table = table.assign(chance=[0.01, 0.2])
    figure = comparison_figures.comparison(table, table)
    assert [list(texts) for _, texts in boxes(figure)] == [["chance, 1.0%"], ["chance, 20.0%"]]
    plt.close(figure)


@pytest.mark.parametrize("top", [0.014, 0.14, 0.9])
def test_numbers_on_the_axis_of_accuracies_do_not_touch(top):
    table = pd.DataFrame(
        {"set": ["s"], "variant": "aurl", "top1": top, "top1_low": top, "top1_high": top, "chance": 0.01}
    )
    figure = comparison_figures.comparison(table, table)
    figure.canvas.draw()
    extents = [label.get_window_extent() for label in figure.axes[0].get_xticklabels()]
    assert len(extents) > 2 and all(one.x1 < other.x0 for one, other in itertools.pairwise(extents))
    plt.close(figure)
