"""The figure of chapter 7: a video and its best classes."""

import matplotlib.pyplot as plt

from aurl.data.video.decoding import frame_count
from aurl.figures import score_bars
from aurl.figures.data import film_strip


def ranking(video, table, title):
    """A film strip of the file ``video`` above bars with the scores of its best classes.

    ``table`` has the columns ``class`` and ``score``, best first. Raises VideoError if the file cannot be decoded.
    """
    figure = plt.figure(figsize=(9.6, 1.9 + 0.35 * len(table)), layout="constrained")
    top, chart = figure.subfigures(2, 1, height_ratios=[1.3, 0.6 + 0.35 * len(table)])
    top.suptitle(title, parse_math=False)
    total = frame_count(video)
    film_strip(top.subplots(), video, 0, total, 8, total)
    score_bars(chart.subplots(), table["class"], table["score"])
    return figure
