"""The authors' released checkpoints as our model."""

import argparse
import pickle
import re
from types import SimpleNamespace

import numpy as np
import torch

from aurl import UserError
from aurl.models import build
from aurl.project import config

# The checkpoints' input: consecutive frames, resized, neither cropped nor flipped.
CLIP = config.Clip(frames=16, segments=1, stride=1, size=112, crop="squash")
# The authors' training script saves options, an accuracy and learning rates with the weights. These include NumPy
# scalars, whose type NumPy 1 and 2 pickle under different names.
_SAVED_BESIDE = [
    argparse.Namespace,
    np.dtype,
    type(np.dtype("float64")),
    type(np.dtype("float32")),
    (np._core.multiarray.scalar, "numpy._core.multiarray.scalar"),
    (np._core.multiarray.scalar, "numpy.core.multiarray.scalar"),
]
# The released network saves every part twice, the second time within a sequence of backbone and projection.
_TWIN = re.compile(r"^encode(_words)?\.([01])\.")
_STAGES = ("stem", "layer1", "layer2", "layer3", "layer4")
_UNUSED = re.compile(r"(backbone\.)?regressor\.|classifier_txts\.")  # no feature depends on it


def load_released(path):
    """Load the authors' checkpoint, or another one of their training script, as an `aurl.models.AURL` in eval mode.

    Sizes follow from the weights. No code in the file is executed. Raises UserError for a file that is missing or of
    another layout, and for weights that are not finite or saved with two values.
    """
    try:
        with torch.serialization.safe_globals(_SAVED_BESIDE):
            saved = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
        weights, faults = _merged(saved)
        renamed = dict(_rename(name, weight) for name, weight in weights.items() if not _UNUSED.match(name))
        model = build(_sizes(renamed), len(renamed["centers"]), renamed["class_encoder.0.weight"].shape[1])
        model.load_state_dict(renamed)
    except FileNotFoundError:
        raise UserError(f"There is no checkpoint {path}; download it or correct the path.") from None
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} is not plain weights and was not read, as it could run code; use the authors' own file."
        ) from error
    except Exception as error:  # truncated and foreign files fail in many ways
        raise UserError(
            f"{path} is no released AURL checkpoint; use AURL662_checkpoint.pth.tar or AURL700's."
        ) from error
    if faults:
        raise UserError(f"{path} {faults[0]}; download the file again.")
    return model.eval()


def _merged(saved):
    """Every weight once, under the name of its part, and a list of faults in their values."""
    weights, faults = {}, []
    for name, weight in saved.items():
        name = name.removeprefix("module.")  # left by DistributedDataParallel
        name = _TWIN.sub(lambda found: f"{('backbone', 'projection')[int(found[2])]}{found[1] or ''}.", name)
        known = weights.setdefault(name, weight)
        if not weight.isfinite().all():
            faults.append(f"holds a weight in {name} that is not finite")
        elif not torch.equal(known, weight):
            faults.append(f"holds two different values of {name}")
    return weights, faults


def _rename(name, weight):
    if found := re.fullmatch(r"backbone\.model\.([0-4])\.(.+)", name):
        return f"backbone.{_STAGES[int(found[1])]}.{found[2]}", weight
    if found := re.fullmatch(r"backbone_words\.regressor\.(weight|bias)", name):
        return f"class_encoder.0.{found[1]}", weight
    if found := re.fullmatch(r"projection(_words)?\.l([123])\.([01])\.(\w+)", name):
        place = 3 * (int(found[2]) - 1) + int(found[3])  # a linear layer, its BatchNorm, a ReLU
        return (f"class_encoder.{place + 1}.{found[4]}" if found[1] else f"projection.{place}.{found[4]}"), weight
    if name == "classifier.weight":
        return "centers", weight
    raise KeyError(name)


def _sizes(weights):
    return SimpleNamespace(
        backbone="r2plus1d",
        width=weights["backbone.stem.3.weight"].shape[0],
        depth=len({name.split(".")[2] for name in weights if name.startswith("backbone.layer1.")}),
        hidden=weights["projection.0.weight"].shape[0],
        dim=weights["centers"].shape[1],
        word_hidden=weights["class_encoder.0.weight"].shape[0],
        dropout=0.05,
        projection="mlp",
        semantic="learned",
        pooling="mean",
        score="cosine",
    )
