"""The two encoders that AURL trains together.

A video goes through a backbone (`aurl.backbones`), R(2+1)D-18 in the paper, and a projection. A class name, as a word
vector, goes through one linear layer and a projection of the same shape. The released code has width 64, depth 2,
hidden 2048, dim 2048 and word_hidden 512. ``build`` makes both from the ``model`` section of params.yaml.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from aurl import UserError, backbones, rivals
from aurl.losses import unit


class Settings(Protocol):
    """The part of params.yaml's ``model`` section that `build` reads."""

    backbone: str  # one of `aurl.backbones.NAMES`
    width: int  # channels of the first stage of r2plus1d; later stages have 2, 4 and 8 times this number
    depth: int  # residual blocks per stage of r2plus1d
    hidden: int  # width of both MLPs
    dim: int  # D, the dimension of the features
    word_hidden: int  # width of the class encoder's first layer
    dropout: float  # share of backbone features dropped in training
    pooling: str  # how a video's clips become one: "mean", "attention", "recurrent" or "instances"
    projection: str  # the video head: "mlp", "linear" as E2E's, or "attributes"
    semantic: str  # class features: "learned", or "fixed", the word vectors themselves
    score: str  # how well a video fits a class: their "cosine", or a learned "relation"


class BatchDropout(nn.Dropout):
    """Dropout that draws one mask for a whole batch and applies the rows of the part at hand.

    Processes and micro-batches that share a batch then drop what a single pass would, given the same random numbers.
    ``batch_rows`` is the number of rows of the batch, and the input's first row is number ``first_row`` of it. While
    ``batch_rows`` is ``None``, the input is the whole batch.
    """

    batch_rows: int | None = None
    first_row = 0

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.batch_rows is None:
            return super().forward(x)
        mask = super().forward(x.new_ones(self.batch_rows, *x.shape[1:]))
        return x * mask[self.first_row : self.first_row + len(x)]


def mlp(before: int, hidden: int, after: int) -> nn.Sequential:
    """Three linear layers with BatchNorm after each and ReLU after the first two: (N, before) -> (N, after)."""
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

    In train mode BatchNorm normalizes videos over the batch and word vectors over the classes, as in the released code.
    In eval mode both use running statistics, so the feature of a class does not depend on the other classes. The model
    works under ``torch.autocast`` and in ``channels_last_3d``; features come out in float32.
    """

    def __init__(
        self, model: Settings, num_classes: int, word_dim: int, words: int, features: int | None = None
    ) -> None:
        super().__init__()
        _check(model, num_classes, word_dim, words)
        learned = model.semantic == "learned"
        self.features, self.dim = features, model.dim if learned else word_dim
        if features:  # precomputed, so there is no backbone
            self.backbone: nn.Module = nn.Identity()
        else:
            self.backbone, features = backbones.build(model.backbone, model.width, model.depth)
        self.dropout = BatchDropout(model.dropout)
        self.pooling = rivals.POOLINGS[model.pooling](features)
        heads: dict[str, Callable[[], nn.Module]] = {
            "mlp": lambda: mlp(features, model.hidden, self.dim),
            "linear": lambda: nn.Linear(features, self.dim),
            "attributes": lambda: rivals.Attributes(features, words, self.dim),
        }
        self.projection = heads[model.projection]()
        self.class_encoder = (
            nn.Sequential(nn.Linear(word_dim, model.word_hidden), *mlp(model.word_hidden, model.hidden, self.dim))
            if learned
            else nn.Identity()
        )
        self.centers = nn.Parameter(torch.rand(num_classes, self.dim))  # U[0, 1), as in the released code
        self.relation = rivals.Relation(self.dim, model.hidden) if model.score == "relation" else None

    def forward(self, clips: Tensor, word_vectors: Tensor) -> dict[str, Tensor]:
        """Clips (N, K, 3, T, H, W) and word vectors (C, W) -> the inputs of `aurl.losses.total`, as a dict.

        ``projected`` (N, D) are the videos before normalization, ``classes`` (C, D) the features of the names,
        ``centers`` (C, D) the visual centers and, with a learned relation, ``scores`` (N, C) those of
        `aurl.rivals.Relation`.
        """
        segments, classes = self.segments(clips), self.encode_class(word_vectors)
        found = {"projected": segments.mean(dim=1), "classes": classes, "centers": self.centers}
        return found | ({"scores": self.relation(segments, classes)} if self.relation else {})

    def project(self, clips: Tensor) -> Tensor:
        """Clips (N, K, 3, T, H, W) -> (N, D): the mean of `segments` over a video's clips.

        The mean is over raw projections, because the released code normalizes only inside the cosine. E2E averages the
        backbone's features before its regressor; the result is the same, because that regressor
        (``projection: linear``) is affine.
        """
        return self.segments(clips).mean(dim=1)

    def segments(self, clips: Tensor) -> Tensor:
        """Clips (N, K, 3, T, H, W) -> (N, K, D): the projection of every clip.

        Every ``pooling`` but "mean" merges the K clips' features before the projection, which gives (N, 1, D). A model
        of precomputed features takes (N, K, F), one vector per clip. Raises ValueError for other shapes.
        """
        expected = (3, self.features, "(N, K, F)") if self.features else (6, 3, "(N, K, 3, T, H, W)")
        if (clips.ndim, *clips.shape[2:3]) != expected[:2] or not clips.shape[1]:
            raise ValueError(f"Clips must be {expected[2]}, not {tuple(clips.shape)}.")
        features = self.dropout(self.backbone(clips.flatten(0, 1)))  # (N * K, F)
        pooled = self.pooling(features.unflatten(0, clips.shape[:2]))  # (N, K, F), or (N, 1, F)
        x: Tensor = self.projection(pooled.flatten(0, 1))
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        return x.reshape(len(clips), -1, self.dim)

    def encode_video(self, clips: Tensor) -> Tensor:
        """Clips (N, K, 3, T, H, W) -> unit-length features (N, D) of videos.

        With ``score`` "relation", which scores every segment, they are (N, K, D).
        """
        return unit(self.segments(clips) if self.relation else self.project(clips))

    def encode_class(self, word_vectors: Tensor) -> Tensor:
        """Word vectors (C, W) -> unit-length features (C, D); ``semantic: fixed`` only normalizes them."""
        if word_vectors.ndim != 2:
            raise ValueError(f"Word vectors must be (C, W), not {tuple(word_vectors.shape)}.")
        return unit(self.class_encoder(word_vectors))


def build(model: Settings, num_classes: int, word_dim: int, words: int = 0, features: int | None = None) -> AURL:
    """Build an AURL with fresh weights from torch's global random numbers.

    Args:
        model: the ``model`` section of params.yaml. With ``semantic`` "fixed", D is ``word_dim``, and ``dim`` and
            ``word_hidden`` have no effect.
        num_classes: C, the number of training classes, 1 or more.
        word_dim: W, the dimension of word vectors.
        words: V, the vocabulary of the projection "attributes" (`aurl.rivals.Attributes`), which needs ``semantic``
            "fixed"; others do not read it.
        features: F, the dimension of precomputed features. The model then takes these in place of clips and has no
            backbone; ``backbone``, ``width`` and ``depth`` have no effect.

    Raises:
        UserError: for a size below 1, and for an unknown ``backbone``, ``projection``, ``semantic``, ``pooling`` or
            ``score``.

    >>> from types import SimpleNamespace
    >>> tiny = SimpleNamespace(backbone="r2plus1d", width=4, depth=1, hidden=8, dim=6, word_hidden=5, dropout=0.0,
    ...                        projection="mlp", semantic="learned", pooling="mean", score="cosine")
    >>> build(tiny, num_classes=3, word_dim=7).encode_video(torch.rand(2, 1, 3, 4, 16, 16)).shape
    torch.Size([2, 6])
    """
    return AURL(model, num_classes, word_dim, words, features)


def _check(model: Settings, num_classes: int, word_dim: int, words: int) -> None:
    sizes = {name: getattr(model, name) for name in ("width", "depth", "hidden", "dim", "word_hidden")}
    for name, size in (sizes | {"num_classes": num_classes, "word_dim": word_dim}).items():
        if size < 1:
            raise UserError(f"The model's {name} must be 1 or more, not {size}.")
    choices = {
        "projection": ("mlp", "linear", "attributes"),
        "semantic": ("learned", "fixed"),
        "pooling": tuple(rivals.POOLINGS),
        "score": ("cosine", "relation"),
    }
    for name, known in choices.items():
        if getattr(model, name) not in known:
            raise UserError(f"The model's {name} must be {' or '.join(known)}, not {getattr(model, name)!r}.")
    if model.projection == "attributes" and (model.semantic != "fixed" or words < 1):
        raise UserError("The model's projection attributes needs semantic fixed and a vocabulary of one word or more.")
