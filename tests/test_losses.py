"""Every loss against naive loops, closed forms, numerical gradients and the properties of its formula."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from aurl import UserError, losses
from aurl.generator import MODES, ClassGenerator

N, C, D = 6, 4, 5
quick = settings(max_examples=25, deadline=None, derandomize=True)
seeds = st.integers(0, 10**6)

# Every loss as a function of (video, classes or centers, labels).
LOSSES = {
    "relation": lambda v, s, y: losses.relation(losses.cosines(v, s), y),
    "alignment": losses.alignment,
    "uniformity": lambda v, s, y: losses.uniformity(v, s),
    "contrastive": losses.contrastive,
    "regression": losses.regression,
    "ranking": lambda v, s, y: losses.ranking(v, s, y, margin=0.4),
    "center": losses.center,
}
every = pytest.mark.parametrize("name", LOSSES)


def draw(seed=0, n=N, c=C, d=D):
    """Features that are far from unit length, so that a forgotten normalization shows."""
    rng = torch.Generator().manual_seed(seed)
    video = 3 * torch.randn(n, d, generator=rng, dtype=torch.float64)
    classes = 0.5 * torch.randn(c, d, generator=rng, dtype=torch.float64)
    return video, classes, torch.randint(c, (n,), generator=rng)


def rotation(seed, d=D):
    rng = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(d, d, generator=rng, dtype=torch.float64)).Q


# --- naive loops -----------------------------------------------------------------------------------


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def cos(a, b):
    return dot(a, b) / math.sqrt(dot(a, a) * dot(b, b))


def hat(a):
    return [x / math.sqrt(dot(a, a)) for x in a]


def naive(name, video, classes, labels):
    v, s, y = video.tolist(), classes.tolist(), labels.tolist()
    terms = []
    for i in range(len(v)):
        own = s[y[i]]
        aligned = -10 * cos(v[i], own)
        uniform = math.log(sum(math.exp(10 * cos(v[i], other)) for other in s))
        terms.append(
            {
                "alignment": aligned,
                "uniformity": uniform,
                "contrastive": aligned + uniform,
                "relation": aligned + uniform,  # of scores that are cosines
                "regression": sum((a - b) ** 2 for a, b in zip(v[i], hat(own), strict=True)) / len(own),
                "ranking": sum(max(0, 0.4 - cos(v[i], own) + cos(v[i], s[c])) for c in range(len(s)) if c != y[i]),
                "center": sum((a - b) ** 2 for a, b in zip(hat(v[i]), hat(own), strict=True)),
            }[name]
        )
    return sum(terms) / len(terms)


@every
def test_naive_loops(name):
    for seed in range(3):
        features = draw(seed)
        assert LOSSES[name](*features).item() == pytest.approx(naive(name, *features), abs=1e-12)


@every
def test_gradients(name):
    video, classes, labels = draw()
    video.requires_grad_(), classes.requires_grad_()
    assert torch.autograd.gradcheck(lambda v, s: LOSSES[name](v, s, labels), (video, classes))


# --- properties ------------------------------------------------------------------------------------


@every
@quick
@given(seed=seeds)
def test_turning_the_sphere_changes_nothing(name, seed):
    video, classes, labels = draw(seed)
    turn = rotation(seed + 1)
    assert torch.allclose(LOSSES[name](video @ turn, classes @ turn, labels), LOSSES[name](video, classes, labels))


@every
@quick
@given(seed=seeds)
def test_order_of_classes_and_videos_changes_nothing(name, seed):
    video, classes, labels = draw(seed)
    rng = torch.Generator().manual_seed(seed)
    order, queue = torch.randperm(C, generator=rng), torch.randperm(N, generator=rng)
    moved = LOSSES[name](video[queue], classes[order], order.argsort()[labels][queue])
    assert torch.allclose(moved, LOSSES[name](video, classes, labels))


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "regression"])
@quick
@given(seed=seeds, factor=st.floats(0.01, 100))
def test_length_changes_nothing_but_the_regression(name, seed, factor):
    video, classes, labels = draw(seed)
    assert torch.allclose(LOSSES[name](factor * video, classes / factor, labels), LOSSES[name](video, classes, labels))


def test_regression_depends_on_the_length_of_the_video_alone():
    video, classes, labels = draw()
    assert not torch.allclose(losses.regression(2 * video, classes, labels), losses.regression(video, classes, labels))
    assert torch.allclose(losses.regression(video, 2 * classes, labels), losses.regression(video, classes, labels))


@quick
@given(seed=seeds, scale=st.floats(0.1, 30))
def test_alignment_and_uniformity_are_the_cross_entropy(seed, scale):
    video, classes, labels = draw(seed)
    logits = scale * F.cosine_similarity(video[:, None], classes[None], dim=-1)
    expected = F.cross_entropy(logits, labels)
    parts = losses.alignment(video, classes, labels, scale) + losses.uniformity(video, classes, scale)
    assert torch.allclose(parts, expected)
    assert torch.allclose(losses.contrastive(video, classes, labels, scale), expected)
    assert expected >= 0


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "uniformity"])
@quick
@given(seed=seeds, step=st.floats(0.2, 0.9))
def test_loss_falls_when_a_video_moves_to_its_class(name, seed, step):
    # Among crowded classes the contrastive loss may prefer a place beyond its class, and a hinge is flat
    # where its margin is met. Therefore classes are orthogonal and the video starts near a wrong one.
    video, _, labels = draw(seed)
    classes, video = rotation(seed)[:C], F.normalize(video, dim=1)
    video[0] = classes[(labels[0] + 1) % C] + 0.3 * video[0]
    nearer = video.clone()
    nearer[0] += step * (classes[labels[0]] - video[0])
    assert LOSSES[name](nearer, classes, labels) < LOSSES[name](video, classes, labels)


@quick
@given(seed=seeds, scale=st.floats(0.1, 30))
def test_uniformity_stays_in_its_range(seed, scale):
    video, classes, _ = draw(seed)
    assert abs(losses.uniformity(video, classes, scale).item() - math.log(C)) <= scale + 1e-9


# --- closed forms ----------------------------------------------------------------------------------


def test_orthogonal_classes():
    eye, labels = torch.eye(C, dtype=torch.float64), torch.arange(C)
    expected = {
        "alignment": -10,
        "uniformity": math.log(math.exp(10) + C - 1),
        "contrastive": math.log(1 + (C - 1) * math.exp(-10)),
        "regression": 0,
        "ranking": 0,
        "center": 0,
    }
    for name, value in expected.items():
        assert LOSSES[name](eye, eye, labels).item() == pytest.approx(value, abs=1e-12), name


def test_all_classes_equal():
    video, classes, labels = draw()
    classes = classes[:1].expand(C, D)
    assert losses.contrastive(video, classes, labels).item() == pytest.approx(math.log(C))
    assert losses.ranking(video, classes, labels, margin=0.4).item() == pytest.approx(0.4 * (C - 1))


def test_opposite_classes():
    video = torch.tensor([[2.0, 0.0]], dtype=torch.float64)
    classes, wrong = torch.tensor([[1.0, 0.0], [-3.0, 0.0]], dtype=torch.float64), torch.tensor([1])
    assert losses.contrastive(video, classes, wrong, scale=2.0).item() == pytest.approx(math.log(1 + math.exp(4)))
    assert losses.center(video, classes, wrong).item() == pytest.approx(4)
    assert losses.regression(video, classes, wrong).item() == pytest.approx((2 + 1) ** 2 / 2)
    assert losses.ranking(video, classes, wrong, margin=0.1).item() == pytest.approx(2.1)


# --- the whole objective ---------------------------------------------------------------------------


def released_total(video, classes, centers, labels, mix):
    """The released objective, written again from its description; it shares no line with aurl."""

    def cross_entropy_of_cosines(queries, keys, right):
        queries = queries / (queries * queries).sum(1, keepdim=True).sqrt()
        keys = keys / (keys * keys).sum(1, keepdim=True).sqrt()
        share = torch.softmax(10.0 * torch.einsum("nd,cd->nc", queries, keys), dim=1)
        return -torch.stack([share[i, c].log() for i, c in enumerate(right.tolist())]).mean()

    z = mix @ (classes / classes.norm(dim=1, keepdim=True))
    theta = mix @ (centers / centers.norm(dim=1, keepdim=True))
    return (
        cross_entropy_of_cosines(video, classes, labels)
        + cross_entropy_of_cosines(video, centers, labels)
        + cross_entropy_of_cosines(z, theta, torch.arange(len(mix)))
    )


@pytest.mark.parametrize("seed", range(3))
def test_aurl_is_the_released_objective(seed):
    video, classes, labels = draw(seed)
    centers = torch.rand(C, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    inputs = [tensor.requires_grad_() for tensor in (video, classes, centers)]
    mix = torch.rand(C, C, generator=torch.Generator().manual_seed(7)).double()
    expected = released_total(*inputs, labels, mix)
    found = losses.aurl(*inputs, labels, ClassGenerator("released"), rng=torch.Generator().manual_seed(7))["total"]
    assert abs(found - expected) < 1e-9
    for ours, theirs in zip(torch.autograd.grad(found, inputs), torch.autograd.grad(expected, inputs), strict=True):
        assert (ours - theirs).abs().max() < 1e-9


@pytest.mark.parametrize("mode", MODES)
def test_gradients_of_the_whole(mode):
    video, classes, labels = draw()
    centers = torch.rand(C, D, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    video.requires_grad_(), classes.requires_grad_()

    def whole(*features):
        rng = torch.Generator().manual_seed(0)
        return losses.aurl(*features, labels, ClassGenerator(mode, 3), rng=rng, uniformity_weight=0.5)["total"]

    assert torch.autograd.gradcheck(whole, (video, classes, centers))


def test_synthetic_term_by_loops():
    _, classes, _ = draw()
    centers = torch.rand(C, D, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    mix = torch.rand(3, C, generator=torch.Generator().manual_seed(5)).double().tolist()
    z, theta = (
        [[sum(row[c] * hat(side[c])[d] for c in range(C)) for d in range(D)] for row in mix]
        for side in (classes.tolist(), centers.tolist())
    )
    expected = (
        sum(
            math.log(sum(math.exp(10 * cos(z[u], other)) for other in theta)) - 10 * cos(z[u], theta[u])
            for u in range(3)
        )
        / 3
    )
    found = losses.synthetic(classes, centers, ClassGenerator("released", 3), rng=torch.Generator().manual_seed(5))
    assert found.item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("mode", MODES)
@quick
@given(seed=seeds)
def test_synthetic_term_ignores_turns_and_the_order_of_classes(mode, seed):
    _, classes, _ = draw(seed)
    centers, turn = classes.flip(0) + 0.1, rotation(seed)

    def synthetic(classes, centers, weights):
        def mixer(centers, classes, rng):
            return weights @ losses.unit(centers), weights @ losses.unit(classes)

        return losses.synthetic(classes, centers, mixer)

    eye = torch.eye(C, dtype=torch.float64)
    mixed = ClassGenerator(mode, 4)(eye, eye, torch.Generator().manual_seed(seed))
    weights = mixed[1]  # on orthonormal classes, the mix itself
    order = torch.randperm(C, generator=torch.Generator().manual_seed(seed))
    expected = synthetic(classes, centers, weights)
    assert torch.allclose(synthetic(classes @ turn, centers @ turn, weights), expected)
    assert torch.allclose(synthetic(classes[order], centers[order], weights[:, order]), expected)
    assert torch.allclose(synthetic(classes, centers, weights.flip(0)), expected)


def test_synthetic_loss_of_collapsed_classes_is_the_log_of_their_number():
    ones = torch.ones(C, D, dtype=torch.float64)
    assert losses.synthetic(ones, ones, ClassGenerator("released", 9)).item() == pytest.approx(math.log(9))


def everything(terms, **others):
    video, classes, labels = draw()
    centers = classes.flip(0) + 0.1
    return losses.total(
        terms,
        projected=video,
        classes=classes,
        centers=centers,
        labels=labels,
        generator=ClassGenerator("both"),
        rng=torch.Generator().manual_seed(0),
        **others,
    )


def test_total_sums_the_chosen_terms_and_always_reports_both_halves():
    video, classes, labels = draw()
    centers = classes.flip(0) + 0.1
    expected = {
        "semantic": losses.contrastive(video, classes, labels),
        "visual": losses.contrastive(video, centers, labels),
        "synthetic": losses.synthetic(classes, centers, ClassGenerator("both"), rng=torch.Generator().manual_seed(0)),
        "alignment": losses.alignment(video, classes, labels),
        "regression": losses.regression(video, classes, labels),
        "ranking": losses.ranking(video, classes, labels),
        "center": losses.center(video, centers, labels),
    }
    for name, value in expected.items():
        found = everything([name])
        assert set(found) == {"total", "alignment", "uniformity", name}
        assert torch.allclose(found["total"], value) and torch.allclose(found[name], value), name
        assert torch.allclose(found["alignment"], expected["alignment"])
        assert torch.allclose(found["uniformity"], losses.uniformity(video, classes))
    assert torch.allclose(everything(list(expected))["total"], sum(expected.values()))


def test_total_hands_on_its_settings():
    video, classes, labels = draw()
    assert torch.allclose(everything(["semantic"], uniformity_weight=0.0)["total"], everything(["alignment"])["total"])
    assert torch.allclose(everything(["ranking"], margin=0.7)["total"], losses.ranking(video, classes, labels, 0.7))
    scores = losses.cosines(video, classes)
    related = everything(["relation", "alignment"], scores=scores, scale=2.0)
    assert torch.allclose(related["relation"], losses.relation(scores, labels, 2.0))
    assert torch.allclose(related["total"], related["relation"] + related["alignment"])
    for term in ("semantic", "visual", "synthetic", "alignment"):
        assert not torch.allclose(everything([term], scale=2.0)["total"], everything([term])["total"])
    for term in losses.AURL_TERMS:
        assert not torch.allclose(everything([term], uniformity_weight=2.0)["total"], everything([term])["total"])


def test_a_video_is_told_apart_from_some_classes_only():
    """The cross-entropy among these, as if there were no others; the monitors stay those of all classes."""
    video, classes, labels = draw()
    centers = classes.flip(0) + 0.1
    among = torch.rand(N, C, generator=torch.Generator().manual_seed(0)) < 0.5
    among[range(N), labels] = True
    assert not among.all() and among.sum(dim=1).max() > 1

    def expected(those):
        own = [F.cosine_similarity(video[i], those[among[i]]) * 10 for i in range(N)]
        places = [among[i, : labels[i]].sum() for i in range(N)]  # of the right class among those that are left
        return sum(F.cross_entropy(scores, place) for scores, place in zip(own, places, strict=True)) / N

    found = everything(["semantic", "visual"], among=among)
    assert torch.allclose(found["semantic"], expected(classes)) and torch.allclose(found["visual"], expected(centers))
    assert torch.allclose(found["uniformity"], losses.uniformity(video, classes))
    assert torch.equal(everything(["semantic"], among=among | True)["total"], everything(["semantic"])["total"])
    video.requires_grad_(), classes.requires_grad_()
    assert torch.autograd.gradcheck(lambda v, s: losses.uniformity(v, s, among=among), (video, classes))
    with pytest.raises(ValueError, match=r"^Each video's classes must be \(6, 4\), not \(6, 1\)\.$"):
        losses.uniformity(video, classes, among=among[:, :1])


def test_monitors_carry_no_gradient_unless_chosen():
    video, classes, labels = draw()
    settings_ = dict(projected=video.requires_grad_(), classes=classes, centers=classes, labels=labels)
    monitored, chosen = losses.total(["regression"], **settings_), losses.total(["alignment"], **settings_)
    assert not monitored["alignment"].requires_grad and not monitored["uniformity"].requires_grad
    assert chosen["alignment"].requires_grad and chosen["total"].requires_grad


# --- precision and cost ----------------------------------------------------------------------------


def test_autocast_does_not_lower_the_precision():
    video, classes, labels = draw(n=32, c=20, d=64)
    video, classes = video.bfloat16(), classes.bfloat16()
    terms = ["semantic", "visual", "synthetic", "regression", "ranking", "center"]

    def run(video, classes):
        return losses.total(
            terms,
            projected=video,
            classes=classes,
            centers=classes + 0.1,
            labels=labels,
            generator=ClassGenerator("released"),
            rng=torch.Generator().manual_seed(0),
        )

    expected = run(video.double(), classes.double())
    with torch.autocast("cpu", torch.bfloat16):
        found = run(video, classes.float())
    for name, value in found.items():
        assert value.dtype == torch.float32 and value.item() == pytest.approx(expected[name].item(), abs=1e-5), name


class Largest(TorchDispatchMode):
    """Keeps the size of the largest tensor that any operation makes, in the backward pass too."""

    size = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, (tuple, list)) else [made]:
            if isinstance(tensor, torch.Tensor):
                self.size = max(self.size, tensor.numel())
        return made


@pytest.mark.parametrize("mode", MODES)
def test_memory_is_linear_in_the_number_of_classes(mode):
    n, c, d, u = 8, 500, 6, 10
    video, classes, labels = draw(n=n, c=c, d=d)
    video.requires_grad_(), classes.requires_grad_()
    with Largest() as largest:
        losses.aurl(video, classes, classes + 0.1, labels, ClassGenerator(mode, u))["total"].backward()
    assert largest.size <= c * max(n, d, u)


# --- mistakes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "uniformity"])
@pytest.mark.parametrize(
    "labels",
    [torch.tensor([0, -1]), torch.tensor([0, 3]), torch.tensor([0]), torch.tensor([0.0, 1.0]),
     torch.tensor([[0], [1]])],
)  # fmt: skip
def test_labels_that_do_not_fit(name, labels):
    with pytest.raises(ValueError, match="Labels must"):
        LOSSES[name](torch.ones(2, 3), torch.ones(3, 3), labels)


@every
@pytest.mark.parametrize("shapes", [((2, 3), (3, 4)), ((2, 1, 3), (3, 3)), ((3,), (3, 3)), ((0, 3), (3, 3))])
def test_features_that_do_not_fit(name, shapes):
    video, classes = map(torch.ones, shapes)
    with pytest.raises(ValueError, match="Features must|at least one"):
        LOSSES[name](video, classes, torch.zeros(len(video), dtype=torch.int64))


@pytest.mark.parametrize("terms", [["semantics"], [], ["semantic", "semantic"]])
def test_unknown_terms_are_named(terms):
    with pytest.raises(UserError, match="one or more of semantic, visual, synthetic"):
        everything(terms)


def test_relation_without_scores():
    with pytest.raises(UserError, match=r"'relation' needs learned scores: set model\.score to relation\.$"):
        everything(["relation"])


def test_synthetic_term_without_generator():
    video, classes, labels = draw()
    with pytest.raises(UserError, match="needs a class generator"):
        losses.total(["synthetic"], projected=video, classes=classes, centers=classes, labels=labels)
