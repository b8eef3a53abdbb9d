"""The figures of chapter 5, which compare variants: accuracy, closeness and dispersion, sweeps, synthetic classes."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from aurl.figures import CHANCE, chance_line, grid, label_points, lay_out, percent_axis

AXES = {
    "top1": "zero-shot top-1",
    "dispersion": "dispersion, cosine distance of\na class name to the nearest other\n(larger: more uniform)",
    "closeness": "closeness, cosine distance of\na video to its class name\n(smaller: better aligned)",
}


def variant_accuracies(runs, table):
    """Top-1 of every variant on every test set: mean over seeds, 95 % interval, every training as a dot, and chance.

    ``runs`` is `aurl.evaluation.comparison.collect`'s table, ``table`` its `aurl.evaluation.comparison.summary`.
    """
    sets, count = table["set"].unique(), table["variant"].nunique()
    figure, axes = grid(len(sets), 2, 6.4 if len(sets) == 1 else 5, 0.38 * count + 1.6, sharey=True)
    for ax, name in zip(axes, sets):
        rows, dots = table[table["set"] == name], runs[runs["set"] == name]
        ax.barh(rows["variant"], rows["top1"], color="C0", alpha=0.55, height=0.7)
        ends = [(rows["top1"] - rows["top1_low"]).clip(0), (rows["top1_high"] - rows["top1"]).clip(0)]
        ax.errorbar(rows["top1"], rows["variant"], xerr=ends, fmt="none", color="black", capsize=3,
                    label="95 % interval over videos")  # fmt: skip
        ax.scatter(dots["top1"], dots["variant"], color="C1", edgecolor="black", linewidth=0.5, s=22, zorder=3,
                   label="one training")  # fmt: skip
        chance = rows["chance"].iloc[0]
        highest = max(rows["top1_high"].max(), dots["top1"].max(), chance)
        ax.set(xlim=(0, min(1, 1.1 * highest)), ylim=(count - 0.4, -0.6), xlabel=AXES["top1"])
        ax.set_title(f"{name}, {_seeds(dots.groupby('variant'))}", pad=16, parse_math=False)
        percent_axis(ax.xaxis)
        chance_line(ax, chance)
        ax.grid(axis="y", visible=False)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncol=3)
    return figure


def closeness_dispersion(runs):
    """Closeness against dispersion per test set: a dot per variant, named, and small, pale ones for its trainings.

    ``runs`` is `aurl.evaluation.comparison.collect`'s table.
    """
    sets = runs["set"].unique()
    figure, axes = grid(len(sets), 2, 7 if len(sets) == 1 else 5.2, 5.6, sharex=True, sharey=True)
    columns = ["closeness", "dispersion"]
    for ax, name in zip(axes, sets):
        own = runs[runs["set"] == name].groupby("variant", sort=False)
        for _, rows in own[columns]:
            for point in rows.to_numpy():
                ax.plot(*np.stack([point, rows.mean()]).T, color="C0", linewidth=0.8, alpha=0.25, zorder=2)
            ax.scatter(*rows.to_numpy().T, color="C0", s=12, alpha=0.4, linewidth=0, zorder=2)
            ax.scatter(*rows.mean(), color="C0", s=40, edgecolor="white", linewidth=0.6, zorder=3)
        ax.set(xlabel=AXES["closeness"])
        ax.set_title(f"{name}, {_seeds(own)}", parse_math=False)
        ax.margins(0.15)
    axes[0].set_ylabel(AXES["dispersion"])
    lay_out(figure)
    for ax, name in zip(axes, sets):
        means = runs[runs["set"] == name].groupby("variant", sort=False)[columns].mean()
        label_points(ax, means.to_numpy(), means.index)
    return figure


def training_curves(histories, guessing, title):
    """Accuracy on held-out videos after each epoch, and L_US divided by ``guessing`` = ln U, a line per training.

    ``histories`` maps (variant, seed) to the history of `aurl.training.loop.train`.
    """
    figure, axes = grid(2, 2, 5.2, 3.6)
    variants = list(dict.fromkeys(variant for variant, _ in histories))
    for (variant, _), history in histories.items():
        color = f"C{variants.index(variant)}"
        label = "_" if variant in {line.get_label() for line in axes[0].lines} else variant
        axes[0].plot(history["epoch"], history["val_top1"], color=color, label=label)
        if "synthetic" in history:
            axes[1].plot(history["epoch"], history["synthetic"] / guessing, color=color)
    axes[0].set(ylim=(0, None), ylabel="top-1, held-out videos of seen classes")
    axes[1].set(ylim=(0, None), ylabel="$L_{US}$ as a share of guessing")
    axes[1].axhline(0.1, **CHANCE)
    axes[1].text(0.02, 0.1, "learned", transform=axes[1].get_yaxis_transform(), va="top", color=CHANCE["color"])
    for ax in axes:
        ax.set_xlabel("epoch")
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        percent_axis(ax.yaxis)
    figure.suptitle(title, parse_math=False)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncol=4)
    return figure


def accuracy_and_metrics(runs, chance, title):
    """A row per variant, most accurate first: its trainings as dots and their mean as a line, a panel per measure.

    ``runs`` has a row per training, with ``variant``, ``top1``, ``dispersion`` and ``closeness``.
    """
    means = runs.groupby("variant", sort=False)[list(AXES)].mean()
    means = means.sort_values("top1", ascending=False, kind="stable")
    figure, axes = grid(len(AXES), 3, 3.5, 0.3 * len(means) + 1.6, sharey=True)
    for ax, column in zip(axes, AXES):
        for place, (variant, mean) in enumerate(means[column].items()):
            own = runs.loc[runs["variant"] == variant, column]
            ax.scatter(own, [place] * len(own), color="C0", alpha=0.4, s=18, linewidth=0)
            ax.plot([mean, mean], [place - 0.32, place + 0.32], color="black", linewidth=2)
        ax.set_xlabel(AXES[column], fontsize=9.5)
        ax.set_ylim(len(means) - 0.4, -0.6)
        ax.xaxis.set_major_locator(MaxNLocator(5))
        if column == "top1":
            ax.set_xlim(0, max(runs["top1"].max(), chance) * 1.08)
            percent_axis(ax.xaxis)
            chance_line(ax, chance)
    axes[0].set_yticks(range(len(means)), means.index)
    figure.suptitle(f"{title} (dots: trainings, line: mean)", parse_math=False)
    return figure


STEPS = {  # of the paper's ablation: variants and their labels, one loss after the other
    "e2e": "E2E",
    "contrastive": "$L_S$",
    "visual_centers": "$L_S + L_C$",
    "aurl": "$L_S + L_C + L_{US}$\n(text)",
    "aurl_released": "$L_S + L_C + L_{US}$\n(released)",
}


def staircase(summary, title):
    """Top-1 of the baseline and of the losses added one by one, with 95 % intervals, a panel per test set.

    ``summary`` has rows of `aurl.evaluation.folds.summary`, with a further column ``set``.
    """
    sets = summary["set"].unique()
    figure, axes = grid(len(sets), 2, 5.6, 3.6)
    for ax, name in zip(axes, sets):
        own = summary[summary["set"] == name].set_index("variant")
        own = own.loc[[variant for variant in STEPS if variant in own.index]]
        own[["low", "high"]] = own[["low", "high"]].clip(0, 1)  # NaN with too few trainings
        ax.bar(range(len(own)), own["top1"], color="C0", alpha=0.55, width=0.7)
        ends = [own["top1"] - own["low"], own["high"] - own["top1"]]
        ax.errorbar(range(len(own)), own["top1"], yerr=ends, fmt="none", color="black", capsize=4)
        ax.set_xticks(range(len(own)), [STEPS[variant] for variant in own.index], fontsize=9)
        ax.set_title(name, pad=16, parse_math=False)
        ax.axhline(own["chance"].mean(), label="chance", **CHANCE)
        ax.grid(axis="x", visible=False)
        ax.set_ylim(0, None)
        percent_axis(ax.yaxis)
    axes[0].set_ylabel(AXES["top1"])
    axes[0].legend(loc="upper left")
    figure.suptitle(title + ", 95 % intervals over verbs and trainings" * bool(summary["low"].notna().any()))
    return figure


def seen_and_unseen(runs, seen, title):
    """Top-1 on unseen classes against held-out videos of seen ones, a named dot per variant and pale ones per training.

    ``runs`` has a row per set and training, with ``set``, ``variant``, ``study``, ``seed`` and ``top1``; ``seen`` is
    the training set's name in ``set``.
    """
    keys = ["variant", "fold", "seed"]
    known = runs[runs["set"] == seen].set_index(keys)["top1"].rename("seen")
    tests = [name for name in runs["set"].unique() if name != seen]
    figure, axes = grid(len(tests), 2, 5.2, 4.4)
    labels = []
    for ax, name in zip(axes, tests):
        own = runs[runs["set"] == name].join(known, on=keys).groupby("variant", sort=False)[["seen", "top1"]]
        for _, rows in own:
            ax.scatter(*rows.to_numpy().T, color="C0", s=14, alpha=0.4, linewidth=0, zorder=2)
        means = own.mean()
        ax.scatter(*means.to_numpy().T, color="C0", s=40, edgecolor="white", linewidth=0.6, zorder=3)
        ax.set(xlabel="top-1, held-out videos of seen classes", xlim=(0, None), ylim=(0, None))
        ax.set_title(name, parse_math=False)
        ax.margins(0.15)
        percent_axis(ax.xaxis)
        percent_axis(ax.yaxis)
        labels.append((ax, means.to_numpy(), means.index))
    axes[0].set_ylabel(AXES["top1"])
    figure.suptitle(f"{title} (pale: one training)")
    lay_out(figure)
    for label in labels:
        label_points(*label)
    return figure


def parameter_sweeps(runs, chance, title):
    """Top-1 against the values of each parameter: trainings as dots, means joined, a square at the variant's value.

    ``runs`` has a row per training, with ``parameter``, ``value``, ``chosen`` and ``top1``, in the order to show.
    """
    parameters = list(runs["parameter"].unique())
    figure, axes = grid(len(parameters), 3, 6 if len(parameters) < 2 else 3.4, 2.9, sharey=True)
    for ax, parameter in zip(axes, parameters):
        own = runs[runs["parameter"] == parameter]
        values = own["value"].astype(str)
        order = list(values.unique())
        means = own.groupby(values, sort=False)["top1"].mean()
        ax.plot(range(len(order)), means[order], color="black", marker=".", label="mean")
        for value in values[own["chosen"].astype(bool)].unique():
            ax.plot(order.index(value), means[value], color="black", marker="s", markersize=9, markerfacecolor="none",
                    linestyle="none", label="the variant's value")  # fmt: skip
        ax.scatter([order.index(value) for value in values], own["top1"], color="C0", alpha=0.6, s=18, linewidth=0,
                   zorder=3, label="one training")  # fmt: skip
        ax.axhline(chance, label=f"chance, {chance:.1%}", **CHANCE)
        ax.set_xticks(range(len(order)), order)
        ax.set(xlabel=parameter)
        ax.grid(axis="x", visible=False)
        ax.margins(x=0.1)
    axes[0].set_ylim(0, max(runs["top1"].max(), chance) * 1.08)
    percent_axis(axes[0].yaxis)
    for ax in axes[::3]:
        ax.set_ylabel(AXES["top1"])
    figure.suptitle(f"{title}, {_seeds(runs.groupby(['parameter', 'value']), 'value')}", parse_math=False)
    handles = {label: line for ax in axes for line, label in zip(*ax.get_legend_handles_labels())}
    figure.legend(handles.values(), handles, loc="outside lower center", ncol=4)
    return figure


def synthetic_class_cosines(panels, title):
    """Box plots of the cosines of `aurl.evaluation.synthetic_classes.panels`.

    Boxes span the middle 50 % and whiskers the middle 90 %; a dot is the mean.
    """
    figure, axes = grid(len(panels), 3, 3.5, 3.2, sharex=True)
    looks = {
        "boxprops": {"facecolor": "C0", "alpha": 0.5},
        "medianprops": {"color": "black"},
        "meanprops": {"marker": "o", "markerfacecolor": "C1", "markeredgecolor": "black"},
    }
    for ax, (name, groups) in zip(axes, panels.items()):
        ax.boxplot(list(groups.values()), orientation="horizontal", tick_labels=list(groups), whis=(5, 95), widths=0.6,
                   showfliers=False, showmeans=True, patch_artist=True, **looks)  # fmt: skip
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
        ax.set(title=name, xlabel="cosine similarity")
        ax.xaxis.set_major_locator(MaxNLocator(5))
    figure.suptitle(title, parse_math=False)
    return figure


def _seeds(groups, each="variant"):
    """How many trainings the groups have, such as "1 seed" or "2 to 10 seeds per variant"."""
    low, high = groups.size().min(), groups.size().max()
    count = f"{high}" if low == high else f"{low} to {high}"
    return f"{count} {'seeds' if high > 1 else 'seed'} per {each}"
