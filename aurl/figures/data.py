"""The figures of chapter 1: pictures of videos."""

import matplotlib.pyplot as plt
import numpy as np

from aurl.data.video.decoding import pick, upright
from aurl.figures import grid


def contact_sheet(manifest, columns=8):
    """A film strip of each video of the manifest, its class at the left. If there is none, the figure says so."""
    if manifest.empty:
        figure, ax = plt.subplots(figsize=(1.2 * columns, 1.2))
        ax.text(0.5, 0.5, "No pictures: these sets are features.", ha="center", va="center")
        ax.axis("off")
        return figure
    figure, axes = grid(len(manifest), 1, 1.2 * columns, 1.2)
    for ax, video, name in zip(axes, manifest.itertuples(), manifest["class"], strict=True):
        film_strip(ax, video.path, video.first, video.frames, columns)
        ax.set_ylabel(name, rotation=0, ha="right", va="center", parse_math=False)
    figure.set_layout_engine("compressed", h_pad=0.01, hspace=0)
    return figure


def film_strip(ax, video, first, frames, columns, total=None):
    """Draw ``columns`` pictures of the file ``video`` side by side, evenly spaced over ``frames`` from ``first``.

    ``total`` is the number of the file's frames, if it is known. Raises VideoError if the file cannot be decoded.
    """
    places = first + np.linspace(0, frames - 1, columns).round().astype(int)
    pictures = pick(video, places, lambda frame: upright(frame.to_ndarray(format="rgb24"), frame), total)
    height, width = pictures[first].shape[:2]
    lefts = 1.03 * width * np.arange(columns)
    for place, left in zip(places, lefts):
        ax.imshow(pictures[place], extent=(left, left + width, height, 0))
    ax.set(xlim=(0, lefts[-1] + width), xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
