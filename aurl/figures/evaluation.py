"""The figures of one run's classes: what videos were taken for, and what word vectors have to do with it."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.ticker import PercentFormatter
from scipy import stats

from aurl.data.readers.features import CODEC
from aurl.figures import bars, label_points, strip
from aurl.text import principal

RIGHT, WRONG = "C2", "C0"
SEEN, UNSEEN = "C0", "C1"
PAIRS = 4  # nearest pairs of classes that are named


def film_strips(videos, columns=6):
    """A row per video: its film strip, and beside it the best classes with their cosines, the right one in green.

    ``videos`` has what `aurl.evaluation.protocols.examples` returns of each, and the manifest's ``path``, ``first``,
    ``frames``
    and ``codec``. A right class that is not among the best comes last, with its place. Where a set is features, there
    are no pictures. Raises VideoError.
    """
    best = [int(name.removeprefix("top")) for name in videos.columns if name.startswith("top")]
    lowest = videos[["score", *(f"score{place}" for place in best)]].min().min()
    figure, axes = plt.subplots(
        len(videos),
        columns + 1,
        figsize=(14, 1.75 * len(videos)),
        squeeze=False,
        width_ratios=[1] * columns + [3],
        layout="constrained",
    )
    for row, (kind, video) in zip(axes, videos.iterrows()):
        if video["codec"] == CODEC:
            for ax in row[:-1]:
                ax.axis("off")
            row[0].text(0, 0.5, "no pictures: features", va="center")
        else:
            strip(row[:-1], video["path"], video["first"], video["frames"])
        row[0].set_title(f"{kind}: {video['label']}", loc="left", parse_math=False)  # a name may hold dollar signs
        names = [(place, video[f"top{place}"], video[f"score{place}"]) for place in best]
        if video["place"] > len(best):
            names.append((video["place"], video["label"], video["score"]))
        ax = row[-1]
        drawn = bars(ax, [f"{place}. {name[:30]}" for place, name, _ in names], [score for *_, score in names])
        for bar, text, (_, name, _) in zip(drawn, ax.get_yticklabels(), names):
            bar.set_color(RIGHT if name == video["label"] else WRONG)
            text.set_fontweight("bold" if name == video["label"] else "normal")
        ax.set_xlim(min(0, lowest), 1)
        ax.tick_params(labelsize=9)
        if ax is not axes[-1, -1]:
            ax.set_xlabel("")
            ax.tick_params(labelbottom=False)
    return figure


def semantic_distance(tables, chances):
    """Accuracy of every unseen class against the distance of its word vector to the nearest seen class.

    ``tables`` maps test sets to what `aurl.evaluation.protocols.semantic_distance` returns, ``chances`` to their
    chance. The
    classes named, each with its nearest seen class, are the four best and the two at either end of the distances. A
    title has Spearman's rank correlation, and how likely one as strong is if there were none (two-sided).
    """
    figure, axes = plt.subplots(
        1, len(tables), figsize=(7.5 * len(tables), 5.5), sharey=True, squeeze=False, layout="constrained"
    )
    for ax, (name, table) in zip(axes[0], tables.items()):
        ax.scatter(table["distance"], table["top1"], color="C0", s=36, edgecolor="white", linewidth=0.6, zorder=3)
        ax.axhline(chances[name], color="0.3", linestyle="--")
        ax.annotate(f"chance\n{chances[name]:.1%}", (1, chances[name]), (4, 0), xycoords=("axes fraction", "data"),
                    va="center", textcoords="offset points", color="0.3", fontsize=10)  # fmt: skip
        ax.yaxis.set_major_formatter(PercentFormatter(1))
        ax.set_title(f"{name}: {_correlation(table)}", parse_math=False)
        ax.set_xlabel("cosine distance of the word vector to the nearest seen class")
        ax.margins(0.12)
    axes[0][0].set_ylabel("zero-shot top-1 of the class")
    figure.canvas.draw()
    for ax, (name, table) in zip(axes[0], tables.items()):
        ends = table.sort_values("distance", kind="stable")
        named = pd.concat([table.nlargest(4, "top1"), ends.head(2), ends.tail(2)]).drop_duplicates("class")
        texts = [f"{own[:30]} ({near[:30]})" for own, near in zip(named["class"], named["nearest"])]
        columns, chance = ["distance", "top1"], np.full(100, chances[name])
        line = np.stack([np.linspace(*ax.get_xlim(), 100), chance], axis=1)
        label_points(ax, named[columns].to_numpy(), texts, np.concatenate([table[columns], line]))
    return figure


def class_vectors(names, unseen, vectors, learned):
    """Classes before and after learning: word vectors (C, W), what the class encoder makes of them (C, D), and the
    cosines between any two.

    ``unseen`` (C,) says which of the C ``names`` were not trained on. Both maps show the first two principal components
    of unit vectors and name the same classes: the pairs that are nearest in either. A line joins each pair there.
    """
    spaces = {"word vectors": vectors, "class features of the model": learned}
    units = {title: own / np.linalg.norm(own, axis=1, keepdims=True) for title, own in spaces.items()}
    upper = np.triu_indices(len(names), 1)
    cosines = {title: (unit @ unit.T)[upper] for title, unit in units.items()}
    figure, axes = plt.subplots(1, 3, figsize=(18, 6), width_ratios=[1.2, 1.2, 1], layout="constrained")
    nearest = {title: np.argsort(-own, kind="stable")[:PAIRS] for title, own in cosines.items()}
    named = np.unique(np.concatenate([[upper[0][pairs], upper[1][pairs]] for pairs in nearest.values()], axis=None))
    places = {title: principal(own, 2) for title, own in spaces.items()}
    for ax, (title, at) in zip(axes, places.items()):
        for kind, color, marker, own in (("seen", SEEN, "o", ~unseen), ("unseen", UNSEEN, "D", unseen)):
            ax.scatter(*at[own].T, color=color, marker=marker, s=26, linewidth=0, alpha=0.8, label=f"{kind} class")
        for pair in np.concatenate(list(nearest.values())):
            ax.plot(*at[[upper[0][pair], upper[1][pair]]].T, color="0.5", linewidth=0.8, zorder=1)
        ax.set(title=title, xlabel="first principal component", ylabel="second")
        ax.set_aspect("equal", "datalim")
        ax.margins(0.15)
    axes[0].legend(loc="best")
    span = min(own.min() for own in cosines.values()), 1
    for (title, own), color in zip(cosines.items(), ("0.45", "black")):
        axes[2].hist(own, np.linspace(*span, 41), histtype="step", color=color, linewidth=2, label=title)
        axes[2].axvline(own.mean(), color=color, linestyle=":")
    axes[2].set(title="every class with every other", xlabel="cosine; dotted: mean", ylabel="pairs of classes")
    axes[2].legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncol=2, frameon=False)
    figure.canvas.draw()
    for ax, at in zip(axes, places.values()):
        label_points(ax, at[named], [names[i][:30] for i in named], at)
    return figure


def _correlation(table):
    """Spearman's rank correlation of distance and accuracy in words."""
    if min(table["distance"].nunique(), table["top1"].nunique()) < 2 or len(table) < 3:
        return f"{len(table)} classes, too alike for a rank correlation"
    found = stats.spearmanr(table["distance"], table["top1"])
    return f"Spearman's ρ = {found.statistic:.2f}, p = {found.pvalue:.2g}, {len(table)} classes"
