"""The figures of the notebooks. Each function draws one and returns it; `save` keeps it in ``reports/figures/``."""

import io
import itertools
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from IPython.display import HTML, Image
from matplotlib.ticker import MaxNLocator, PercentFormatter

from aurl.files import write_bytes
from aurl.video.decoding import pick, upright

FOLDER = Path("reports/figures")

sns.set_theme(
    context="notebook", style="whitegrid", palette="colorblind", rc={"figure.dpi": 100, "axes.titlesize": "medium"}
)


def save(figure, name):
    """Write ``reports/figures/NAME.png``, close the figure and return the picture, which a notebook shows below the cell."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)
    write_bytes(FOLDER / f"{name}.png", buffer.getvalue())
    return Image(buffer.getvalue())


def table(frame):
    """A data frame as a notebook shows it: shares as percentages, other fractions with three digits, the same bytes every time."""
    shares = {
        "chance",
        "top1",
        "top1_low",
        "top1_high",
        "top1_std",
        "top5",
        "mean_per_class",
        "half_top1",
        "half_top1_std",
        "truze_top1",
        "accuracy",
        "val_top1",
        "gzsl_seen",
        "gzsl_unseen",
        "gzsl_harmonic",
    }
    formats = {
        column: "{:.1%}" if shares & set(np.atleast_1d(column)) else "{:.3f}"
        for column in frame.select_dtypes("float").columns
    }
    return HTML(frame.style.format(formats, na_rep="–").set_uuid("table").to_html())


def contact_sheet(manifest, columns=8):
    """One row of pictures per video of the manifest, time running to the right, the class at the left."""
    figure, axes = plt.subplots(len(manifest), columns, figsize=(1.2 * columns, 1.2 * len(manifest)), squeeze=False)
    for row, video, name in zip(axes, manifest.itertuples(), manifest["class"], strict=True):
        places = video.first + np.linspace(0, video.frames - 1, columns).round().astype(int)
        pictures = pick(video.path, places, lambda frame: upright(frame.to_ndarray(format="rgb24"), frame))
        for ax, place in zip(row, places):
            ax.imshow(pictures[place])
            ax.set(xticks=[], yticks=[])
            sns.despine(ax=ax, left=True, bottom=True)
        row[0].set_ylabel(name, rotation=0, ha="right", va="center")
    figure.subplots_adjust(0, 0, 1, 1, wspace=0.03, hspace=0.03)
    return figure


def similarity(names, vectors, title):
    """Cosine of every class with every other, as a map; classes in the order given."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    side = max(6, 0.19 * len(names))
    figure, ax = plt.subplots(figsize=(side + 1.2, side))
    sns.heatmap(unit @ unit.T, vmin=0, vmax=1, cmap="mako", square=True, ax=ax, xticklabels=names, yticklabels=names,
                cbar_kws={"label": "cosine similarity", "shrink": 0.6})  # fmt: skip
    ax.tick_params(labelsize=8, length=0)
    ax.set_title(title)
    return figure


def learning_curves(history, chance):
    """Loss terms, the two halves of L_S, validation accuracy and the two metrics over epochs."""
    monitors = ["alignment", "uniformity"]
    terms = [name for name in history.columns if name not in ("epoch", "lr", *monitors) and not name.startswith("val_")]
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
            ax.axhline(level, color="grey", linestyle="--", label="chance")
            ax.set_ylim(0, 1)
            ax.yaxis.set_major_formatter(PercentFormatter(1))
        ax.set(title=title, ylabel=unit)
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    figure.get_layout_engine().set(h_pad=0.15)
    for ax in axes[-1]:
        ax.set_xlabel("epoch")
        ax.xaxis.get_major_locator().set_params(integer=True)
    return figure


def per_class(accuracy, names, chance, title):
    """A bar per class, best first, with chance as a line."""
    order = np.argsort(-accuracy, kind="stable")
    figure, ax = plt.subplots(figsize=(9, 0.26 * len(names) + 1), layout="constrained")
    ax.barh([names[i] for i in order], accuracy[order], color="C0")
    ax.axvline(chance, color="C3", linestyle="--", label=f"chance, {chance:.1%}")
    ax.set(xlim=(0, 1), xlabel="top-1 accuracy", title=title)
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return figure


def confusion(scores, labels, names, title):
    """Share of each class's videos (rows) that were given each name (columns)."""
    table = pd.crosstab(labels, scores.argmax(axis=1), normalize="index")
    table = table.reindex(index=range(len(names)), columns=range(len(names)), fill_value=0)
    side = max(5, 0.26 * len(names))
    figure, ax = plt.subplots(figsize=(side + 1.5, side))
    sns.heatmap(table, vmin=0, vmax=1, cmap="rocket_r", square=True, ax=ax, xticklabels=names, yticklabels=names, linewidths=0.3,
                cbar_kws={"label": "share of the class's videos", "shrink": 0.6})  # fmt: skip
    ax.tick_params(labelsize=8, length=0)
    ax.set(xlabel="predicted", ylabel="true", title=title)
    return figure


def sphere(panels, names):
    """Figure 1 of the paper: videos (dots) and class names (stars) on the unit sphere, one panel a method.

    ``panels`` maps a title to ``video`` (N, 3), ``classes`` (C, 3) and ``labels`` (N,), features of unit length.
    """
    colours = sns.color_palette("tab10" if len(names) <= 10 else "husl", len(names))
    figure = plt.figure(figsize=(5 * len(panels), 6))
    grid = np.linspace(0, np.pi, 60)
    around, down = np.meshgrid(2 * grid, grid)
    for place, (title, features) in enumerate(panels.items(), start=1):
        ax = figure.add_subplot(1, len(panels), place, projection="3d", computed_zorder=False)
        ax.plot_wireframe(
            np.cos(around) * np.sin(down),
            np.sin(around) * np.sin(down),
            np.cos(down),
            rstride=6,
            cstride=5,
            color="0.85",
            linewidth=0.5,
        )
        toward = np.array(
            [
                np.cos(np.radians(-60)) * np.cos(np.radians(20)),
                np.sin(np.radians(-60)) * np.cos(np.radians(20)),
                np.sin(np.radians(20)),
            ]
        )
        for label, colour in enumerate(colours):
            own = features["video"][features["labels"] == label]
            star = features["classes"][label]
            hidden = own @ toward < 0  # behind the sphere: fainter
            ax.scatter(*own[hidden].T, color=colour, s=36, alpha=0.4, zorder=2, depthshade=False)
            ax.scatter(*own[~hidden].T, color=colour, s=36, zorder=3, depthshade=False)
            ax.scatter(
                *star,
                color=colour,
                marker="*",
                s=260,
                edgecolor="black",
                linewidth=0.8,
                alpha=0.5 if star @ toward < 0 else 1,
                zorder=4,
                depthshade=False,
            )
        ax.set_box_aspect((1, 1, 1), zoom=1.75)
        ax.view_init(20, -60)
        ax.set_axis_off()
        ax.set_title(title)
    handles = [
        plt.Line2D([], [], marker="o", linestyle="", color=colour, label=name) for name, colour in zip(names, colours)
    ]
    handles += [
        plt.Line2D([], [], marker="o", linestyle="", color="0.4", label="a video"),
        plt.Line2D([], [], marker="*", linestyle="", color="0.4", markersize=13, label="a class name"),
    ]
    figure.legend(handles=handles, loc="lower center", ncol=4, frameon=False)
    figure.subplots_adjust(left=0, right=1, bottom=0.18, top=0.88, wspace=0)
    return figure


def comparison(runs, table):
    """Top-1 of every variant on every test set: the mean over seeds with its 95 % interval, every run as a dot, and chance.

    ``runs`` and ``table`` are what `aurl.comparison.collect` and `summary` return.
    """
    sets, variants = table["set"].unique(), list(table["variant"].unique())
    figure, axes = plt.subplots(
        1,
        len(sets),
        figsize=(5.2 * len(sets), 0.42 * len(variants) + 1.6),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for ax, name in zip(axes[0], sets):
        rows, dots = table[table["set"] == name], runs[runs["set"] == name]
        ax.barh(rows["variant"], rows["top1"], color="C0", alpha=0.55, height=0.7)
        ax.errorbar(
            rows["top1"],
            rows["variant"],
            xerr=[(rows["top1"] - rows["top1_low"]).clip(0), (rows["top1_high"] - rows["top1"]).clip(0)],
            fmt="none",
            color="black",
            capsize=3,
            label="95 % interval over videos",
        )
        ax.scatter(
            dots["top1"],
            dots["variant"],
            color="C1",
            edgecolor="black",
            linewidth=0.5,
            s=22,
            zorder=3,
            label="one training run",
        )
        ax.axvline(rows["chance"].iloc[0], color="grey", linestyle="--", label=f"chance, {rows['chance'].iloc[0]:.1%}")
        ax.set(title=name, xlim=(0, 1), xlabel="zero-shot top-1 accuracy")
        ax.xaxis.set_major_formatter(PercentFormatter(1))
        ax.grid(axis="y", visible=False)
    axes[0][0].invert_yaxis()
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncol=3, frameon=False)
    return figure


def tradeoff(runs):
    """Closeness against dispersion of every run, per test set; a mark a variant. ``runs`` is what `aurl.comparison.collect` returns."""
    sets = runs["set"].unique()
    variants = list(runs["variant"].unique())
    marks = dict(zip(variants, itertools.cycle("osD^v<>PX*hp")))
    figure, axes = plt.subplots(
        1, len(sets), figsize=(4.6 * len(sets) + 2, 4.4), sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    for ax, name in zip(axes[0], sets):
        for place, variant in enumerate(variants):
            rows = runs[(runs["set"] == name) & (runs["variant"] == variant)]
            ax.scatter(
                rows["closeness"],
                rows["dispersion"],
                color=sns.color_palette("husl", len(variants))[place],
                marker=marks[variant],
                s=55,
                edgecolor="black",
                linewidth=0.5,
                label=variant,
            )
        ax.set(title=name, xlabel="closeness: video to its class name\n(cosine distance, smaller is better aligned)")
    axes[0][0].set_ylabel("dispersion: class name to the nearest other\n(cosine distance, larger is more uniform)")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside right center", frameon=False)
    return figure


def spread(panels, xlabel):
    """Box plots side by side: ``panels`` maps a title to ``{name: values}``. Boxes hold the middle half, whiskers 90 %, a dot is the mean."""
    figure, axes = plt.subplots(
        1, len(panels), figsize=(4.6 * len(panels), 3.6), sharex=True, squeeze=False, layout="constrained"
    )
    for ax, (title, groups) in zip(axes[0], panels.items()):
        ax.boxplot(list(groups.values()), orientation="horizontal", tick_labels=list(groups), whis=(5, 95), showfliers=False, showmeans=True, patch_artist=True, widths=0.6,
                   boxprops={"facecolor": "C0", "alpha": 0.5}, medianprops={"color": "black"}, meanprops={"marker": "o", "markerfacecolor": "C1", "markeredgecolor": "black"})  # fmt: skip
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
        ax.set(title=title, xlabel=xlabel)
        ax.xaxis.set_major_locator(MaxNLocator(5))
    return figure
