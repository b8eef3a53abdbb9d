"""The figures of the notebooks. Each function draws one and returns it; `save` keeps it in ``reports/figures/``."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from IPython.display import HTML, Image
from matplotlib.patheffects import withStroke
from matplotlib.ticker import PercentFormatter
from matplotlib.transforms import Bbox
from mpl_toolkits.mplot3d.proj3d import proj_transform
from scipy.cluster.hierarchy import leaves_list, linkage

from aurl.data.video.decoding import frame_count, pick, upright
from aurl.project import paths
from aurl.project.files import write_bytes

MOST = 40  # classes whose names can be read beside a map that fills the page

sns.set_theme(
    context="notebook", style="whitegrid", palette="colorblind", rc={"figure.dpi": 100, "axes.titlesize": "medium"}
)


def save(figure, name):
    """Write ``reports/figures/NAME.png``, close the figure and return the picture, which a notebook shows."""
    image = picture(figure)
    write_bytes(paths.FIGURES / f"{name}.png", image.data)
    return image


def picture(figure):
    """Close the figure and return its picture, which a notebook shows; nothing is written."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)
    return Image(buffer.getvalue())


SHARES = {
    "accuracy", "chance", "gain", "gzsl_calibrated_harmonic", "gzsl_calibrated_seen", "gzsl_calibrated_unseen",
    "gzsl_harmonic", "gzsl_seen", "gzsl_unseen", "half_mean_per_class", "half_mean_per_class_std", "half_top1",
    "half_top1_std", "half_top5", "half_top5_std", "mean_per_class", "share", "top1", "top1_classes_high",
    "top1_classes_low", "top1_high", "top1_low", "top1_std", "top5", "truze_mean_per_class", "truze_top1",
    "truze_top5", "val_top1",
}  # fmt: skip


def table(frame):
    """A data frame as a notebook shows it: texts whole, shares as percentages, other fractions with three digits.

    A column is a share if a word of its name is one of `SHARES`. The same frame gives the same bytes every time.
    """
    formats = {
        column: "{:z.1%}" if SHARES & set(" ".join(np.atleast_1d(column)).split()) else "{:z.3f}"
        for column in frame.select_dtypes("float").columns
    }
    return HTML(frame.style.format(formats, na_rep="–", escape="html").set_uuid("table").to_html())


def literal(name):
    """A name as it stands in Markdown and in HTML: nothing in it is markup or a formula.

    >>> literal("jump <b>&*")
    'jump &#60;b&#62;&#38;&#42;'
    """
    return "".join(c if c.isalnum() or c in " ,.:;/'\"()-" else f"&#{ord(c)};" for c in name)


def no_math(names):
    """Names as labels that Matplotlib takes for no formulas."""
    return [name.replace("$", r"\$") for name in names]


def contact_sheet(manifest, columns=8):
    """One row of pictures per video of the manifest, time running to the right, the class at the left.

    Without a video the figure says so.
    """
    if manifest.empty:
        figure, ax = plt.subplots(figsize=(1.2 * columns, 1.2))
        ax.text(0.5, 0.5, "No pictures: these sets are features.", ha="center", va="center")
        ax.axis("off")
        return figure
    figure, axes = plt.subplots(len(manifest), columns, figsize=(1.2 * columns, 1.2 * len(manifest)), squeeze=False)
    for row, video, name in zip(axes, manifest.itertuples(), manifest["class"], strict=True):
        strip(row, video.path, video.first, video.frames)
        row[0].set_ylabel(name, rotation=0, ha="right", va="center", parse_math=False)
    figure.subplots_adjust(0, 0, 1, 1, wspace=0.03, hspace=0.03)
    return figure


def strip(axes, video, first, frames, total=None):
    """Pictures of a video's segment, one in each of ``axes``, evenly spaced in time. Raises VideoError.

    The segment has ``frames`` frames from number ``first`` on; ``total`` is the number of the file's, if it is known.
    """
    places = first + np.linspace(0, frames - 1, len(axes)).round().astype(int)
    pictures = pick(video, places, lambda frame: upright(frame.to_ndarray(format="rgb24"), frame), total)
    for ax, place in zip(axes, places):
        ax.imshow(pictures[place])
        ax.set(xticks=[], yticks=[])
        sns.despine(ax=ax, left=True, bottom=True)


def ranking(video, table, title):
    """A film strip of a video, time running to the right, above its best classes, whose scores are bars.

    ``video`` is a path, and ``table`` has the columns ``class`` and ``score``, best first. Raises VideoError.
    """
    figure = plt.figure(figsize=(9.6, 1.9 + 0.35 * len(table)), layout="constrained")
    top, chart = figure.subfigures(2, 1, height_ratios=[1.3, 0.6 + 0.35 * len(table)])
    top.suptitle(title, parse_math=False)  # a class name may hold dollar signs
    total = frame_count(video)
    strip(top.subplots(1, 8), video, 0, total, total)
    bars(chart.subplots(), table["class"], table["score"])
    return figure


def bars(ax, names, scores):
    """A bar for each class name, the first at the top, as long as the cosine; returns the bars."""
    drawn = ax.barh(range(len(names)), scores)
    ax.set_yticks(range(len(names)), [name[:60] for name in names], parse_math=False)
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("cosine with the class name")
    return drawn


def similarity(names, vectors, title):
    """Cosine of every class with every other, as a map; near classes side by side, named if there is room for it."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    tree = linkage(unit, "average", optimal_ordering=len(names) <= 4 * MOST)  # which takes long for many
    order = leaves_list(tree)
    labels = no_math([names[place] for place in order]) if len(names) <= 4 * MOST else False
    side = np.clip(0.19 * len(names), 6, 15)
    figure, ax = plt.subplots(figsize=(side + 1.2, side))
    cosines = (unit @ unit.T)[np.ix_(order, order)]
    sns.heatmap(cosines, vmin=min(0, cosines.min()), vmax=1, cmap="mako", square=True, ax=ax, xticklabels=labels,
                yticklabels=labels, cbar_kws={"label": "cosine similarity", "shrink": 0.6})  # fmt: skip
    ax.tick_params(labelsize=8 if len(names) <= 2 * MOST else 6, length=0)
    ax.set_title(title)
    return figure


def learning_curves(history, chance):
    """Loss terms, the two halves of L_S, validation accuracy and the two metrics over epochs."""
    monitors = ["alignment", "uniformity"]
    others = ("epoch", "lr", "grad_norm", *monitors)
    terms = [name for name in history.columns if name not in others and not name.startswith("val_")]
    panels = [
        ("loss terms, training", "loss", terms, None),
        ("the two halves of $L_S$, training", "loss", monitors, None),
        ("top-1 on held-back videos of seen classes", "accuracy", ["val_top1"], chance),
        ("closeness and dispersion, validation", "cosine distance", ["val_closeness", "val_dispersion"], None),
    ]
    figure, axes = plt.subplots(2, 2, figsize=(11, 7), sharex=True, layout="constrained")
    for ax, (title, unit, names, level) in zip(axes.flat, panels):
        for name in names:
            ax.plot(history["epoch"], history[name], marker="o", markersize=3, label=name.removeprefix("val_"))
        if level is not None:
            ax.plot(
                history["epoch"], [level] * len(history), color="gray", linestyle="--", label=f"chance, {level:.1%}"
            )
            ax.set_ylim(0, 1)
            ax.yaxis.set_major_formatter(PercentFormatter(1))
        ax.set(title=title, ylabel=unit)
        ax.xaxis.get_major_locator().set_params(integer=True)
    figure.get_layout_engine().set(h_pad=0.15)
    for ax in axes[-1]:
        ax.set_xlabel("epoch")
    for ax in axes.flat:
        _label_lines(ax)
    return figure


def _label_lines(ax, gap=0.08):
    """Write each line's label at its right end, ``gap`` of the axes' height or more apart."""
    lines = sorted(ax.lines, key=lambda line: line.get_ydata()[-1])
    ends = [ax.transLimits.transform((0, line.get_ydata()[-1]))[1] for line in lines]
    heights = np.array(ends)
    for i in range(1, len(lines)):
        heights[i] = max(heights[i], heights[i - 1] + gap)
    heights -= np.mean(heights - ends)  # those that were pushed apart stay about their ends
    for line, height in zip(lines, heights):
        ax.annotate(line.get_label(), (line.get_xdata()[-1], line.get_ydata()[-1]), (1.03, height),
                    textcoords="axes fraction", va="center", color=line.get_color(),
                    arrowprops={"arrowstyle": "-", "color": line.get_color(), "linewidth": 0.6})  # fmt: skip


def per_class(accuracy, names, chance, title):
    """A bar per class, best first, with chance as a line; a class without videos comes last and has none."""
    order, places = np.argsort(-accuracy, kind="stable"), np.arange(len(names))
    figure, ax = plt.subplots(figsize=(9, 0.26 * len(names) + 1), layout="constrained")
    ax.barh(places, accuracy[order], color="C0")
    ax.set_yticks(places, [names[i] for i in order], parse_math=False)
    ax.axvline(chance, color="C3", linestyle="--")
    ax.annotate(f"chance, {chance:.1%}", (chance, 0), (3, 3), xycoords=("data", "axes fraction"),
                textcoords="offset points", color="C3")  # fmt: skip
    ax.set(xlim=(0, 1), ylim=(len(names) + 0.5, -0.7), xlabel="top-1 accuracy", title=title)
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    ax.grid(axis="y", visible=False)
    return figure


def confusion(counts, names, title, most=MOST):
    """Share of each class's videos (rows) that were given each name (columns); ``counts`` (C, C) are their numbers.

    Of more than ``most`` classes, those are shown that take part in the most confusions, in their order.
    """
    table = pd.DataFrame(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))
    if len(names) > most:
        wrong = table.to_numpy() * (1 - np.eye(len(names)))
        part = wrong.sum(axis=0) + wrong.sum(axis=1)
        shown = np.sort(np.argsort(-part, kind="stable")[:most])
        title += f": the {most} of {len(names)} classes that are confused most"
        table, names = table.iloc[shown, shown], [names[i] for i in shown]
    side = max(5, 0.26 * len(names))
    figure, ax = plt.subplots(figsize=(side + 1.5, side))
    sns.heatmap(table, vmin=0, vmax=1, cmap="rocket_r", square=True, ax=ax, xticklabels=no_math(names),
                yticklabels=no_math(names),
                linewidths=0.3, cbar_kws={"label": "share of the class's videos", "shrink": 0.6})  # fmt: skip
    ax.tick_params(labelsize=8, length=0)
    ax.set(xlabel="predicted", ylabel="true", title=title)
    return figure


def sphere(panels, names):
    """Figure 1 of the paper: videos (dots) and class names (stars) on the unit sphere, one panel per method.

    ``panels`` maps a title to ``video`` (N, 3), ``classes`` (C, 3) and ``labels`` (N,), features of unit length. A line
    joins each video with the star of its class; the video is a cross where another star is nearer.
    """
    elevation, azimuth = np.radians(20), np.radians(-60)
    toward = np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])
    figure = plt.figure(figsize=(6 * len(panels), 6.6))
    grid = np.linspace(0, np.pi, 60)
    around, down = np.meshgrid(2 * grid, grid)
    globe = np.cos(around) * np.sin(down), np.sin(around) * np.sin(down), np.cos(down)
    for place, (title, features) in enumerate(panels.items(), start=1):
        video, stars, labels = features["video"], features["classes"], features["labels"]
        right = (video @ stars.T).argmax(axis=1) == labels
        ax = figure.add_subplot(1, len(panels), place, projection="3d", computed_zorder=False)
        ax.plot_wireframe(*globe, rstride=6, cstride=5, color="0.88", linewidth=0.5, zorder=1)
        for own, label in zip(video, labels):
            ax.plot(*np.stack([own, stars[label]]).T, color="0.6", linewidth=0.7, zorder=2)
        for points, look in (
            (video[right], {"marker": "o", "s": 30, "color": "C0"}),
            (video[~right], {"marker": "X", "s": 40, "color": "C3"}),
            (stars, {"marker": "*", "s": 240, "color": "C1", "edgecolor": "black", "linewidth": 0.8}),
        ):
            behind = points @ toward < 0
            for chosen, alpha in ((behind, 0.4), (~behind, 1)):
                ax.scatter(*points[chosen].T, alpha=alpha, zorder=3 + alpha, depthshade=False, **look)
        ax.set_box_aspect((1, 1, 1), zoom=1.6)
        ax.view_init(20, -60)
        ax.set_axis_off()
        ax.set_title(title)
    kinds = [("o", "C0", 7, "a video, nearest to its own class name"), ("X", "C3", 8, "a video, nearer to another"),
             ("*", "C1", 14, "a class name")]  # fmt: skip
    handles = [
        plt.Line2D([], [], linestyle="", marker=marker, color=color, markersize=size, label=label)
        for marker, color, size, label in kinds
    ]
    figure.legend(handles=handles, loc="lower center", ncol=len(kinds), frameon=False)
    figure.subplots_adjust(left=0, right=1, bottom=0.06, top=0.88, wspace=0)
    figure.canvas.draw()
    for ax, features in zip(figure.axes, panels.values()):
        flat = [np.column_stack(proj_transform(*features[side].T, ax.get_proj())[:2]) for side in ("classes", "video")]
        label_points(ax, flat[0], names, np.concatenate(flat), gap=8)
    return figure


def label_points(ax, points, texts, others, gap=4):
    """Write each text ``gap`` points or more beside its point, where it hides no other text and none of ``others``.

    ``points`` and ``others`` (N, 2) are in data coordinates, after the figure was laid out. A thin line leads to a text
    that had to go further away, or that lies as near to another of the ``points``.
    """
    places, dots = (ax.transData.transform(own) for own in (points, others))
    taken, scale = np.empty((0, 2, 2)), ax.figure.dpi / 72
    for number, (at, place, text) in enumerate(zip(points, places, texts)):
        note = ax.annotate(text, at, (0, 0), textcoords="offset points", ha="center", va="center", fontsize=9, zorder=9,
                           parse_math=False, path_effects=[withStroke(linewidth=2.5, foreground="white")])  # fmt: skip
        note.set_in_layout(False)
        rivals = np.delete(places, number, axis=0)
        size = np.array(note.get_window_extent().size)
        options = []
        for radius in (gap, 14, 26, 40, 60, 85):
            for angle in np.radians(np.arange(0, 360, 30)):
                middle = place + np.array([np.cos(angle), np.sin(angle)]) * (radius * scale + size / 2)
                box = Bbox.from_bounds(*(middle - size / 2), *size)
                outside = not (ax.bbox.contains(*box.min) and ax.bbox.contains(*box.max))
                hidden = ((box.min - 3 <= dots) & (dots <= box.max + 3)).all(axis=1).sum()
                crossed = ((box.min - 1 <= taken[:, 1]) & (taken[:, 0] <= box.max + 1)).all(axis=1).sum()
                near = _gaps(rivals, box).min(initial=np.inf) < 2 * _gaps(place, box)
                cost = 500 * crossed + 500 * outside + 60 * hidden + 30 * near + radius
                options.append((cost, near or radius > gap, middle, box))
        _, led, middle, box = min(options, key=lambda option: option[0])
        taken = np.append(taken, [[box.min, box.max]], axis=0)
        note.set_position((middle - place) / scale)
        if led:
            edge = (np.clip(place, box.min, box.max) - place) / scale
            line = {"arrowstyle": "-", "color": "0.2", "linewidth": 0.8, "shrinkA": 0, "shrinkB": 2}
            ax.annotate("", at, edge, textcoords="offset points", arrowprops=line, zorder=8).set_in_layout(False)


def _gaps(points, box):
    """How far ``points`` (..., 2) lie from a box."""
    return np.linalg.norm(np.clip(points, box.min, box.max) - points, axis=-1)
