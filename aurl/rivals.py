"""Layers that only the compared methods need: `aurl.models` builds them where params.yaml asks for them.

docs/rivals.md describes the published method behind each layer, and our choices.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from aurl.losses import unit


class Attention(nn.Module):
    """Soft attention over the K clips of a video: features (N, K, F) -> their weighted mean (N, 1, F).

    Two small layers score each clip; the weights are the softmax of the scores over a video's clips.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(features, features // 2), nn.Tanh(), nn.Linear(features // 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        weights: Tensor = self.score(x).softmax(dim=1)  # (N, K, 1)
        return (weights * x).sum(dim=1, keepdim=True)


class Recurrent(nn.Module):
    """Action2Vec's encoder: two LSTM layers over the K clips in order, then soft attention, (N, K, F) -> (N, 1, F)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(features, features, num_layers=2, batch_first=True)
        self.attention = Attention(features)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):  # it would mix bfloat16 features with float32 weights
            attended: Tensor = self.attention(self.lstm(x.to(torch.promote_types(x.dtype, torch.float32)))[0])
        return attended


class Instances(nn.Module):
    """Multiple-instance pooling as in URL: features (N, K, F) -> the presence of each learned part, (N, 1, F).

    A video is a bag of K clips. A part's presence in the video is its maximum over the clips.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.parts = nn.Linear(features, features)

    def forward(self, x: Tensor) -> Tensor:
        parts: Tensor = self.parts(x).relu()
        return parts.amax(dim=1, keepdim=True)


# With "mean", clips are projected one by one, and `AURL.project` averages the projections.
POOLINGS: dict[str, Callable[[int], nn.Module]] = {
    "mean": nn.Identity,
    "attention": Attention,
    "recurrent": Recurrent,
    "instances": Instances,
}


class Attributes(nn.Module):
    """Describe a video by scored words: features (N, F) -> the weighted mean of V word vectors, (N, W).

    A video's weights are a softmax over the words. The word ``vectors`` (V, W) are a buffer, not a parameter: they are
    saved with the weights, and are zero until the training sets them.
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
    """A learned score of a video and a class, in place of their cosine: (N, K, D), (C, D) -> (N, C) in [-1, 1].

    Each class attends over the video's K segments; more similar segments weigh more. Two layers then score the
    elementwise product of the attended segment and the class. After TARN, in our reading (docs/rivals.md).
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.judge = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, 1), nn.Tanh())

    def forward(self, segments: Tensor, classes: Tensor) -> Tensor:
        with torch.autocast(segments.device.type, enabled=False):  # it would multiply in bfloat16
            segments, classes = unit(segments), unit(classes)
            weights = (10 * segments @ classes.T).softmax(dim=1)  # (N, K, C)
            attended = weights.transpose(1, 2) @ segments  # (N, C, D)
            products = attended * classes * classes.shape[1]  # whose mean is a cosine
            scores: Tensor = self.judge(products).squeeze(-1)
        return scores
