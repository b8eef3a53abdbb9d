"""The figures of trainings on fixed features show every training, and say where there is nothing to show."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from aurl import figures
from aurl.figures import heads as heads_figures

pytestmark = pytest.mark.usefixtures("folder")


def test_variants_stand_from_worst_to_best_with_every_training():
    runs = pd.DataFrame({"variant": ["a", "a", "b", "b", "c"], "top1": [0.3, 0.1, 0.05, 0.1, 0.5]})
    figure = heads_figures.variants(runs, 0.1, "$set_")
    (ax,) = figure.axes
    assert [text.get_text() for text in ax.get_yticklabels()] == ["b", "a", "c"]
    drawn = [dots.get_offsets().tolist() for dots in ax.collections]
    np.testing.assert_allclose(drawn[1], [[0.3, 1], [0.1, 1]])
    assert [line.get_xdata()[0] for line in ax.lines] == pytest.approx([0.075, 0.2, 0.5, 0.1])  # means, then chance
    assert len(figures.save(figure, "heads").data) > 1000


def test_sweeps_join_means_and_mark_the_value_that_the_variant_has():
    scale = [("loss.scale", value, value == 10, top1) for value in (5, 10) for top1 in (0.1 * value, 0.02 * value)]
    share = [("text.share", 0.5, False, 0.2)]
    runs = pd.DataFrame([*scale, *share], columns=["parameter", "value", "chosen", "top1"])
    figure = heads_figures.sweeps(runs, 0.1, "set")
    first, second = figure.axes
    assert [ax.get_xlabel() for ax in figure.axes] == ["loss.scale", "text.share"]
    assert [text.get_text() for text in first.get_xticklabels()] == ["5.0", "10.0"]
    np.testing.assert_allclose(first.lines[0].get_ydata(), [0.3, 0.6])
    np.testing.assert_allclose(first.lines[1].get_xydata(), [[1, 0.6]])
    assert len(first.collections[0].get_offsets()) == 4 and len(second.lines) == 2  # means and chance, no square
    assert len(figures.save(figure, "sweeps").data) > 1000


def test_no_sweeps_are_said():
    empty = pd.DataFrame(columns=["parameter", "value", "chosen", "top1"])
    figure = heads_figures.sweeps(empty, 0.1, "set")
    assert figure.axes[0].texts[0].get_text() == "heads.sweeps names nothing to sweep."
    plt.close(figure)
