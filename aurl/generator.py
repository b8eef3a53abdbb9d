r"""Synthetic classes, mixed from the seen ones, so that classes without a video are trained on too.

A synthetic class has a visual centre :math:`\theta_u` and a semantic feature :math:`z_u`, mixed with
the same weights from the visual centres and the class names' features of the seen classes. The
paper's text says that classes are interpolated and extrapolated; the released code mixes all classes
at once with weights that are never negative. Both are here.
"""

import numpy as np
import torch

from aurl import UserError
from aurl.losses import unit

BEYOND = {"interpolate": (0, 0), "extrapolate": (1, 1), "both": (0, 1)}  # added to λ, in turn
MODES = ("released", *BEYOND)


class ClassGenerator:
    r"""Draws ``num_classes`` U synthetic classes (as many as there are seen ones where None).

    With :math:`\hat s`, :math:`\hat w` the seen features at unit length:

    ``"released"`` (the released code): :math:`\Lambda \sim U[0,1)^{U \times C}`,

    .. math:: z = \Lambda \hat s, \quad \theta = \Lambda \hat w

    ``"interpolate"`` (the paper's words, our reading): between two distinct classes a, b drawn for
    every u, with :math:`\lambda \sim \mathrm{Beta}(\beta, \beta)` in (0, 1),

    .. math:: z_u = \lambda \hat s_a + (1 - \lambda) \hat s_b, \quad
              \theta_u = \lambda \hat w_a + (1 - \lambda) \hat w_b

    ``"extrapolate"`` (likewise): the same with :math:`1 + \mathrm{Beta}(\beta, \beta)` in (1, 2) for
    :math:`\lambda`: beyond a, away from b, by at most the distance between the two.
    ``"both"``: one in turn, interpolated first.

    ``beta`` > 0 is read by the last three: 1 is uniform, smaller keeps to the ends of the range.
    Raises UserError for a mode, number or beta that cannot be.
    """

    def __init__(self, mode, num_classes=None, beta=1.0):
        if mode not in MODES:
            raise UserError(f"The class generator's mode {mode!r} must be one of {', '.join(MODES)}.")
        if num_classes is not None and num_classes < 2:
            raise UserError(f"The class generator must make 2 or more classes, not {num_classes}.")
        if not beta > 0:
            raise UserError(f"The class generator's beta must be above 0, not {beta}.")
        self.mode, self.num_classes, self.beta = mode, num_classes, beta

    def __call__(self, centers, classes, rng=None):
        """Mix ``centers`` and ``classes``, (C, D) each, to ``(theta, z)``, (U, D) each.

        Lengths going in do not matter; those coming out are left as they are mixed. ``rng`` is a
        CPU torch.Generator: the draw is the same on every device and in every precision. Gradients
        flow into both arguments. Time and memory are linear in C for fixed U. Raises ValueError
        where shapes do not fit or there are fewer than two classes.

        >>> theta, z = ClassGenerator("both", num_classes=6)(torch.eye(3), torch.eye(3))
        >>> z.shape, z.sum(dim=1).allclose(torch.ones(6)), (z.min(dim=1).values < 0).tolist()
        (torch.Size([6, 3]), True, [False, True, False, True, False, True])
        """
        if centers.ndim != 2 or centers.shape != classes.shape or len(classes) < 2:
            raise ValueError(
                "The class generator needs centres and class features of one shape (C, D), C > 1, "
                f"not {tuple(centers.shape)} and {tuple(classes.shape)}."
            )
        count = self.num_classes or len(classes)
        mix = self._all(count, len(classes), rng) if self.mode == "released" else self._pairs(count, len(classes), rng)
        with torch.autocast(classes.device.type, enabled=False):  # it would multiply in bfloat16
            return mix(unit(centers)), mix(unit(classes))

    def _all(self, count, seen, rng):
        weights = torch.rand(count, seen, generator=rng)
        return lambda features: weights.to(features) @ features

    def _pairs(self, count, seen, rng):
        first = torch.randint(seen, (count,), generator=rng)
        second = (first + torch.randint(1, seen, (count,), generator=rng)) % seen
        # torch's own Beta distribution takes no generator, so NumPy's is seeded from ours.
        seed = torch.randint(2**62, (), generator=rng).item()
        weights = torch.from_numpy(np.random.default_rng(seed).beta(self.beta, self.beta, (count, 1)))
        weights += torch.tensor(BEYOND[self.mode])[torch.arange(count) % 2, None]

        def mix(features):
            a, b = features[first.to(features.device)], features[second.to(features.device)]
            return b + weights.to(features) * (a - b)

        return mix
