"""The figures of one run's classes: what videos were taken for, and what word vectors have to do with it."""

import matplotlib.pyplot as plt

from aurl.figures import bars, strip

RIGHT, WRONG = "C2", "C0"


def film_strips(videos, columns=6):
    """A row per video: its film strip, and beside it the best classes with their cosines, the right one in green.

    ``videos`` has what `aurl.evaluation.examples` returns of each, and the manifest's ``path``, ``first`` and
    ``frames``. A right class that is not among the best comes last, with its place. Raises VideoError.
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
