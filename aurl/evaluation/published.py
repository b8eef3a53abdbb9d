"""Protocols of published tables: official splits of UCF101 and HMDB51, and draws of Kinetics-600's new classes."""

from pathlib import PurePosixPath

import numpy as np
import yaml

from aurl import UserError, metrics
from aurl.data import names
from aurl.evaluation import protocols

NEW = names.FOLDER / "kinetics600_new.txt"
DRAWS = names.FOLDER / "kinetics600_draws.yaml"
FIGURES = ["top1", "top5", "mean_per_class"]


def over_lists(features, ids, lists):
    """Accuracies on the videos that each official split tests, as a dict of floats in [0, 1]; all classes compete.

    ``lists_top1``, ``lists_top5`` and ``lists_mean_per_class`` are means over the splits, and the same with ``_std``
    are standard deviations. Raises UserError as `of_lists` does.

    Args:
        features: of one data set (`aurl.evaluation.protocols.features`).
        ids: N ids of its videos, whose last part is the file's name without extension.
        lists: the result of `aurl.data.readers.test_lists.read`.
    """
    score, labels = protocols.scores(features), features["labels"]
    found = [metrics.split_accuracy(score[mine], labels[mine], "all") for mine in of_lists(ids, lists)]
    return _mean_and_std("lists", found)


def of_lists(ids, lists):
    """Whether each of N videos is in each split, a list of boolean arrays (N,); arguments as in `over_lists`.

    Raises UserError for a split without any video in the data set.
    """
    stems, found = np.array([PurePosixPath(text).name for text in ids]), []
    for k, videos in enumerate(lists, 1):
        found.append(np.isin(stems, [*videos]))
        if not found[-1].any():
            raise UserError(
                f"no video of the official split {k} is in the data set, whose first is {ids[0]}: correct test_lists."
            )
    return found


def kinetics600_draws(classes):
    """Indices in ``classes`` of the 160 test classes of each of three published draws.

    Kinetics-600 has 220 classes that Kinetics-400 lacks; a draw reserves 60 of them for validation. The list is empty
    unless ``classes`` has all 220.
    """
    places = {label: place for place, label in enumerate(classes)}
    new = names.read(NEW)
    draws = [sorted({*new} - {*validation}) for validation in yaml.safe_load(DRAWS.read_text())]
    if not all(label in places for label in new):
        return []
    return [[places[label] for label in draw] for draw in draws]


def over_draws(features, draws):
    """Accuracies where only the classes of a draw compete: ``draws_top1`` and so on, named as in `over_lists`.

    ``draws`` is the result of `kinetics600_draws`.
    """
    score, labels = protocols.scores(features), features["labels"]
    return _mean_and_std("draws", [metrics.split_accuracy(score, labels, draw) for draw in draws])


def _mean_and_std(prefix, found):
    table = {name: [own[name] for own in found] for name in FIGURES}
    means = {f"{prefix}_{name}": np.mean(values) for name, values in table.items()}
    return protocols.rounded(means | {f"{prefix}_{name}_std": np.std(values) for name, values in table.items()})
