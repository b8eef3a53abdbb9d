"""Video encoders of ``aurl features``, by name: clips (N, T, H, W, 3) uint8 -> vectors (N, F).

    r2plus1d_18                       a video network of torchvision, with a file of its weights
    /data/clip-vit-base-patch32       a folder with a model of transformers: CLIP, X-CLIP, VideoMAE and others
    PACKAGE.MODULE:FUNCTION           a function of your own; FUNCTION(ARGUMENT) passes it a text

CLIP and other image encoders see single frames: a clip's vector is the mean of its frames' unit vectors.
"""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aurl import UserError, backbones
from aurl.text import Encoder as TextEncoder
from aurl.text.encoders import loading
from aurl.training import checkpoints

NETWORKS = tuple(name for name in backbones.NAMES if name != "r2plus1d")
# Frames and stride of a clip, by the first part of a network's name. They follow torchvision's evaluation on videos of
# 30 frames per second (except that s3d saw 128 frames) and VideoMAE's authors.
FRAMES = 16
LONG = {"swin3d": 32}
STRIDES = {"r3d": 2, "mc3": 2, "r2plus1d": 2, "s3d": 2, "swin3d": 2, "mvit": 4, "videomae": 4}
IMAGE_FRAMES = 8  # frames of a clip, for an image encoder


class VideoEncoder(NamedTuple):
    """An encoder and the clips that it takes; see `open_encoder`."""

    name: str
    encode: Callable[[Tensor], Tensor]  # clips (N, T, H, W, 3) uint8 -> (N, F) float32, on one device
    network: nn.Module | None  # None for a function of the user's
    digest: str  # of the weights and their configuration, or of the function's source and arguments
    frames: int  # T
    stride: int | None  # between frames of a clip; None: clips fill their segment of the video
    size: int  # H and W, in pixels


def open_encoder(name: str, weights: str | None = None) -> VideoEncoder:
    """The encoder ``name``, on the CPU; ``weights`` is the file of a network of torchvision, None for others.

    Raises UserError for an unknown name, and for weights that are missing or of another network.
    """
    if weights is not None and name not in NETWORKS:
        raise UserError(f"--weights belongs to a network of torchvision, and {name} is none: leave it out.")
    if name in NETWORKS:
        return _torchvision(name, weights)
    if os.path.isdir(name):
        return _transformers(name)
    if ":" in name:
        return _function(name)
    raise UserError(
        f"there is no encoder {name}: give a folder with a model of transformers, MODULE:FUNCTION, or "
        f"{', '.join(NETWORKS)}."
    )


def _torchvision(name, weights):
    from torchvision.models import get_model_weights  # imports torch's compiler

    if weights is None:
        raise UserError(f"{name} needs weights: add --weights FILE, a state dict of torchvision's {name}.")
    network, _ = backbones.build(name, 1, 1)
    checkpoints.load_backbone(network, weights)
    family = name.partition("_")[0]
    inputs = get_model_weights(name).DEFAULT.transforms()  # constants; nothing is downloaded

    def encode(clips):
        return network(normalized(clips, inputs.mean, inputs.std).transpose(1, 2)).float()

    frames, size = LONG.get(family, FRAMES), inputs.crop_size[0]
    return VideoEncoder(name, encode, network.eval(), _digest(network), frames, STRIDES[family], size)


def _transformers(folder):
    with loading(f"the encoder {folder}", "config.json, the weights and preprocessor_config.json"):
        import transformers

        about = json.loads(Path(folder, "config.json").read_text())
        kind, vision = about["model_type"], about.get("vision_config", about)
        inputs = transformers.AutoImageProcessor.from_pretrained(folder, local_files_only=True)
        mean, std = list(inputs.image_mean), list(inputs.image_std)
        if any(name.endswith("ForVideoClassification") for name in about.get("architectures") or []):
            model = transformers.AutoModelForVideoClassification.from_pretrained(folder, local_files_only=True)
            model.classifier = nn.Identity()  # the classifier's input is the features
        else:
            model = transformers.AutoModel.from_pretrained(folder, local_files_only=True)
        size = int(vision["image_size"])
        digest = _digest(model, *(path.read_bytes() for path in sorted(Path(folder).glob("*.json"))))
    frames = vision.get("num_frames")
    images = frames is None  # an image encoder
    model = model.float().eval()  # weights can be saved in half precision

    def encode(clips):
        pixels = normalized(clips, mean, std)  # (N, T, 3, H, W)
        if not images:
            return _features(model, pixels).float()
        vectors = F.normalize(_features(model, pixels.flatten(0, 1)).float(), dim=-1)
        return vectors.unflatten(0, pixels.shape[:2]).mean(dim=1)

    return VideoEncoder(folder, encode, model, digest, frames or IMAGE_FRAMES, STRIDES.get(kind), size)


def _features(model, pixels):
    """A model's features (N, F) of clips (N, T, 3, H, W) or images (N, 3, H, W)."""
    for name in ("get_image_features", "get_video_features"):
        if hasattr(model, name):
            found = getattr(model, name)(pixel_values=pixels)
            return found if isinstance(found, Tensor) else found.pooler_output  # a tensor before version 5
    found = model(pixel_values=pixels)
    return found.logits if hasattr(found, "logits") else found.last_hidden_state.mean(dim=1)


def _function(name):
    found = TextEncoder(name)  # imports a video function in the same way
    digest = hashlib.sha256(name.encode())
    for path in (getattr(found.module, "__file__", ""), *found.arguments):  # an argument may name files
        for file in sorted(Path(path).rglob("*")) if os.path.isdir(path) else [path]:
            if os.path.isfile(file):
                digest.update(Path(file).read_bytes())

    def encode(clips):
        return torch.as_tensor(found.call(clips.cpu().numpy()))

    return VideoEncoder(name, encode, None, digest.hexdigest(), FRAMES, None, 224)


def normalized(clips: Tensor, mean: list[float], std: list[float]) -> Tensor:
    """(N, T, H, W, 3) uint8 RGB -> (N, T, 3, H, W) float32: (clips / 255 - mean) / std.

    >>> normalized(torch.full((1, 1, 1, 1, 3), 255, dtype=torch.uint8), [0.5] * 3, [0.25] * 3).unique()
    tensor([2.])
    """
    shift, scale = (torch.tensor(values, device=clips.device)[:, None, None] for values in (mean, std))
    return (clips.movedim(-1, 2).float() / 255 - shift) / scale


def _digest(network, *others):
    """The SHA-256 of a network's weights and of ``others``, bytes, in hexadecimal."""
    found = hashlib.sha256(b"".join(others))
    for name, weight in sorted(network.state_dict().items()):
        found.update(f"{name} {tuple(weight.shape)} {weight.dtype}".encode())
        found.update(weight.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
