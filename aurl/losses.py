r"""The losses of AURL and of the methods it is compared with.

Notation, in code as in formulas: N videos with features ``video`` :math:`v_i` (N, D), C seen classes
whose names have the features ``classes`` :math:`s_c` (C, D), learned visual ``centers`` :math:`w_c`
(C, D), ``labels`` :math:`y_i` (N,) in [0, C), and ``scale`` :math:`\lambda` = 10, the inverse
temperature. Every cosine normalizes its own arguments, so features may have any length. Every loss is
a scalar, a mean over videos or over synthetic classes.

Formulas and weights are those of the released code. Arithmetic is float32 inside autocast, and
float64 stays float64. Score matrices are (N, C) and (U, U).
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from aurl import UserError

ClassMixer = Callable[[Tensor, Tensor, Generator | None], tuple[Tensor, Tensor]]  # see aurl.generator
AURL_TERMS = ("semantic", "visual", "synthetic")
NAMELESS = {"visual", "center"}  # terms that use no class names


def unit(features: Tensor) -> Tensor:
    """Features (..., D) at unit length, in float32 or better; a zero vector stays zero.

    >>> unit(torch.tensor([[3.0, 4.0]]))
    tensor([[0.6000, 0.8000]])
    """
    return F.normalize(features.to(torch.promote_types(features.dtype, torch.float32)), dim=-1)


def cosines(video: Tensor, classes: Tensor) -> Tensor:
    """Cosine of every video with every class: (N, D), (C, D) -> (N, C), in [-1, 1]."""
    _check(video, classes)
    with torch.autocast(video.device.type, enabled=False):  # it would multiply in bfloat16
        return unit(video) @ unit(classes).T


def alignment(video: Tensor, classes: Tensor, labels: Tensor, scale: float = 10.0) -> Tensor:
    r"""Minus the scaled cosine of videos and their own class: the first half of the contrastive loss.

    .. math:: -\lambda \, \frac1N \sum_i \cos(v_i, s_{y_i}) \quad \in [-\lambda, \lambda]

    Raises ValueError where shapes or labels do not fit.

    >>> alignment(torch.eye(3), torch.eye(3), torch.arange(3))
    tensor(-10.)
    """
    _check(video, classes, labels)
    return -scale * (unit(video) * unit(classes[labels])).sum(dim=-1).mean()


def uniformity(video: Tensor, classes: Tensor, scale: float = 10.0, among: Tensor | None = None) -> Tensor:
    r"""The density of classes around the videos: the second half of the contrastive loss.

    .. math:: \frac1N \sum_i \log \sum_c \exp(\lambda \cos(v_i, s_c))
              \quad \in [\log C - \lambda, \log C + \lambda]

    It does not depend on labels. ``among`` (N, C) bool restricts each video's sum to the classes for which it is True,
    one or more per video. Raises ValueError where shapes do not fit.

    >>> bool(uniformity(torch.eye(3), torch.eye(3)).isclose((torch.tensor(10.0).exp() + 2).log()))
    True
    """
    scores = scale * cosines(video, classes)
    if among is not None:
        if among.shape != scores.shape:
            raise ValueError(f"Each video's classes must be {tuple(scores.shape)}, not {tuple(among.shape)}.")
        scores = scores.masked_fill(~among, -torch.inf)
    return torch.logsumexp(scores, dim=1).mean()


def contrastive(
    video: Tensor,
    classes: Tensor,
    labels: Tensor,
    scale: float = 10.0,
    uniformity_weight: float = 1.0,
    among: Tensor | None = None,
) -> Tensor:
    r"""The supervised contrastive loss, alignment plus weighted uniformity.

    .. math:: L = \underbrace{-\lambda \cos(v_i, s_{y_i})}_{\text{alignment}}
              + \underbrace{\log \sum_c \exp(\lambda \cos(v_i, s_c))}_{\text{uniformity}}

    With weight 1 this is the cross-entropy of the scores :math:`\lambda\cos`, so it is never
    negative. With class-name features as ``classes`` it is the paper's :math:`L_S`, with visual
    centers :math:`L_C`. ``among`` is passed to `uniformity`. Raises ValueError where shapes or labels do not fit.

    >>> contrastive(torch.eye(2), torch.ones(2, 2), torch.tensor([0, 1]))  # log 2: all classes equal
    tensor(0.6931)
    """
    return alignment(video, classes, labels, scale) + uniformity_weight * uniformity(video, classes, scale, among)


def synthetic(
    classes: Tensor,
    centers: Tensor,
    generator: ClassMixer,
    scale: float = 10.0,
    rng: Generator | None = None,
    uniformity_weight: float = 1.0,
) -> Tensor:
    r"""The contrastive loss :math:`L_{US}` on U synthetic classes, which every call draws anew.

    .. math:: L_{US} = -\frac1U \sum_u \log
              \frac{\exp(\lambda\cos(z_u, \theta_u))}{\sum_k \exp(\lambda\cos(z_u, \theta_k))}

    ``generator`` mixes centers to :math:`\theta` and class features to :math:`z` with the same
    weights (see `aurl.generator`), drawn from the torch.Generator ``rng``. Gradients reach both.
    """
    theta, z = generator(centers, classes, rng)
    return contrastive(z, theta, torch.arange(len(z), device=z.device), scale, uniformity_weight)


def total(
    terms: Sequence[str],
    *,
    projected: Tensor,
    classes: Tensor,
    centers: Tensor,
    labels: Tensor,
    generator: ClassMixer | None = None,
    rng: Generator | None = None,
    scale: float = 10.0,
    uniformity_weight: float = 1.0,
    margin: float = 0.1,
    among: Tensor | None = None,
    scores: Tensor | None = None,
) -> dict[str, Tensor]:
    r"""The sum of the chosen ``terms``, each with weight 1: the objective of a training step.

    ========================  ==============================================================
    ``"semantic"``            :math:`L_S`, contrastive with the class names' features
    ``"visual"``              :math:`L_C`, contrastive with the visual centers
    ``"synthetic"``           :math:`L_{US}`, needs ``generator`` and draws from ``rng``
    ``"alignment"``           only the first half of :math:`L_S`
    ``"regression"``          E2E's mean squared error
    ``"ranking"``             hinge with ``margin``
    ``"center"``              center loss on the visual centers
    ``"relation"``            contrastive with learned scores, needs ``scores`` (N, C)
    ========================  ==============================================================

    ``projected`` (N, D) are the video features before normalization; only the regression depends on
    their length. ``uniformity_weight`` applies to semantic, visual and synthetic. ``among`` (N, C) bool,
    the classes that each video competes with, applies to the first two.

    Returns a dict of scalars: ``"total"``, every chosen term and, to compare any two variants, the
    ``"alignment"`` and ``"uniformity"`` of videos and class names, detached unless chosen.

    Raises UserError if there is no term, if one is unknown or repeated, or if its generator or scores
    are missing. Raises ValueError where shapes or labels do not fit.
    """
    aligned, uniform = alignment(projected, classes, labels, scale), uniformity(projected, classes, scale)
    spread = uniform if among is None else uniformity(projected, classes, scale, among)

    def mixed() -> Tensor:
        if generator is None:
            raise UserError("The loss term 'synthetic' needs a class generator: choose a generator mode.")
        return synthetic(classes, centers, generator, scale, rng, uniformity_weight)

    def related() -> Tensor:
        if scores is None:
            raise UserError("The loss term 'relation' needs learned scores: set model.score to relation.")
        return relation(scores, labels, scale)

    losses: dict[str, Callable[[], Tensor]] = {
        "semantic": lambda: aligned + uniformity_weight * spread,
        "visual": lambda: contrastive(projected, centers, labels, scale, uniformity_weight, among),
        "synthetic": mixed,
        "alignment": lambda: aligned,
        "regression": lambda: regression(projected, classes, labels),
        "ranking": lambda: ranking(projected, classes, labels, margin),
        "center": lambda: center(projected, centers, labels),
        "relation": related,
    }
    unknown = [term for term in terms if term not in losses]
    if unknown or not terms or len(set(terms)) < len(terms):
        raise UserError(f"The loss terms {list(terms)} must be one or more of {', '.join(losses)}, each once.")
    chosen = {term: losses[term]() for term in terms}
    monitors = {"alignment": aligned.detach(), "uniformity": uniform.detach()}
    return {"total": sum(chosen.values(), start=aligned.new_zeros(()))} | monitors | chosen


def aurl(
    video: Tensor,
    classes: Tensor,
    centers: Tensor,
    labels: Tensor,
    generator: ClassMixer,
    scale: float = 10.0,
    rng: Generator | None = None,
    uniformity_weight: float = 1.0,
) -> dict[str, Tensor]:
    r"""AURL's whole objective, :math:`L_S + L_C + L_{US}`; returns what `total` returns."""
    return total(
        AURL_TERMS,
        projected=video,
        classes=classes,
        centers=centers,
        labels=labels,
        generator=generator,
        rng=rng,
        scale=scale,
        uniformity_weight=uniformity_weight,
    )


# Losses that only the compared methods need. They stay in this file, because `total` sums them.


def regression(projected: Tensor, classes: Tensor, labels: Tensor) -> Tensor:
    r"""E2E's loss: the squared error of the raw, *not* normalized projection from its class's unit word vector.

    .. math:: \frac{1}{ND} \sum_i \lVert p_i - s_{y_i} / \lVert s_{y_i} \rVert \rVert^2

    The mean is over dimensions, too, as in E2E's code. Raises ValueError where shapes or labels do not fit.
    """
    _check(projected, classes, labels)
    target = unit(classes[labels])
    return F.mse_loss(projected.to(target.dtype), target)


def ranking(video: Tensor, classes: Tensor, labels: Tensor, margin: float = 0.1) -> Tensor:
    r"""A ranking loss like Action2Vec's: every wrong class must score a margin below the right one.

    .. math:: \frac1N \sum_i \sum_{c \ne y_i} \max(0, m - \cos(v_i, s_{y_i}) + \cos(v_i, s_c))

    The hinge over wrong classes is Action2Vec's. The sum of violations, the cosines and :math:`m` = 0.1
    are our choice. Raises ValueError where shapes or labels do not fit.

    >>> ranking(torch.eye(3), torch.eye(3), torch.arange(3), margin=1.5)  # two wrong classes each
    tensor(1.)
    """
    _check(video, classes, labels)
    scores, right = cosines(video, classes), labels[:, None]
    violations = (margin - scores.gather(1, right) + scores).clamp(min=0)
    return violations.scatter(1, right, 0.0).sum(dim=1).mean()


def center(video: Tensor, centers: Tensor, labels: Tensor) -> Tensor:
    r"""Center loss: the squared distance of a video from the visual center of its class.

    .. math:: \frac1N \sum_i \lVert v_i/\lVert v_i\rVert - w_{y_i}/\lVert w_{y_i}\rVert \rVert^2
              \quad \in [0, 4]

    Normalizing both is our choice: otherwise the length of the features would decide the weight of the
    term. Raises ValueError where shapes or labels do not fit.
    """
    _check(video, centers, labels)
    return (unit(video) - unit(centers[labels])).square().sum(dim=-1).mean()


def relation(scores: Tensor, labels: Tensor, scale: float = 10.0) -> Tensor:
    r"""The supervised contrastive loss on learned ``scores`` (N, C) in [-1, 1], in place of the cosines.

    .. math:: \frac1N \sum_i \left(-\lambda r_{i y_i} + \log \sum_c \exp(\lambda r_{ic})\right)

    `aurl.rivals.Relation` computes the scores. TARN trains them in episodes of a few classes; we sum over all classes,
    like every other loss here. Raises ValueError where shapes or labels do not fit.
    """
    _check(scores, scores.new_zeros(scores.shape[-1:] * 2), labels)
    return F.cross_entropy(scale * scores, labels)


def _check(video: Tensor, classes: Tensor, labels: Tensor | None = None) -> None:
    if video.ndim != 2 or classes.ndim != 2 or video.shape[1] != classes.shape[1]:
        raise ValueError(f"Features must be (N, D) and (C, D), not {tuple(video.shape)} and {tuple(classes.shape)}.")
    if not len(video) or not len(classes):
        raise ValueError("A loss needs at least one video and one class.")
    if labels is None:
        return
    if labels.shape != video.shape[:1] or labels.dtype != torch.int64:
        raise ValueError(f"Labels must be ({len(video)},) int64, not {tuple(labels.shape)} {labels.dtype}.")
    if labels.min() < 0 or labels.max() >= len(classes):  # -1 would silently mean the last class
        raise ValueError(f"Labels must lie in [0, {len(classes)}), not in [{labels.min()}, {labels.max()}].")
