"""What to draw and what is in a figure, for tests of those that draw one."""

import numpy as np
import pandas as pd
from matplotlib.colors import to_hex
from matplotlib.text import Text


def boxes(figure):
    """Each axes with the boxes of the texts written into it, without their leader lines."""
    figure.canvas.draw()
    for ax in figure.axes:
        notes = [text for text in ax.texts if text.get_text()]
        yield ax, {note.get_text(): Text.get_window_extent(note) for note in notes}


def disjoint(boxes):
    """Whether no two of the boxes overlap."""
    boxes = list(boxes)
    return not any(box.count_overlaps(boxes[:number]) for number, box in enumerate(boxes))


def tick_labels(axis):
    """The texts along an axis, without empty ones, and their boxes."""
    axis.figure.canvas.draw()
    labels = [label for label in axis.get_ticklabels() if label.get_text()]
    return [label.get_text() for label in labels], [label.get_window_extent() for label in labels]


def colors(figure):
    """The colors of all lines, patches and points."""
    found = set()
    for ax in figure.axes:
        found |= {to_hex(line.get_color()) for line in ax.lines}
        found |= {to_hex(patch.get_facecolor()) for patch in ax.patches}
        found |= {to_hex(color) for points in ax.collections for color in points.get_facecolor()}
    return found


def trainings(sets, count=3, seeds=2):
    """Results of trainings of ``count`` variants on each of the ``sets``."""
    rng = np.random.default_rng(0)
    rows = [(name, f"variant_{i:02d}", seed) for name in sets for i in range(count) for seed in range(seeds)]
    table = pd.DataFrame(rows, columns=["set", "variant", "seed"])
    middle = rng.random((len(sets) * count, 3)).repeat(seeds, axis=0) * 0.5
    values = middle + rng.normal(scale=0.02, size=middle.shape)
    return table.assign(**dict(zip(("closeness", "dispersion", "top1"), values.T)), chance=0.1)
