r"""Synthetic classes, mixed from the seen ones, so that training also covers classes without videos.

A synthetic class has a visual center :math:`\theta_u` and a semantic feature :math:`z_u`, mixed with
the same weights from the visual centers and the class-name features of the seen classes. The paper's
text interpolates and extrapolates classes. The released code mixes all classes at once with weights
that are never negative. Both are here.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Generator, Tensor

from aurl import UserError
from aurl.losses import unit

BEYOND = {"interpolate": (0, 0), "extrapolate": (1, 1), "both": (0, 1)}  # added to μ of even and of odd classes
MODES = ("released", *BEYOND)


class ClassGenerator:
    r"""Draws U = ``num_classes`` synthetic classes, or C, the number of seen classes, if it is None.

    With :math:`\hat s`, :math:`\hat w` the seen features at unit length:

    ``"released"`` (the released code): :math:`\Lambda \sim U[0,1)^{U \times C}`,

    .. math:: z = \Lambda \hat s, \quad \theta = \Lambda \hat w

    ``"interpolate"`` (the paper's text, our reading): between two distinct classes a, b drawn for
    every u, with :math:`\mu \sim \mathrm{Beta}(\beta, \beta)` in (0, 1),

    .. math:: z_u = \mu \hat s_a + (1 - \mu) \hat s_b, \quad
              \theta_u = \mu \hat w_a + (1 - \mu) \hat w_b

    ``"extrapolate"`` (likewise): the same formula with :math:`1 + \mathrm{Beta}(\beta, \beta)` in (1, 2) for
    :math:`\mu`: beyond a, away from b, by at most the distance between the two.
    ``"both"``: alternates between the two, starting with an interpolated class.

    The last three read ``beta`` > 0: 1 is uniform, smaller values favor the ends of the range.
    Raises UserError for an unknown mode, fewer than two classes, or a beta of 0 or below.
    """

    def __init__(self, mode: str, num_classes: int | None = None, beta: float = 1.0) -> None:
        if mode not in MODES:
            raise UserError(f"The class generator's mode {mode!r} must be one of {', '.join(MODES)}.")
        if num_classes is not None and num_classes < 2:
            raise UserError(f"The class generator must make 2 or more classes, not {num_classes}.")
        if not beta > 0:
            raise UserError(f"The class generator's beta must be above 0, not {beta}.")
        self.mode, self.num_classes, self.beta = mode, num_classes, beta

    def __call__(self, centers: Tensor, classes: Tensor, rng: Generator | None = None) -> tuple[Tensor, Tensor]:
        """Mix ``centers`` and ``classes``, (C, D) each, to ``(theta, z)``, (U, D) each.

        The inputs may have any length; the outputs are not normalized. ``rng`` is a CPU
        torch.Generator, so draws are the same on every device and in every precision. Gradients flow
        into both arguments. Time and memory are linear in C for fixed U. Raises ValueError where
        shapes do not fit or there are fewer than two classes.

        >>> theta, z = ClassGenerator("both", num_classes=6)(torch.eye(3), torch.eye(3))
        >>> z.shape, z.sum(dim=1).allclose(torch.ones(6)), (z.min(dim=1).values < 0).tolist()
        (torch.Size([6, 3]), True, [False, True, False, True, False, True])
        """
        if centers.ndim != 2 or centers.shape != classes.shape or len(classes) < 2:
            raise ValueError(
                "The class generator needs centers and class features of one shape (C, D), C > 1, "
                f"not {tuple(centers.shape)} and {tuple(classes.shape)}."
            )
        count = self.num_classes or len(classes)
        mix = self._all(count, len(classes), rng) if self.mode == "released" else self._pairs(count, len(classes), rng)
        with torch.autocast(classes.device.type, enabled=False):  # it would multiply in bfloat16
            return mix(unit(centers)), mix(unit(classes))

    def _all(self, count: int, seen: int, rng: Generator | None) -> Callable[[Tensor], Tensor]:
        weights = torch.rand(count, seen, generator=rng)
        return lambda features: weights.to(features) @ features

    def _pairs(self, count: int, seen: int, rng: Generator | None) -> Callable[[Tensor], Tensor]:
        first = torch.randint(seen, (count,), generator=rng)
        second = (first + torch.randint(1, seen, (count,), generator=rng)) % seen
        # torch's own Beta distribution takes no generator, so NumPy's is seeded from ours.
        seed = int(torch.randint(2**62, (), generator=rng))
        weights = torch.from_numpy(np.random.default_rng(seed).beta(self.beta, self.beta, (count, 1)))
        weights += torch.tensor(BEYOND[self.mode])[torch.arange(count) % 2, None]

        def mix(features: Tensor) -> Tensor:
            a, b = features[first.to(features.device)], features[second.to(features.device)]
            return b + weights.to(features) * (a - b)

        return mix
