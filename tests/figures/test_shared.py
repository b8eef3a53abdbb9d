"""What all figures share: they are saved whole, repeat byte for byte, use few colors, and read names as plain text."""

import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from drawn import colors, tick_labels, trainings

from aurl import figures
from aurl.data.video import write_video
from aurl.figures import ablations, classify, data, evaluation, names, paper

CLASSES = ["walk duck", "$x_ <b>", "spin box"]
ODD = ["<b>$\\frac{$", "a $5 to $6 *b*", "c_d"]


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def draw(name, folder):
    """A small example of every figure."""
    rng = np.random.default_rng(0)
    own, labels = trainings("st"), np.repeat(np.arange(3), 10)
    if name in ("contact_sheet", "ranking"):
        write_video(folder / "v.mp4", np.full((8, 16, 16, 3), 90, np.uint8), fps=8)
        if name == "ranking":
            return classify.ranking(folder / "v.mp4", pd.DataFrame({"class": CLASSES, "score": [0.3, 0.2, -0.1]}), "$1")
        videos = {"path": str(folder / "v.mp4"), "class": CLASSES[:2], "first": [0, 4], "frames": [8, 4]}
        return data.contact_sheet(pd.DataFrame(videos), columns=4)
    if name == "class_similarity":
        return names.class_similarity(CLASSES, rng.normal(size=(3, 5)), "title")
    if name == "learning_curves":
        columns = ["lr", "total", "alignment", "uniformity", "semantic", "val_top1", "val_closeness", "val_dispersion"]
        history = pd.DataFrame(rng.random((4, 8)), columns=columns).assign(epoch=range(1, 5))
        return evaluation.learning_curves(history, 0.1, "title")
    if name == "class_accuracies":
        return evaluation.class_accuracies(np.array([0.2, 0.9, 0.5]), CLASSES, 1 / 3, "title")
    if name == "confusion_matrix":
        return evaluation.confusion_matrix(rng.integers(0, 9, (3, 3)), CLASSES, "title")
    if name == "class_vectors":
        vectors = rng.normal(size=(5, 4)), rng.normal(size=(5, 4))
        return evaluation.class_vectors([*CLASSES, "a", "b"], np.arange(5) > 2, *vectors, "title")
    if name == "semantic_distance":
        table = {"class": CLASSES, "nearest": "x_$", "distance": [0.1, 0.2, 0.3], "top1": [0.9, 0.3, 0.0]}
        return evaluation.semantic_distance({"$s": pd.DataFrame(table)}, {"$s": 0.1})
    if name == "variant_accuracies":
        table = own.groupby(["set", "variant"], as_index=False).mean()
        table = table.assign(top1_low=table["top1"] - 0.1, top1_high=table["top1"])
        return ablations.variant_accuracies(own, table)
    if name == "closeness_dispersion":
        return ablations.closeness_dispersion(own)
    if name == "accuracy_and_metrics":
        return ablations.accuracy_and_metrics(own[own["set"] == "s"], 0.1, "s")
    if name == "parameter_sweeps":
        return ablations.parameter_sweeps(own.assign(parameter="p", value=own["variant"], chosen=False), 0.1, "s")
    if name == "synthetic_class_cosines":
        return ablations.synthetic_class_cosines({"a": {"x": rng.random(9), "y": rng.random(9)}}, "$")
    features = {"video": unit(rng.normal(size=(30, 3))), "classes": unit(rng.normal(size=(3, 3))), "labels": labels}
    return paper.spheres({"a": features, "b": features}, CLASSES)


ALL = [
    *("contact_sheet", "class_similarity", "learning_curves", "class_accuracies", "confusion_matrix", "class_vectors"),
    *("semantic_distance", "variant_accuracies", "closeness_dispersion", "accuracy_and_metrics", "parameter_sweeps"),
    *("synthetic_class_cosines", "spheres", "ranking"),
]


@pytest.mark.parametrize("name", ALL)
def test_saved_picture_is_what_the_notebook_shows_and_repeats(name, folder):
    """All fit the width of a notebook, and few colors need no explanation."""
    figure = draw(name, folder)
    used = colors(figure)
    assert name in ("class_similarity", "confusion_matrix") or len(used) <= 7
    shown = figures.save(figure, name)
    assert figure.get_size_inches()[0] <= 11 and not plt.get_fignums()
    kept = (folder / f"reports/figures/{name}.png").read_bytes()
    assert shown.data == kept and kept.startswith(b"\x89PNG") and len(kept) > 1000
    assert figures.save(draw(name, folder), name).data == kept


def test_colors_are_the_palette_for_the_colorblind_and_only_heat_maps_need_seaborn():
    modules = ", ".join(f"aurl.figures.{name}" for name in ("ablations", "evaluation", "names", "classify", "paper"))
    script = f"import sys, {modules}; assert 'seaborn' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
    import seaborn

    own = plt.rcParams["axes.prop_cycle"].by_key()["color"]
    assert own == seaborn.color_palette("colorblind").as_hex()[:6]


def test_no_name_is_markup_or_mathematics():
    """Where a formula is broken, Matplotlib would end the chapter."""
    literal = [figures.literal(name) for name in ODD]
    assert literal[0] == "&#60;b&#62;&#36;&#92;frac&#123;&#36;" and literal[1][-6:] == "b&#42;"
    for figure in (
        names.class_similarity(ODD, np.eye(3), "a $5"),
        evaluation.class_accuracies(np.arange(3.0), ODD, 0.1, "a $5"),
        evaluation.confusion_matrix(np.eye(3), ODD, "a $5"),
    ):
        texts, _ = tick_labels(figure.axes[0].yaxis)
        assert sorted(text.replace(r"\$", "$") for text in texts) == sorted(ODD)


def test_table_formats_shares_repeats_and_keeps_texts_whole():
    shares = "accuracy chance gain gzsl_calibrated_unseen gzsl_harmonic half_mean_per_class_std half_top5 share top5"
    shares = [*f"{shares} mean_per_class top1_classes_low top1_std truze_top1 val_top1".split(), "e2e top1"]
    others = ["closeness", "dispersion_euclidean", "gzsl_gamma", "gzsl_area", "lr", "seen"]
    for columns, text in ((shares, ">12.3%<"), (others, ">0.123<")):
        html = figures.table(pd.DataFrame([[0.123456] * len(columns)], columns=columns)).data
        assert html.count(text) == len(columns)
    frame = pd.DataFrame({("top1", "s"): [-1e-5], ("closeness", "s"): [-1e-5], ("seed", "s"): [0]})
    html = figures.table(frame).data
    assert "-0" not in html and ">0.0%<" in html and ">0.000<" in html and html == figures.table(frame).data
    html = figures.table(pd.DataFrame({"label": ["<b>" + "x" * 500]})).data
    assert "&lt;b&gt;" + "x" * 500 in html  # neither cut nor markup
