"""The figures of chapter 5, which compare variants: their accuracy, their closeness and dispersion, their classes."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator, PercentFormatter

from aurl.figures import label_points


def comparison(runs, table):
    """Top-1 of every variant on every test set: mean over seeds, 95 % interval, every run as a dot, and chance.

    ``runs`` and ``table`` are what `aurl.evaluation.comparison.collect` and `summary` return.
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
        chance = rows["chance"].iloc[0]
        ax.axvline(chance, color="0.3", linestyle="--")
        ax.annotate(f"chance, {chance:.1%}", (chance, 0), (3, 3), xycoords=("data", "axes fraction"),
                    textcoords="offset points", color="0.3")  # fmt: skip
        highest = max(rows["top1_high"].max(), dots["top1"].max(), chance)
        ax.set(title=name, xlim=(0, min(1, 1.15 * highest)), ylim=(len(variants), -0.6))
        ax.set(xlabel="zero-shot top-1 accuracy")
        ax.locator_params(axis="x", nbins=5)
        ax.xaxis.set_major_formatter(PercentFormatter(1))
        ax.grid(axis="y", visible=False)
    figure.get_layout_engine().set(w_pad=0.25)
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncol=3, frameon=False)
    return figure


def tradeoff(runs):
    """Closeness against dispersion per test set: a dot per variant, which is named, and pale ones for its trainings.

    ``runs`` is what `aurl.evaluation.comparison.collect` returns.
    """
    sets = runs["set"].unique()
    figure, axes = plt.subplots(
        1, len(sets), figsize=(6 * len(sets), 5.6), sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    for ax, name in zip(axes[0], sets):
        _joined(ax, runs[runs["set"] == name], ["closeness", "dispersion"])
        ax.set(title=name, xlabel="closeness: video to its class name\n(cosine distance, smaller is better aligned)")
        ax.margins(0.15)
    axes[0][0].set_ylabel("dispersion: class name to the nearest other\n(cosine distance, larger is more uniform)")
    figure.canvas.draw()
    for ax, name in zip(axes[0], sets):
        means = runs[runs["set"] == name].groupby("variant", sort=False)[["closeness", "dispersion"]].mean()
        label_points(ax, means.to_numpy(), means.index, means.to_numpy())
    return figure


def metrics_and_accuracy(runs, chance, name):
    """Accuracy against dispersion and against closeness: a dot per variant, and pale ones for its trainings.

    ``runs`` has a row per training: ``variant``, ``top1``, ``dispersion`` and ``closeness``.
    """
    figure, axes = plt.subplots(1, 2, figsize=(14, 7), sharey=True, layout="constrained")
    labels = {
        "dispersion": "dispersion: class name to the nearest other\n(cosine distance, larger is more uniform)",
        "closeness": "closeness: video to its class name\n(cosine distance, smaller is better aligned)",
    }
    for ax, (metric, label) in zip(axes, labels.items()):
        _joined(ax, runs, [metric, "top1"])
        ax.axhline(chance, color="0.3", linestyle="--")
        ax.annotate(f"chance, {chance:.1%}", (0, chance), (3, -3), xycoords=("axes fraction", "data"), va="top",
                    textcoords="offset points", color="0.3")  # fmt: skip
        ax.set(xlabel=label)
        ax.yaxis.set_major_formatter(PercentFormatter(1))
        ax.margins(0.08)
    axes[0].set_ylabel(f"zero-shot top-1 on {name}")
    figure.canvas.draw()
    for ax, metric in zip(axes, labels):
        means = runs.groupby("variant", sort=False)[[metric, "top1"]].mean()
        label_points(ax, means.to_numpy(), means.index, means.to_numpy())
    return figure


def _joined(ax, runs, columns):
    """A dot for the mean of every variant, and a small, pale one for each of its trainings, joined to it."""
    for _, rows in runs.groupby("variant", sort=False):
        points, mean = rows[columns].to_numpy(), rows[columns].mean()
        for point in points:
            ax.plot(*np.stack([point, mean]).T, color="C0", linewidth=0.8, alpha=0.2, zorder=2)
        ax.scatter(*points.T, color="C0", s=12, alpha=0.4, linewidth=0, zorder=2)
        ax.scatter(*mean, color="C0", s=40, edgecolor="white", linewidth=0.6, zorder=3)


def spread(panels, xlabel):
    """Box plots side by side; ``panels`` maps a title to ``{name: values}``.

    Boxes hold the middle half, whiskers nine tenths, a dot is the mean.
    """
    figure, axes = plt.subplots(
        1, len(panels), figsize=(4.8 * len(panels), 3.6), sharex=True, squeeze=False, layout="constrained"
    )
    looks = {
        "boxprops": {"facecolor": "C0", "alpha": 0.5},
        "medianprops": {"color": "black"},
        "meanprops": {"marker": "o", "markerfacecolor": "C1", "markeredgecolor": "black"},
    }
    for ax, (title, groups) in zip(axes[0], panels.items()):
        ax.boxplot(list(groups.values()), orientation="horizontal", tick_labels=list(groups), whis=(5, 95), widths=0.6,
                   showfliers=False, showmeans=True, patch_artist=True, **looks)  # fmt: skip
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
        ax.set(title=title, xlabel=xlabel)
        ax.xaxis.set_major_locator(MaxNLocator(5))
    return figure
