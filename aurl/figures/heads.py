"""The figures of what was trained on fixed features: every variant with many seeds, and sweeps of one parameter."""

import matplotlib.pyplot as plt
from matplotlib.ticker import PercentFormatter


def variants(runs, chance, name):
    """Zero-shot top-1 of every training as a dot, the mean of a variant as a line, variants from best to worst.

    ``runs`` has the columns ``variant`` and ``top1``, a row per training on the test set ``name``.
    """
    means = runs.groupby("variant", sort=False)["top1"].mean().sort_values(kind="stable")
    figure, ax = plt.subplots(figsize=(7, 0.36 * len(means) + 1.4), layout="constrained")
    for place, (variant, mean) in enumerate(means.items()):
        own = runs.loc[runs["variant"] == variant, "top1"]
        ax.scatter(own, [place] * len(own), color="C0", alpha=0.45, s=22, linewidth=0)
        ax.plot([mean, mean], [place - 0.32, place + 0.32], color="black", linewidth=2)
    ax.axvline(chance, color="0.3", linestyle="--")
    ax.annotate(f"chance, {chance:.1%}", (chance, 1), (3, -12), xycoords=("data", "axes fraction"),
                textcoords="offset points", color="0.3")  # fmt: skip
    ax.set_yticks(range(len(means)), means.index)
    ax.set(xlabel=f"zero-shot top-1 on {name}: every training, and their mean", ylim=(-0.6, len(means) - 0.4))
    ax.set_xlim(0, max(runs["top1"].max(), chance) * 1.08)
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    ax.grid(axis="y", visible=False)
    return figure


def sweeps(runs, chance, name):
    """Zero-shot top-1 against each parameter that was swept: every training a dot, the means joined, and a square where
    the variant has that value anyway.

    ``runs`` has the columns ``parameter``, ``value``, ``chosen`` and ``top1``, a row per training on the test set
    ``name``. Values stand in the order in which they come. Without any row the figure says so.
    """
    parameters = list(runs["parameter"].unique())
    across = min(3, max(1, len(parameters)))
    down = -(-len(parameters) // across) or 1
    figure, axes = plt.subplots(
        down, across, figsize=(4.6 * across, 3.4 * down), sharey=True, squeeze=False, layout="constrained"
    )
    for ax, parameter in zip(axes.flat, parameters):
        own = runs[runs["parameter"] == parameter]
        values = own["value"].astype(str)
        order = list(values.unique())
        means = own.groupby(values, sort=False)["top1"].mean()
        ax.plot(range(len(order)), means[order], color="black", marker=".", label="mean")
        for value in values[own["chosen"].astype(bool)].unique():
            ax.plot(order.index(value), means[value], color="black", marker="s", markersize=9, markerfacecolor="none",
                    linestyle="none", label="the variant's own value")  # fmt: skip
        ax.scatter([order.index(value) for value in values], own["top1"], color="C0", alpha=0.6, s=18, linewidth=0,
                   zorder=3, label="one seed")  # fmt: skip
        ax.axhline(chance, color="0.3", linestyle="--")
        ax.set_xticks(range(len(order)), order)
        ax.set(xlabel=parameter)
        ax.grid(axis="x", visible=False)
        ax.margins(x=0.1)
    for ax in axes.flat[len(parameters) :]:
        ax.axis("off")
    if not parameters:
        axes[0, 0].text(0.5, 0.5, "heads.sweeps names nothing to sweep.", ha="center", va="center")
        return figure
    axes[0, 0].set_ylim(0, max(runs["top1"].max(), chance) * 1.08)
    axes[0, 0].annotate(f"chance, {chance:.1%}", (0, chance), (3, 3), xycoords=("axes fraction", "data"),
                        textcoords="offset points", color="0.3")  # fmt: skip
    axes[0, 0].yaxis.set_major_formatter(PercentFormatter(1))
    figure.supylabel(f"zero-shot top-1 on {name}")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncol=3, frameon=False)
    return figure
