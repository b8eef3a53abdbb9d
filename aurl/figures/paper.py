"""The figure of chapter 6: classes and their videos on the unit sphere, as a picture and as an interactive page."""

import json
from importlib import resources

import matplotlib.pyplot as plt
import numpy as np
from mpl_toolkits.mplot3d.proj3d import proj_transform

from aurl.figures import label_points, lay_out

ELEVATION, AZIMUTH = 20, -60  # of the picture's viewer, degrees


def spheres(panels, names):
    """Figure 1 of the paper: videos (dots) and class names (stars) on the unit sphere, one panel per method.

    A line joins each video with the star of its class. ``panels`` maps a title to ``video`` (N, 3), ``classes`` (C, 3),
    features of unit length, and ``labels`` (N,).
    """
    high, wide = np.radians(ELEVATION), np.radians(AZIMUTH)
    viewer = np.array([np.cos(wide) * np.cos(high), np.sin(wide) * np.cos(high), np.sin(high)])
    figure = plt.figure(figsize=(5.2 * len(panels), 5.9))
    grid = np.linspace(0, np.pi, 60)
    around, down = np.meshgrid(2 * grid, grid)
    globe = np.cos(around) * np.sin(down), np.sin(around) * np.sin(down), np.cos(down)
    for place, (title, features) in enumerate(panels.items(), start=1):
        video, stars, labels = features["video"], features["classes"], features["labels"]
        right = (video @ stars.T).argmax(axis=1) == labels
        ax = figure.add_subplot(1, len(panels), place, projection="3d", computed_zorder=False)
        ax.plot_wireframe(*globe, rstride=6, cstride=5, color="0.88", linewidth=0.5, zorder=1)
        for own, label in zip(video, labels):
            ax.plot(*np.stack([own, stars[label]]).T, color="0.6", linewidth=0.7, zorder=2)
        dot, star = {"marker": "o", "s": 30, "color": "C0"}, {"marker": "*", "s": 240, "edgecolor": "black"}
        for points, about, look in (
            (video[right], "a video, nearest to its own class name", dot),
            (video[~right], "a video, nearer to another", {"marker": "X", "s": 40, "color": "C3"}),
            (stars, "a class name", star | {"color": "C1", "linewidth": 0.8}),
        ):
            behind = points @ viewer < 0
            ax.scatter(*points[behind].T, alpha=0.4, zorder=3.4, depthshade=False, **look)
            ax.scatter(*points[~behind].T, zorder=4, depthshade=False, label=about, **look)
        ax.scatter([], [], [], alpha=0.4, label="pale: behind the sphere", **dot)
        ax.set_box_aspect((1, 1, 1), zoom=1.6)
        ax.view_init(ELEVATION, AZIMUTH)
        ax.set_axis_off()
        ax.set_title(title)
    figure.legend(*ax.get_legend_handles_labels(), loc="lower center", ncol=2 * len(panels), fontsize=9)
    figure.subplots_adjust(left=0, right=1, bottom=0.06, top=0.88, wspace=0)
    lay_out(figure)
    for ax, features in zip(figure.axes, panels.values()):
        stars = np.column_stack(proj_transform(*features["classes"].T, ax.get_proj())[:2])
        label_points(ax, stars, names, gap=8)
    return figure


def sphere_page(panels, names):
    """The spheres of `spheres` as an HTML page where they can be turned. It is self-contained and needs no network."""
    drawn = []
    for title, features in panels.items():
        video, classes = (np.asarray(features[side], float) for side in ("video", "classes"))
        points = {"video": video.round(4).tolist(), "classes": classes.round(4).tolist()}
        nearest = (video @ classes.T).argmax(axis=1).tolist()
        drawn.append({"title": title, "labels": features["labels"].tolist(), "nearest": nearest} | points)
    data = json.dumps({"names": list(names), "panels": drawn}, separators=(",", ":"))
    template = resources.files("aurl.figures").joinpath("sphere.html").read_text()
    return template.replace("DATA", data.replace("<", "\\u003c"))  # so that no name can end the script element
