"""The class generator: what each mode mixes, with which weights, and that both sides get the same."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aurl import UserError
from aurl.generator import MODES, ClassGenerator

quick = settings(max_examples=25, deadline=None, derandomize=True)
seeds = st.integers(0, 10**6)
PAIRS = ("interpolate", "extrapolate", "both")


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def features(seed=0, count=5, size=7):
    """Centers and class features that are far from unit length."""
    rng = seeded(seed)
    return (
        torch.rand(count, size, generator=rng, dtype=torch.float64) * 4,
        torch.randn(count, size, generator=rng, dtype=torch.float64),
    )


def weights(mode, count, seen, seed=0, **settings_):
    """The mixing weights (U, C): on orthonormal classes the mixed features are the weights."""
    eye = torch.eye(seen, dtype=torch.float64)
    return ClassGenerator(mode, count, **settings_)(eye, eye, seeded(seed))[1]


def test_released_is_a_uniform_matrix_times_unit_features():
    centers, classes = features()
    theta, z = ClassGenerator("released", 4)(centers, classes, seeded(3))
    mix = torch.rand(4, 5, generator=seeded(3)).double().tolist()
    for mixed, seen in ((theta, centers), (z, classes)):
        for u in range(4):
            naive = sum(mix[u][c] * seen[c] / seen[c].square().sum().sqrt() for c in range(5))
            assert torch.allclose(mixed[u], naive, atol=1e-12)


def test_released_classes_of_orthogonal_ones_have_cosine_three_quarters():
    z = torch.nn.functional.normalize(weights("released", 100, 400), dim=1)
    cosines = (z @ z.T)[~torch.eye(100, dtype=torch.bool)]
    assert cosines.mean().item() == pytest.approx(0.75, abs=0.01)


@pytest.mark.parametrize("mode", PAIRS)
@quick
@given(seed=seeds, seen=st.integers(2, 9), count=st.integers(2, 12), beta=st.floats(0.3, 5))
def test_pairs_are_two_distinct_classes_with_weights_that_sum_to_one(mode, seed, seen, count, beta):
    mix = weights(mode, count, seen, seed, beta=beta)
    assert torch.allclose(mix.sum(dim=1), torch.ones(count, dtype=torch.float64))
    assert ((mix != 0).sum(dim=1) <= 2).all()
    beyond = mix.min(dim=1).values < 0
    wanted = {
        "interpolate": [False] * count,
        "extrapolate": [True] * count,
        "both": [u % 2 == 1 for u in range(count)],
    }[mode]
    assert beyond.tolist() == wanted
    assert mix.max() <= (1 if mode == "interpolate" else 2)


@pytest.mark.parametrize("mode", PAIRS)
def test_every_ordered_pair_is_drawn(mode):
    rows = [weights(mode, 2, 4, seed)[0] for seed in range(300)]  # always the first synthetic class
    assert len({tuple(row.abs().topk(2).indices.tolist()) for row in rows}) == 4 * 3


@pytest.mark.parametrize("mode, beta", [("interpolate", 1.0), ("interpolate", 4.0), ("extrapolate", 0.5)])
def test_lambda_follows_the_beta_distribution(mode, beta):
    # Both members of a pair are equally likely to come first, so weights are symmetric about it.
    mix = weights(mode, 20000, 2, beta=beta)
    lam = mix[:, 0] if mode == "interpolate" else mix.max(dim=1).values - 1
    assert lam.mean().item() == pytest.approx(0.5, abs=0.01)
    assert lam.var().item() == pytest.approx(1 / (4 * (2 * beta + 1)), abs=0.004)


@pytest.mark.parametrize("mode", MODES)
@quick
@given(seed=seeds)
def test_both_sides_are_mixed_alike_and_lengths_do_not_matter(mode, seed):
    centers, classes = features(seed)
    mix = weights(mode, 6, 5, seed)
    lengths = torch.rand(5, 1, generator=seeded(seed), dtype=torch.float64) + 0.5
    for scaled in (1, lengths):
        theta, z = ClassGenerator(mode, 6)(centers * scaled, classes / scaled, seeded(seed))
        assert torch.allclose(theta, mix @ (centers / centers.norm(dim=1, keepdim=True)))
        assert torch.allclose(z, mix @ (classes / classes.norm(dim=1, keepdim=True)))


@pytest.mark.parametrize("mode", MODES)
def test_gradients_reach_both_sides(mode):
    centers, classes = (tensor.requires_grad_() for tensor in features())
    for side in (0, 1):  # one at a time, as the other side would hide a missing gradient
        assert torch.autograd.gradcheck(
            lambda w, s, side=side: ClassGenerator(mode, 3)(w, s, seeded(0))[side], (centers, classes)
        )


@pytest.mark.parametrize("mode", MODES)
def test_draws_are_fresh_at_every_call_and_the_same_for_the_same_seed(mode):
    centers, classes = features()
    make, rng = ClassGenerator(mode), seeded(0)
    first, second = make(centers, classes, rng)[1], make(centers, classes, rng)[1]
    assert first.shape == (5, 7) and not torch.equal(first, second)
    assert torch.equal(first, make(centers, classes, seeded(0))[1])
    single = make(centers.float(), classes.float(), seeded(0))[1]
    assert single.dtype == torch.float32 and torch.allclose(single.double(), first, atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_autocast_does_not_lower_the_precision(mode):
    centers, classes = features()
    expected = ClassGenerator(mode)(centers, classes, seeded(0))[1]
    with torch.autocast("cpu", torch.bfloat16):
        found = ClassGenerator(mode)(centers.float(), classes.float(), seeded(0))[1]
    assert found.dtype == torch.float32 and torch.allclose(found.double(), expected, atol=1e-6)


@pytest.mark.parametrize(
    "settings_",
    [dict(mode="extrapolation"), dict(mode="both", num_classes=1), dict(mode="both", num_classes=0),
     dict(mode="both", beta=0.0)],
)  # fmt: skip
def test_impossible_settings(settings_):
    with pytest.raises(UserError, match="class generator"):
        ClassGenerator(**settings_)


@pytest.mark.parametrize("shapes", [((3, 4), (2, 4)), ((1, 4), (1, 4)), ((4,), (4,))])
def test_features_that_do_not_fit(shapes):
    with pytest.raises(ValueError, match="one shape"):
        ClassGenerator("released")(*map(torch.ones, shapes))
