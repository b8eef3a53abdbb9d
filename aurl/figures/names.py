"""The figure of chapter 2: how similar class names are."""

import matplotlib.pyplot as plt
import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage

from aurl.figures import MAX_NAMES, heat_map


def class_similarity(names, vectors, title):
    """Cosine of every class with every other as a map, similar classes next to each other; ``vectors`` are (C, W)."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    tree = linkage(unit, "average", optimal_ordering=len(names) <= 4 * MAX_NAMES)  # slow for many classes
    order = leaves_list(tree)
    side = np.clip(0.19 * len(names), 6, 8)
    figure, ax = plt.subplots(figsize=(side + 1.2, side), layout="constrained")
    cosines = (unit @ unit.T)[np.ix_(order, order)]
    heat_map(ax, cosines, [names[i] for i in order], "cosine similarity", vmin=min(0, cosines.min()), cmap="mako")
    ax.set_title(title, parse_math=False)
    return figure
