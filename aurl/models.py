"""The two encoders that AURL trains together.

Videos go through R(2+1)D-18, built here from torchvision's own blocks so that its width and depth
can shrink, and a projection. Class names, as word vectors, go through one linear layer and a projection
of the same shape. Sizes are those of the released code at width 64, depth 2, hidden 2048, dim 2048,
word_hidden 512. ``build`` makes such a pair from the ``model`` section of params.yaml.
"""

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.video.resnet import BasicBlock, Conv2Plus1D

from aurl import UserError
from aurl.losses import unit


class Settings(Protocol):
    """The ``model`` section of params.yaml, as far as `build` reads it."""

    width: int  # channels of the first stage; later ones have 2, 4 and 8 times as many
    depth: int  # residual blocks per stage
    hidden: int  # width of both MLPs
    dim: int  # D, the dimension of the features
    word_hidden: int  # width of the class encoder's first layer
    dropout: float  # share of backbone features dropped in training
    projection: str  # the video head: "mlp", or "linear" as E2E's
    semantic: str  # class features: "learned", or "fixed", the word vectors themselves


class _TemporalConv(nn.Conv3d):
    """torchvision's (3, 1, 1) convolution, padded beforehand where a clip has only two frames left.

    There, oneDNN never writes the bfloat16 weight gradient of the padded convolution: torch 2.14 on the
    CPU gives a relative error of 1 and sometimes NaN. Two frames with padding are the only such case.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] != 2:
            return super().forward(x)
        return F.conv3d(F.pad(x, (0, 0, 0, 0, 1, 1)), self.weight, stride=self.stride)


class _Conv2Plus1D(Conv2Plus1D):  # type: ignore[misc]  # torchvision has no types
    def __init__(self, *sizes: int) -> None:
        super().__init__(*sizes)
        self[3].__class__ = _TemporalConv  # same parameters under the same names


class BatchDropout(nn.Dropout):
    """Dropout whose mask is drawn for ``whole`` rows, of which the input's are those from row ``first`` on.

    So processes that share a batch, or passes over its parts, drop the same as one pass would, given the same random
    numbers. While ``whole`` is ``None``, the input is everything.
    """

    whole: int | None = None
    first = 0

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.whole is None:
            return super().forward(x)
        mask = super().forward(x.new_ones(self.whole, *x.shape[1:]))
        return x * mask[self.first : self.first + len(x)]


class Backbone(nn.Module):
    """R(2+1)D of any width and depth: clips (N, 3, T, H, W) -> features (N, 8 * width).

    Width 64 and depth 2 are torchvision's ``r2plus1d_18`` without its classifier, name for name.
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        middle = max(1, 45 * width // 64)  # torchvision's stem has 45 for 64
        self.stem = nn.Sequential(
            nn.Conv3d(3, middle, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False),
            nn.BatchNorm3d(middle),
            nn.ReLU(inplace=True),
            nn.Conv3d(middle, width, (3, 1, 1), padding=(1, 0, 0), bias=False),
            nn.BatchNorm3d(width),
            nn.ReLU(inplace=True),
        )
        self.layer1 = self._stage(width, width, depth, stride=1)
        self.layer2 = self._stage(width, 2 * width, depth, stride=2)
        self.layer3 = self._stage(2 * width, 4 * width, depth, stride=2)
        self.layer4 = self._stage(4 * width, 8 * width, depth, stride=2)
        self.avgpool = nn.AdaptiveAvgPool3d(1)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @staticmethod
    def _stage(before: int, after: int, depth: int, stride: int) -> nn.Sequential:
        shortcut = (
            None
            if stride == 1
            else nn.Sequential(nn.Conv3d(before, after, 1, stride, bias=False), nn.BatchNorm3d(after))
        )
        first = BasicBlock(before, after, _Conv2Plus1D, stride, shortcut)
        return nn.Sequential(first, *(BasicBlock(after, after, _Conv2Plus1D) for _ in range(depth - 1)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer4(self.layer3(self.layer2(self.layer1(self.stem(x)))))
        return torch.flatten(self.avgpool(x), 1)


def mlp(before: int, hidden: int, after: int) -> nn.Sequential:
    """Three linear layers, BatchNorm after each, ReLU after the first two: (N, before) -> (N, after)."""
    return nn.Sequential(
        nn.Linear(before, hidden),
        nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, hidden),
        nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, after),
        nn.BatchNorm1d(after),
    )


class AURL(nn.Module):
    """Video encoder, class encoder and visual centers; made by `build`.

    In train mode BatchNorm normalizes videos over the batch and word vectors over the classes, as
    released. In eval mode both use their running statistics, so a class does not depend on the others.
    The model works under ``torch.autocast`` and in ``channels_last_3d``; features come out in float32.
    """

    def __init__(self, model: Settings, num_classes: int, word_dim: int, features: int | None = None) -> None:
        super().__init__()
        _check(model, num_classes, word_dim)
        learned = model.semantic == "learned"
        self.features, self.dim = features, model.dim if learned else word_dim
        self.backbone = nn.Identity() if features else Backbone(model.width, model.depth)
        features = features or 8 * model.width
        self.dropout = BatchDropout(model.dropout)
        self.projection = (
            mlp(features, model.hidden, self.dim) if model.projection == "mlp" else nn.Linear(features, self.dim)
        )
        self.class_encoder = (
            nn.Sequential(nn.Linear(word_dim, model.word_hidden), *mlp(model.word_hidden, model.hidden, self.dim))
            if learned
            else nn.Identity()
        )
        self.centers = nn.Parameter(torch.rand(num_classes, self.dim))  # U[0, 1), as released

    def forward(self, clips: Tensor, word_vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the losses take, in one call.

        Clips (N, K, 3, T, H, W) and word vectors (C, W) -> projected videos (N, D), class features (C, D)
        and visual centers (C, D).
        """
        return self.project(clips), self.encode_class(word_vectors), self.centers

    def project(self, clips: Tensor) -> Tensor:
        """Clips (N, K, 3, T, H, W) -> (N, D): projected clip by clip, averaged over the K clips.

        The average is over raw projections, as the released code normalizes only inside the cosine.
        E2E averages the backbone's features before its regressor. This is the same here, as the
        regressor (``projection: linear``) is affine. A model of features takes (N, K, F), with a vector
        of F numbers in place of a clip. Raises ValueError for other shapes.
        """
        expected = (3, self.features, "(N, K, F)") if self.features else (6, 3, "(N, K, 3, T, H, W)")
        if (clips.ndim, *clips.shape[2:3]) != expected[:2] or not clips.shape[1]:
            raise ValueError(f"Clips must be {expected[2]}, not {tuple(clips.shape)}.")
        x: Tensor = self.projection(self.dropout(self.backbone(clips.flatten(0, 1))))  # (N * K, D)
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        return x.reshape(len(clips), -1, self.dim).mean(dim=1)  # over the clips of a video

    def encode_video(self, clips: Tensor) -> Tensor:
        """Clips (N, K, 3, T, H, W) -> unit-length features (N, D): `project`, normalized."""
        return unit(self.project(clips))

    def encode_class(self, word_vectors: Tensor) -> Tensor:
        """Word vectors (C, W) -> unit-length features (C, D); ``semantic: fixed`` only normalizes them."""
        if word_vectors.ndim != 2:
            raise ValueError(f"Word vectors must be (C, W), not {tuple(word_vectors.shape)}.")
        return unit(self.class_encoder(word_vectors))


def build(model: Settings, num_classes: int, word_dim: int, features: int | None = None) -> AURL:
    """An AURL with fresh weights from torch's global random numbers.

    ``features`` is F, the dimension of features that were computed elsewhere. The model then takes these in
    place of clips and has no video backbone; ``width`` and ``depth`` are not read.
    With ``model.semantic`` "fixed", D is ``word_dim``, and ``dim`` and ``word_hidden`` are not read.
    Raises UserError for a size below 1 and for an unknown ``projection`` or ``semantic``.

    >>> from types import SimpleNamespace
    >>> tiny = SimpleNamespace(width=4, depth=1, hidden=8, dim=6, word_hidden=5, dropout=0.0,
    ...                        projection="mlp", semantic="learned")
    >>> build(tiny, num_classes=3, word_dim=7).encode_video(torch.rand(2, 1, 3, 4, 16, 16)).shape
    torch.Size([2, 6])
    """
    return AURL(model, num_classes, word_dim, features)


def _check(model: Settings, num_classes: int, word_dim: int) -> None:
    sizes = {name: getattr(model, name) for name in ("width", "depth", "hidden", "dim", "word_hidden")}
    for name, size in (sizes | {"num_classes": num_classes, "word_dim": word_dim}).items():
        if size < 1:
            raise UserError(f"The model's {name} must be 1 or more, not {size}.")
    for name, choices in (("projection", ("mlp", "linear")), ("semantic", ("learned", "fixed"))):
        if getattr(model, name) not in choices:
            raise UserError(f"The model's {name} must be {' or '.join(choices)}, not {getattr(model, name)!r}.")
