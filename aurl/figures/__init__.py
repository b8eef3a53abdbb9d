"""The figures of the notebooks, one module per chapter. This file has their shared style, saving, tables and labels.

Every function of the modules draws one figure and returns it. `save` keeps it in ``reports/figures/``.
"""

import io
import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import HTML, Image
from matplotlib.collections import PathCollection
from matplotlib.path import Path
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator, PercentFormatter
from matplotlib.transforms import Bbox

from aurl.project import config, paths
from aurl.project.files import write_bytes

MAX_NAMES = 40  # classes whose names fit beside a figure of a page's height

CHANCE = {"color": "0.3", "linestyle": "--", "linewidth": 1}  # lines at chance level
HALO = [withStroke(linewidth=2.5, foreground="white")]  # around texts that lie over lines

# Seaborn's colorblind palette, and the font that Matplotlib includes, so that bytes are the same on every machine.
COLORS = "cycler('color', ['0173b2', 'de8f05', '029e73', 'd55e00', 'cc78bc', 'ca9161'])"
FONT = {"font.sans-serif": "DejaVu Sans", "font.size": 10.5, "axes.titlesize": "medium", "figure.titlesize": "medium"}
plt.style.use(["seaborn-v0_8-whitegrid", FONT | {"axes.prop_cycle": COLORS}])


def save(figure, name):
    """Write ``reports/figures/NAME.png``, close the figure and return the picture, which a notebook shows."""
    image = picture(figure)
    write_bytes(paths.FIGURES / f"{name}.png", image.data)
    return image


def picture(figure):
    """Close the figure and return it as a picture, which a notebook shows. Nothing is written."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)
    return Image(buffer.getvalue())


SHARES = re.compile(
    r"\b(accuracy|chance|gain|share|mean_per_class|top\d\w*|val_top1|(half|truze|lists|draws|first|last)_\w+|gzsl_(?!gamma|area)\w+)\b"
)


def table(frame):
    """A data frame for a notebook, with uncut texts: `SHARES` as percentages, other fractions with three digits."""
    formats = {
        column: "{:z.1%}" if SHARES.search(" ".join(np.atleast_1d(column))) else "{:z.3f}"
        for column in frame.select_dtypes("float").columns
    }
    return HTML(frame.style.format(formats, na_rep="–", escape="html").set_uuid("table").to_html())


def literal(name):
    """A name escaped for Markdown and HTML, so that nothing in it is read as markup or as a formula.

    >>> literal("jump <b>&*")
    'jump &#60;b&#62;&#38;&#42;'
    """
    return "".join(c if c.isalnum() or c in " ,.:;/'\"()-" else f"&#{ord(c)};" for c in name)


def set_title(name, fold):
    """The name of a set, or of merged sets, in titles, with the fold of the built-in benchmark.

    >>> set_title("verbs-unseen", 3), set_title("pairs-seen+colors-seen", 3), set_title("ucf101", 3)
    ('verbs-unseen, fold 3', 'pairs-seen+colors-seen, fold 3', 'ucf101')
    """
    return f"{name}, fold {fold}" if {*name.split("+")} <= {*config.BUILT_IN} else name


def grid(count, across, width, height, **options):
    """A figure of ``count`` axes, at most ``across`` in a row, each ``width`` by ``height`` inches, and their list."""
    across = min(across, count)
    down = -(-count // across)
    size = (width * across, height * down)
    figure, axes = plt.subplots(down, across, figsize=size, squeeze=False, layout="constrained", **options)
    for ax in axes.flat[count:]:
        ax.axis("off")
    return figure, list(axes.flat[:count])


def percent_axis(axis):
    """Write an axis of shares in percent, with few enough ticks that the numbers stay apart."""
    axis.set_major_locator(MaxNLocator(5))
    axis.set_major_formatter(PercentFormatter(1))


def chance_line(ax, chance):
    """Draw chance level as a dashed, vertical line, named above the axes, where it hides nothing."""
    ax.axvline(chance, **CHANCE)
    ax.text(chance, 1, f"chance, {chance:.1%}", transform=ax.get_xaxis_transform(), ha="center", va="bottom",
            color=CHANCE["color"], fontsize=9)  # fmt: skip


def score_bars(ax, names, scores):
    """Draw a bar for each class name, the first at the top, as long as its cosine. Returns the bars."""
    bars = ax.barh(range(len(names)), scores)
    ax.set_yticks(range(len(names)), [name[:60] for name in names], parse_math=False)
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("cosine with the class name")
    return bars


def heat_map(ax, matrix, names, label, **options):
    """Draw a (C, C) matrix of classes in colors and name at most `MAX_NAMES`; ``label`` is beside the scale."""
    import seaborn  # takes a second to import, and few figures need it

    names = [name.replace("$", r"\$") for name in names]  # no formulas
    step = -(-len(names) // MAX_NAMES)
    seaborn.heatmap(pd.DataFrame(matrix, names, names), vmax=1, square=True, ax=ax, xticklabels=step, yticklabels=step,
                    cbar_kws={"label": label, "shrink": 0.6}, **options)  # fmt: skip
    ax.tick_params(labelsize=8, length=0)
    if step > 1:
        ax.set_xlabel(f"(one of {step} classes is named)", fontsize=9)


def lay_out(figure):
    """Give all that is drawn its final place, for texts that depend on it."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def label_points(ax, points, texts, gap=4):
    """Write each text beside its point, clear of the other texts and of what is drawn, as far as there is room.

    A thin line leads to a text that had to move away, or that lies nearly as close to another of the points.

    Args:
        ax: axes with all points and lines, after `lay_out`.
        points: (N, 2), in data coordinates.
        texts: N names.
        gap: smallest distance of a text from its point, in points (1/72 inch).
    """
    places, scale = ax.transData.transform(points), ax.figure.dpi / 72
    clouds = [own for own in ax.collections if isinstance(own, PathCollection)]
    dots = np.concatenate([own.get_offset_transform().transform(own.get_offsets()) for own in clouds])
    lines = [line.get_path().transformed(line.get_transform()) for line in ax.lines]
    boxes = []
    for number, (at, place, text) in enumerate(zip(points, places, texts)):
        note = ax.annotate(text, at, (0, 0), textcoords="offset points", ha="center", va="center", fontsize=9, zorder=9,
                           parse_math=False, path_effects=HALO)  # fmt: skip
        note.set_in_layout(False)
        others, size = np.delete(places, number, axis=0), np.array(note.get_window_extent().size)
        best = (np.inf,)
        for radius in (gap, 14, 26, 40, 60, 85):
            for angle in np.radians(np.arange(0, 360, 30)):
                middle = place + np.array([np.cos(angle), np.sin(angle)]) * (radius * scale + size / 2)
                box = Bbox.from_bounds(*(middle - size / 2), *size)
                near = _distances(others, box).min(initial=np.inf) < 2 * _distances(place, box)
                leader = Path([place, np.clip(place, box.min, box.max)]) if near or radius > gap else None
                cost = radius + 30 * near + 60 * box.padded(3).count_contains(dots)
                cost += 500 * box.padded(1).count_overlaps(boxes)
                cost += 500 * (not (ax.bbox.contains(*box.min) and ax.bbox.contains(*box.max)))
                if leader:
                    dots_nearby = [Bbox.from_extents(*(other - 5), *(other + 5)) for other in others]
                    cost += 200 * sum(leader.intersects_bbox(own) for own in boxes + dots_nearby)
                if cost < best[0]:
                    cost += 150 * sum(line.intersects_bbox(box, filled=False) for line in lines)
                    best = min(best, (cost, middle, box, leader), key=lambda option: option[0])
        _, middle, box, leader = best
        boxes.append(box)
        note.set_position((middle - place) / scale)
        if leader:
            lines.append(leader)
            edge = (leader.vertices[1] - place) / scale
            line = {"arrowstyle": "-", "color": "0.2", "linewidth": 0.8, "shrinkA": 0, "shrinkB": 2}
            ax.annotate("", at, edge, textcoords="offset points", arrowprops=line, zorder=8).set_in_layout(False)


def _distances(points, box):
    """Distances of ``points`` (..., 2) from a box, 0 inside."""
    return np.linalg.norm(np.clip(points, box.min, box.max) - points, axis=-1)
