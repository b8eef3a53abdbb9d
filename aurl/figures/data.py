"""The figures of chapter 1: pictures of videos."""

import matplotlib.pyplot as plt
import numpy as np

from aurl.data.video.decoding import pick, upright


def contact_sheet(manifest, columns=8):
    """A film strip of each video of the manifest, its class at the left. If there is none, the figure says so."""
    if manifest.empty:
        figure, ax = plt.subplots(figsize=(1.2 * columns, 1.2))
        ax.text(0.5, 0.5, "No pictures: these sets are features.", ha="center", va="center")
        ax.axis("off")
        return figure
    figure, axes = plt.subplots(len(manifest), columns, figsize=(1.2 * columns, 1.2 * len(manifest)), squeeze=False)
    for row, video, name in zip(axes, manifest.itertuples(), manifest["class"], strict=True):
        film_strip(row, video.path, video.first, video.frames)
        row[0].set_ylabel(name, rotation=0, ha="right", va="center", parse_math=False)
    figure.subplots_adjust(0, 0, 1, 1, wspace=0.03, hspace=0.03)
    return figure


def film_strip(axes, video, first, frames, total=None):
    """Draw pictures of the file ``video``, one in each of ``axes``, evenly spaced over ``frames`` from ``first``.

    ``total`` is the number of the file's frames, if it is known. Raises VideoError if the file cannot be decoded.
    """
    places = first + np.linspace(0, frames - 1, len(axes)).round().astype(int)
    pictures = pick(video, places, lambda frame: upright(frame.to_ndarray(format="rgb24"), frame), total)
    for ax, place in zip(axes, places):
        ax.imshow(pictures[place])
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
