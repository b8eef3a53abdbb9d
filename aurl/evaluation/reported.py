"""Our accuracies and those that others report, with the pre-training data of each encoder.

``reported.csv`` has the numbers of others, in percent, with their sources. Its column ``figure`` names our metric with
the same protocol; it is empty where the source does not state the protocol.
"""

from pathlib import Path

import pandas as pd

from aurl.project.markdown import markdown_table

GAINS = {"ucf101": 0.281, "hmdb51": 0.270}  # the paper's relative gains of AURL over the best result before it
REPORTED = Path(__file__).with_suffix(".csv")
COLUMNS = ["test set", "protocol", "method", "accuracy %", "pre-training data", "source"]
OURS = {  # our metrics that others report -> protocol
    "top1": "all classes, {clips}",
    "top5": "all classes, {clips}, top-5",
    "mean_per_class": "all classes, {clips}, mean per class",
    "half_top1": "half of the classes, 10 draws, {clips}",
    "truze_top1": "TruZe's unseen classes, {clips}",
    "lists_top1": "three official test lists, {clips}",
    "draws_top1": "three draws of 160 new classes, {clips}",
    "gzsl_harmonic": "generalized, harmonic mean, {clips}",
}


def table(ours, clips):
    """Reported accuracies and ours as a Markdown table, grouped by test set; "" if nobody reports any.

    ``ours`` maps a test set to its methods, and each method to its metrics as chapter 4 writes them to
    ``reports/metrics``: those with N clips per video under ``clipsN``, all others with ``clips`` clips per video.
    """
    others = pd.read_csv(REPORTED, keep_default_na=False, dtype=str)
    rows = []
    for name, methods in ours.items():
        theirs = others[others["set"] == name]
        if not len(theirs):
            continue
        rows += [
            [name, row.protocol, row.method, row.value, row.pretraining, row.source] for row in theirs.itertuples()
        ]
        for method, figures in methods.items():
            about = figures.get("pretraining", "none")
            nested = {clips: figures} | {int(key[5:]): own for key, own in figures.items() if key.startswith("clips")}
            for count, own in nested.items():
                said = f"{count} clip{'s' if count > 1 else ''}"
                rows += [
                    [name, text.format(clips=said), f"**{method}, ours**", _percent(own, figure), about, "this project"]
                    for figure, text in OURS.items()
                    if own.get(figure) is not None and own[figure] == own[figure]  # not NaN
                ]
    return markdown_table(COLUMNS, rows) if rows else ""


def _percent(figures, name):
    spread = figures.get(f"{name}_std")
    return f"{100 * figures[name]:.1f}" + (f" ± {100 * spread:.1f}" if spread is not None else "")
