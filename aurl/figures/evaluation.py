"""The figures of chapter 4: learning curves, predictions, confusions, and maps of class features."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.ticker import PercentFormatter
from scipy import stats

from aurl.data.readers.features import CODEC
from aurl.figures import (
    CHANCE,
    HALO,
    MAX_NAMES,
    chance_line,
    grid,
    heat_map,
    label_points,
    lay_out,
    percent_axis,
    score_bars,
)
from aurl.figures.data import film_strip
from aurl.text import principal

RIGHT, WRONG = "C1", "C0"  # colors of the bars of class names
SEEN, UNSEEN = "C0", "C1"  # and of the dots of classes
NAMED_PAIRS = 3  # nearest pairs of classes, in each space
ENDS = 15  # best and worst classes that are named


def learning_curves(history, chance, title):
    """Loss terms, the two halves of L_S, held-out accuracy and the two metrics over epochs.

    ``history`` has a row per epoch, as `aurl.training.loop.train` returns it.
    """
    halves = ["alignment", "uniformity"]
    others = ("epoch", "lr", "grad_norm", *halves)
    terms = [name for name in history.columns if name not in others and not name.startswith("val_")]
    panels = [
        ("loss terms, training", "loss", terms),
        ("the two halves of $L_S$, training", "loss", halves),
        ("held-out videos of seen classes", "top-1 accuracy", ["val_top1"]),
        ("held-out videos of seen classes", "cosine distance", ["val_closeness", "val_dispersion"]),
    ]
    figure, axes = grid(4, 2, 5, 3.2, sharex=True)
    for ax, (about, unit, names) in zip(axes, panels):
        for name in names:
            ax.plot(history["epoch"], history[name], marker="o", markersize=3, label=name.removeprefix("val_"))
        ax.set(title=about, ylabel=unit)
        ax.xaxis.get_major_locator().set_params(integer=True)
    axes[2].plot(history["epoch"], np.full(len(history), chance), label=f"chance, {chance:.1%}", **CHANCE)
    axes[2].set_ylim(0, 1.1 * max(history["val_top1"].max(), chance))
    percent_axis(axes[2].yaxis)
    for ax in axes[2:]:
        ax.set_xlabel("epoch")
    for ax in axes:
        _label_lines(ax)
    figure.get_layout_engine().set(h_pad=0.1)
    figure.suptitle(title, parse_math=False)
    return figure


def _label_lines(ax, gap=0.09):
    """Write each line's label at its right end, ``gap`` of the axes' height or more apart."""
    lines = sorted(ax.lines, key=lambda line: line.get_ydata()[-1])
    ends = [ax.transLimits.transform((0, line.get_ydata()[-1]))[1] for line in lines]
    heights = np.array(ends)
    for i in range(1, len(lines)):
        heights[i] = max(heights[i], heights[i - 1] + gap)
    heights -= np.mean(heights - ends)  # labels that were pushed apart stay centered on their ends
    for line, height in zip(lines, heights):
        ax.annotate(line.get_label(), (line.get_xdata()[-1], line.get_ydata()[-1]), (1.03, height),
                    textcoords="axes fraction", va="center", color=line.get_color(),
                    arrowprops={"arrowstyle": "-", "color": line.get_color(), "linewidth": 0.6})  # fmt: skip


def film_strips(videos, title, columns=6):
    """A row per video: its film strip, and bars for the cosines of its best classes, the right one in orange.

    A right class that is not among the best comes last, with its rank. Videos of a set of features have no pictures.
    ``videos`` has the columns of `aurl.evaluation.protocols.examples` and the manifest's ``path``, ``first``,
    ``frames`` and ``codec``. Raises VideoError if a file cannot be decoded.
    """
    best = [int(name.removeprefix("top")) for name in videos.columns if name.startswith("top")]
    lowest = videos[["score", *(f"score{place}" for place in best)]].min().min()
    figure, axes = plt.subplots(len(videos), 2, figsize=(10.5, 1.5 * len(videos) + 0.5), squeeze=False,
                                width_ratios=[columns, 2.4], layout="constrained")  # fmt: skip
    for (pictures, ax), (kind, video) in zip(axes, videos.iterrows()):
        if video["codec"] == CODEC:
            pictures.axis("off")
            pictures.text(0, 0.5, "no pictures: features", va="center")
        else:
            film_strip(pictures, video["path"], video["first"], video["frames"], columns)
        pictures.set_title(f"{kind}: {video['label']}", loc="left", parse_math=False)
        names = [(place, video[f"top{place}"], video[f"score{place}"]) for place in best]
        if video["place"] > len(best):
            names.append((video["place"], video["label"], video["score"]))
        bars = score_bars(ax, [f"{place}. {name[:30]}" for place, name, _ in names], [score for *_, score in names])
        for bar, text, (_, name, _) in zip(bars, ax.get_yticklabels(), names):
            bar.set_color(RIGHT if name == video["label"] else WRONG)
            text.set_fontweight("bold" if name == video["label"] else "normal")
        ax.set_xlim(min(0, lowest), 1)
        ax.tick_params(labelsize=9)
        if ax is not axes[-1, -1]:
            ax.set_xlabel("")
            ax.tick_params(labelbottom=False)
    figure.suptitle(title, parse_math=False)
    return figure


def class_accuracies(accuracy, names, chance, title):
    """A bar per class, best first, beside chance level; a class without videos comes last and has no bar.

    With more than `MAX_NAMES` classes, those without videos are left out. If more than `MAX_NAMES` remain, bars show
    the `ENDS` best and worst, and a histogram shows all. ``accuracy`` (C,) in [0, 1] is NaN for a class without videos.
    """
    order = np.argsort(-accuracy, kind="stable")
    if len(names) > MAX_NAMES:
        order = order[: np.isfinite(accuracy).sum()]
    count, places = len(order), np.arange(len(order))
    many = count > MAX_NAMES
    if many:
        order, places = np.concatenate([order[:ENDS], order[-ENDS:]]), np.delete(np.arange(2 * ENDS + 1), ENDS)
    size = (9, 0.26 * (places[-1] + 1) + 1)
    figure, axes = plt.subplots(1, 1 + many, figsize=size, squeeze=False, layout="constrained")
    ax = axes[0, 0]
    bars = ax.barh(places, accuracy[order], color="C0")
    ax.bar_label(bars, [f"{share:.0%}" for share in accuracy[order]], padding=3, fontsize=9, path_effects=HALO)
    ax.set_yticks(places, [names[i] for i in order], parse_math=False)
    highest = np.nanmax(accuracy, initial=chance)
    ax.set(xlim=(0, 1.15 * highest), ylim=(places[-1] + 0.5, -0.7), xlabel="top-1 accuracy")
    ax.grid(axis="y", visible=False)
    percent_axis(ax.xaxis)
    chance_line(ax, chance)
    if many:
        lowest = accuracy[order[-1]]
        alike = (accuracy == lowest).sum()
        between = f"{count - 2 * ENDS} classes between" + f"; {alike} have {lowest:.0%}" * bool(alike > ENDS)
        ax.text(0.5, ENDS, between, transform=ax.get_yaxis_transform(), ha="center",
                va="center", color="0.3", fontsize=9)  # fmt: skip
        axes[0, 1].hist(accuracy[np.isfinite(accuracy)], np.linspace(0, highest, 21), color="C0", edgecolor="white")
        axes[0, 1].set(xlabel="top-1 accuracy", ylabel=f"classes, of {count}")
        percent_axis(axes[0, 1].xaxis)
        axes[0, 1].axvline(chance, **CHANCE)  # named on the left; here, the name could lie on a number
    figure.suptitle(title, parse_math=False)
    return figure


def semantic_distance(tables, chances, vector="word vector"):
    """Accuracy of every unseen class against the distance of its ``vector`` to the nearest seen class.

    The four best, two nearest and two farthest classes are named, each with its nearest seen class. ``tables`` maps
    a title to a table of `aurl.evaluation.protocols.semantic_distance`; ``chances`` maps it to chance level.
    """
    figure, axes = grid(len(tables), 2, 7.5 if len(tables) == 1 else 5.2, 5.5, sharey=True)
    for ax, (name, table) in zip(axes, tables.items()):
        ax.scatter(table["distance"], table["top1"], color="C0", s=36, edgecolor="white", linewidth=0.6, zorder=3)
        ax.axhline(chances[name], **CHANCE)
        ax.text(1.01, chances[name], f"chance,\n{chances[name]:.1%}", transform=ax.get_yaxis_transform(), va="center",
                color=CHANCE["color"], fontsize=9)  # fmt: skip
        ax.yaxis.set_major_formatter(PercentFormatter(1))
        ax.set_title(f"{name}\n{_correlation(table)}", parse_math=False)
        ax.set_xlabel(f"cosine distance of the {vector} to the nearest seen class")
        ax.margins(0.12)
    axes[0].set_ylabel("zero-shot top-1 of the class")
    lay_out(figure)
    for ax, table in zip(axes, tables.values()):
        ends = table.sort_values("distance", kind="stable")
        named = pd.concat([table.nlargest(4, "top1"), ends.head(2), ends.tail(2)]).drop_duplicates("class")
        texts = [f"{own[:30]} ({near[:30]})" for own, near in zip(named["class"], named["nearest"])]
        label_points(ax, named[["distance", "top1"]].to_numpy(), texts)
    return figure


def _correlation(table):
    """Spearman's rank correlation of distance and accuracy in words."""
    if min(table["distance"].nunique(), table["top1"].nunique()) < 2 or len(table) < 3:
        return f"{len(table)} classes, too alike for a rank correlation"
    found = stats.spearmanr(table["distance"], table["top1"])
    return f"Spearman's ρ = {found.statistic:.2f}, p = {found.pvalue:.2g}, {len(table)} classes"


def class_vectors(names, unseen, vectors, learned, title):
    """Classes before and after learning: two maps, and the cosines between any two classes.

    Both maps show the first two principal components of unit vectors. Both name the pairs of classes that are nearest
    in either space, and join each pair by a line.

    Args:
        names: C class names.
        unseen: (C,), whether a class was not trained on.
        vectors: word vectors (C, W).
        learned: class features (C, D).
        title: plain text.
    """
    spaces = {"word vectors": vectors, "class features of the model": learned}
    units = {name: own / np.linalg.norm(own, axis=1, keepdims=True) for name, own in spaces.items()}
    upper = np.triu_indices(len(names), 1)
    cosines = {name: (unit @ unit.T)[upper] for name, unit in units.items()}
    figure, axes = plt.subplot_mosaic("ab;cc", figsize=(10.5, 8.2), height_ratios=[2, 1], layout="constrained")
    pairs = np.concatenate([np.argsort(-own, kind="stable")[:NAMED_PAIRS] for own in cosines.values()])
    named = np.unique([upper[0][pairs], upper[1][pairs]])
    places = {name: principal(own, 2) for name, own in spaces.items()}
    maps = [axes["a"], axes["b"]]
    for ax, (name, at) in zip(maps, places.items()):
        for pair in pairs:
            ax.plot(*at[[upper[0][pair], upper[1][pair]]].T, color="0.5", linewidth=0.8, zorder=1)
        for kind, color, marker, own in (("seen", SEEN, "o", ~unseen), ("unseen", UNSEEN, "D", unseen)):
            ax.scatter(*at[own].T, color=color, marker=marker, s=26, linewidth=0, alpha=0.8, label=f"{kind} class")
        ax.set(title=name, xlabel="first principal component", ylabel="second")
        ax.set_aspect("equal", "datalim")
        ax.margins(0.15)
    span = np.linspace(min(own.min() for own in cosines.values()), 1, 41)
    for (name, own), color in zip(cosines.items(), ("0.6", "black")):
        axes["c"].hist(own, span, histtype="step", color=color, linewidth=2, label=name)
        axes["c"].axvline(own.mean(), color=color, linestyle=":")
    axes["c"].set(xlabel="cosine of two classes (dotted: mean)", ylabel="pairs of classes")
    axes["c"].legend()
    figure.legend(*maps[0].get_legend_handles_labels(), loc="outside upper right", ncol=2)
    figure.suptitle(title, parse_math=False)
    lay_out(figure)
    for ax, at in zip(maps, places.values()):
        label_points(ax, at[named], [names[i][:30] for i in named])
    return figure


def confusion_matrix(counts, names, title):
    """Share of each class's videos (rows) that were given each name (columns).

    Of more than `MAX_NAMES` classes, those with the largest shares of confusions are shown, in their order. ``counts``
    (C, C) are numbers of videos.
    """
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    if len(names) > MAX_NAMES:
        wrong = shares * (1 - np.eye(len(names)))
        shown = np.sort(np.argsort(-(wrong.sum(axis=0) + wrong.sum(axis=1)), kind="stable")[:MAX_NAMES])
        title += f": the {MAX_NAMES} of {len(names)} classes that are confused most"
        shares, names = shares[np.ix_(shown, shown)], [names[i] for i in shown]
    side = max(5, 0.23 * len(names))
    figure, ax = plt.subplots(figsize=(side + 1.5, side), layout="constrained")
    heat_map(ax, shares, names, "share of the class's videos", vmin=0, cmap="rocket_r", linewidths=0.3)
    ax.set(xlabel="predicted", ylabel="true")
    ax.set_title(title, parse_math=False)
    return figure
