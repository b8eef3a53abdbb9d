"""The two encoders that AURL trains together.

Videos go through a backbone (`aurl.backbones`), R(2+1)D-18 in the paper, and a projection. Class names, as word
vectors, go through one linear layer and a projection of the same shape. Sizes are those of the released code at
width 64, depth 2, hidden 2048, dim 2048, word_hidden 512. ``build`` makes such a pair from the ``model`` section of
params.yaml.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from aurl import UserError, backbones
from aurl.losses import unit


class Settings(Protocol):
    """The ``model`` section of params.yaml, as far as `build` reads it."""

    backbone: str  # one of `aurl.backbones.NAMES`
    width: int  # channels of the first stage of r2plus1d; later ones have 2, 4 and 8 times as many
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


class Attention(nn.Module):
    """Soft attention over the K clips of a video: features (N, K, F) -> their weighted mean (N, 1, F).

    The weights of a video's clips are the softmax of what two small layers say of each.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(features, features // 2), nn.Tanh(), nn.Linear(features // 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        weights: Tensor = self.score(x).softmax(dim=1)  # (N, K, 1)
        return (weights * x).sum(dim=1, keepdim=True)


class Recurrent(nn.Module):
    """Two LSTM layers over the K clips in their order, then soft attention: features (N, K, F) -> (N, 1, F).

    After Action2Vec's encoder, whose second layer and attention also follow a first one.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(features, features, num_layers=2, batch_first=True)
        self.attention = Attention(features)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):  # which would mix bfloat16 features and float32 weights
            attended: Tensor = self.attention(self.lstm(x.to(torch.promote_types(x.dtype, torch.float32)))[0])
        return attended


class Instances(nn.Module):
    """A video as a bag of its K clips: features (N, K, F) -> how much of each learned part is in it, (N, 1, F).

    A part is in a video as far as it is in the clip that has most of it, which is the rule of multiple instances.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.parts = nn.Linear(features, features)

    def forward(self, x: Tensor) -> Tensor:
        parts: Tensor = self.parts(x).relu()
        return parts.amax(dim=1, keepdim=True)


# "mean" leaves the clips apart, as `AURL.project` averages their projections.
POOLINGS: dict[str, Callable[[int], nn.Module]] = {
    "mean": nn.Identity,
    "attention": Attention,
    "recurrent": Recurrent,
    "instances": Instances,
}


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


class Attributes(nn.Module):
    """A video as the words that are seen in it: features (N, F) -> the weighted mean of V words' vectors (N, W).

    The weights of a video are scores, a softmax over the words. Their ``vectors`` (V, W) are no parameters; they are
    zero until they are set, and are kept with the weights.
    """

    vectors: Tensor

    def __init__(self, features: int, words: int, word_dim: int) -> None:
        super().__init__()
        self.scores = nn.Linear(features, words)
        self.register_buffer("vectors", torch.zeros(words, word_dim))

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.scores(x).softmax(dim=1)  # (N, V)
        return scores @ self.vectors.to(scores.dtype)


class Relation(nn.Module):
    """How well a video fits a class, learned in place of their cosine: (N, K, D), (C, D) -> scores (N, C) in [-1, 1].

    A class attends to those of the video's K segments that are most like it. Two layers then judge the product of what
    it attends to and the class itself, component by component. After TARN, in our reading (docs/rivals.md).
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.judge = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, 1), nn.Tanh())

    def forward(self, segments: Tensor, classes: Tensor) -> Tensor:
        with torch.autocast(segments.device.type, enabled=False):  # as for cosines
            segments, classes = unit(segments), unit(classes)
            weights = (10 * segments @ classes.T).softmax(dim=1)  # (N, K, C)
            attended = weights.transpose(1, 2) @ segments  # (N, C, D)
            products = attended * classes * classes.shape[1]  # whose mean is a cosine
            scores: Tensor = self.judge(products).squeeze(-1)
        return scores


class AURL(nn.Module):
    """Video encoder, class encoder and visual centers; made by `build`.

    In train mode BatchNorm normalizes videos over the batch and word vectors over the classes, as
    released. In eval mode both use their running statistics, so a class does not depend on the others.
    The model works under ``torch.autocast`` and in ``channels_last_3d``; features come out in float32.
    """

    def __init__(
        self, model: Settings, num_classes: int, word_dim: int, words: int, features: int | None = None
    ) -> None:
        super().__init__()
        _check(model, num_classes, word_dim, words)
        learned = model.semantic == "learned"
        self.features, self.dim = features, model.dim if learned else word_dim
        if features:  # computed elsewhere
            self.backbone: nn.Module = nn.Identity()
        else:
            self.backbone, features = backbones.build(model.backbone, model.width, model.depth)
        self.dropout = BatchDropout(model.dropout)
        self.pooling = POOLINGS[model.pooling](features)
        heads: dict[str, Callable[[], nn.Module]] = {
            "mlp": lambda: mlp(features, model.hidden, self.dim),
            "linear": lambda: nn.Linear(features, self.dim),
            "attributes": lambda: Attributes(features, words, self.dim),
        }
        self.projection = heads[model.projection]()
        self.class_encoder = (
            nn.Sequential(nn.Linear(word_dim, model.word_hidden), *mlp(model.word_hidden, model.hidden, self.dim))
            if learned
            else nn.Identity()
        )
        self.centers = nn.Parameter(torch.rand(num_classes, self.dim))  # U[0, 1), as released
        self.relation = Relation(self.dim, model.hidden) if model.score == "relation" else None

    def forward(self, clips: Tensor, word_vectors: Tensor) -> dict[str, Tensor]:
        """What `aurl.losses.total` takes, in one call.

        Clips (N, K, 3, T, H, W) and word vectors (C, W) -> ``projected`` videos (N, D), the features ``classes`` (C, D)
        of names, the visual ``centers`` (C, D) and, where they are learned, the ``scores`` (N, C) of `Relation`.
        """
        segments, classes = self.segments(clips), self.encode_class(word_vectors)
        found = {"projected": segments.mean(dim=1), "classes": classes, "centers": self.centers}
        return found | ({"scores": self.relation(segments, classes)} if self.relation else {})

    def project(self, clips: Tensor) -> Tensor:
        """Clips (N, K, 3, T, H, W) -> (N, D): `segments`, averaged.

        The average is over raw projections, as the released code normalizes only inside the cosine.
        E2E averages the backbone's features before its regressor. This is the same here, as the
        regressor (``projection: linear``) is affine.
        """
        return self.segments(clips).mean(dim=1)

    def segments(self, clips: Tensor) -> Tensor:
        """Clips (N, K, 3, T, H, W) -> (N, K, D): projected clip by clip.

        Any ``pooling`` but "mean" makes one feature of the K clips' before the projection, which then projects a video
        once: (N, 1, D). A model of features takes (N, K, F), with a vector of F numbers in place of a clip. Raises
        ValueError for other shapes.
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
        """Clips (N, K, 3, T, H, W) -> unit-length features (N, D): `project`, normalized.

        With ``score`` "relation", whose scores need every segment, they are (N, K, D): `segments`, normalized.
        """
        return unit(self.segments(clips) if self.relation else self.project(clips))

    def encode_class(self, word_vectors: Tensor) -> Tensor:
        """Word vectors (C, W) -> unit-length features (C, D); ``semantic: fixed`` only normalizes them."""
        if word_vectors.ndim != 2:
            raise ValueError(f"Word vectors must be (C, W), not {tuple(word_vectors.shape)}.")
        return unit(self.class_encoder(word_vectors))


def build(model: Settings, num_classes: int, word_dim: int, words: int = 0, features: int | None = None) -> AURL:
    """An AURL with fresh weights from torch's global random numbers.

    ``features`` is F, the dimension of features that were computed elsewhere. The model then takes these in place of
    clips and has no video backbone; ``backbone``, ``width`` and ``depth`` are not read.
    With ``model.semantic`` "fixed", D is ``word_dim``, and ``dim`` and ``word_hidden`` are not read. With
    ``model.projection`` "attributes", which needs these fixed word vectors, a video is told by ``words`` words, whose
    vectors are then set (`Attributes`). Raises UserError for a size below 1 and for an unknown ``backbone``,
    ``projection``, ``semantic``, ``pooling`` or ``score``.

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
        "pooling": tuple(POOLINGS),
        "score": ("cosine", "relation"),
    }
    for name, known in choices.items():
        if getattr(model, name) not in known:
            raise UserError(f"The model's {name} must be {' or '.join(known)}, not {getattr(model, name)!r}.")
    if model.projection == "attributes" and (model.semantic != "fixed" or words < 1):
        raise UserError("The model's projection attributes needs semantic fixed and a vocabulary of one word or more.")
