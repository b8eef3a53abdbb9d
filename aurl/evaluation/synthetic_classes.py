"""The class generator applied to a trained model's classes, measured as cosines for chapter 5."""

import pandas as pd
import torch

from aurl.generator import MODES, ClassGenerator
from aurl.losses import cosines, unit

STEPS = 20  # training steps whose synthetic classes are measured


def mixes(features, generator, seed, steps=STEPS):
    """Synthetic classes of ``steps`` training steps from seen ``features`` (C, D): mode -> list of (U, D) tensors."""
    rng = torch.Generator().manual_seed(seed)
    modes = {mode: ClassGenerator(mode, generator.num_classes, generator.beta) for mode in MODES}
    return {mode: [mix(features, features, rng)[1] for _ in range(steps)] for mode, mix in modes.items()}


def panels(seen, unseen, generator, seed):
    """The cosines of synthetic, seen and unseen classes for `aurl.figures.ablations.synthetic_class_cosines`.

    ``seen`` and ``unseen`` map data sets to class features (C, D); ``seen`` has a single entry. ``generator`` is the
    section of ``params.yaml``.
    """
    ((name, classes),) = _tensors(seen).items()
    unseen, made = _tensors(unseen), mixes(classes, generator, seed)
    found = {
        "between two synthetic classes\n(first: two seen classes)": {name: [pairs(classes)]}
        | {mode: [pairs(z) for z in draws] for mode, draws in made.items()},
        "synthetic class to nearest seen one\n(first: truly unseen classes)": {
            other: [nearest(features, classes)] for other, features in unseen.items()
        }
        | {mode: [nearest(z, classes) for z in draws] for mode, draws in made.items()},
        "unseen class to nearest synthetic one\n(first: to nearest seen one)": {
            name: [nearest(features, classes) for features in unseen.values()]
        }
        | {mode: [nearest(features, z) for features in unseen.values() for z in draws] for mode, draws in made.items()},
    }
    return {
        title: {group: torch.cat(values).numpy() for group, values in groups.items()} for title, groups in found.items()
    }


def mean_cosines(features, generator, seed):
    """The mean cosine between two seen classes with ``features`` (C, D), and between two synthetic ones of each mode.

    Columns: ``length of the classes' mean`` (0 for classes spread evenly over the sphere, 1 for collapsed classes),
    ``seen`` and every mode. A second row replaces the seen classes by as many orthogonal ones.
    """
    seen = torch.as_tensor(features)
    rows = {"the trained model's classes": seen, "as many orthogonal classes": torch.eye(len(seen))}
    table = {}
    for name, own in rows.items():
        own = unit(own)
        table[name] = {"length of the classes' mean": own.mean(dim=0).norm().item(), "seen": pairs(own).mean().item()}
        for mode, draws in mixes(own, generator, seed).items():
            table[name][mode] = torch.cat([pairs(z) for z in draws]).mean().item()
    return pd.DataFrame(table).T


def pairs(features):
    """Cosine of every two classes (C, D), (C * (C - 1) / 2,)."""
    first, second = torch.triu_indices(len(features), len(features), 1)
    return cosines(features, features)[first, second]


def nearest(features, others):
    """Cosine of every class (C, D) with the nearest of the others (U, D), (C,)."""
    return cosines(features, others).max(dim=1).values


def _tensors(sets):
    return {name: torch.as_tensor(features) for name, features in sets.items()}
