"""The encoders against layers by hand."""

import itertools
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from authors import clips, shake, words

from aurl import UserError, losses, models, rivals

HEADS = dict(dropout=0.05, projection="mlp", semantic="learned", pooling="mean", score="cosine")
PAPER = dict(backbone="r2plus1d", width=64, depth=2, hidden=2048, dim=2048, word_hidden=512) | HEADS
TINY = dict(backbone="r2plus1d", width=4, depth=1, hidden=12, dim=10, word_hidden=6) | HEADS


def tiny(num_classes=5, word_dim=7, seed=0, vocabulary=0, **changes):
    torch.manual_seed(seed)
    return models.build(SimpleNamespace(**TINY | changes), num_classes, word_dim, vocabulary)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameter_count_of_the_papers_model():
    with torch.device("meta"):
        k662, k700 = (models.build(SimpleNamespace(**PAPER), classes, 300) for classes in (662, 700))
    assert count(k662.backbone) == 31_300_125  # torchvision's 31,505,325 without its 513 * 400 of fc
    assert count(k662.projection) == 9_455_616
    assert count(k662.class_encoder) == 9_609_728
    assert count(k662) == 51_721_245
    assert count(k700) == 51_799_069  # 38 centers of 2048 more
    # Zero-shot testing uses the encoders alone, without the centers.
    assert count(k662) - k662.centers.numel() == 50_365_469


def by_hand(layers, x):
    """An MLP in eval mode from its tensors: [(weight, bias, gamma, beta, mean, var), ...]."""
    for number, (weight, bias, gamma, beta, mean, var) in enumerate(layers):
        x = (x @ weight.T + bias - mean) / (var + 1e-5).sqrt() * gamma + beta
        x = x.clamp(min=0) if number < 2 else x
    return x


def layers_of(mlp):
    return [
        (linear.weight, linear.bias, norm.weight, norm.bias, norm.running_mean, norm.running_var)
        for linear, norm in ((mlp[0], mlp[1]), (mlp[3], mlp[4]), (mlp[6], mlp[7]))
    ]


def test_features_are_layers_by_hand():
    model = shake(tiny()).eval()
    video, names = clips(2, 3), words()
    with torch.no_grad():
        each = [[by_hand(layers_of(model.projection), model.backbone(clip[None]))[0] for clip in own] for own in video]
        raw = torch.stack([torch.stack(own).mean(dim=0) for own in each])  # averaged before it is normalized
        hidden = names @ model.class_encoder[0].weight.T + model.class_encoder[0].bias  # no activation
        semantic = by_hand(layers_of(model.class_encoder[1:]), hidden)
        assert torch.allclose(model.project(video), raw, atol=1e-5)
        assert torch.allclose(model.encode_video(video), raw / raw.norm(dim=1, keepdim=True), atol=1e-6)
        assert torch.allclose(model.encode_class(names), semantic / semantic.norm(dim=1, keepdim=True), atol=1e-6)
        normalized_first = F.normalize(
            torch.stack([F.normalize(torch.stack(own), dim=1).mean(dim=0) for own in each]), dim=1
        )
        found = model.encode_video(video)
        assert not torch.allclose(found, normalized_first, atol=1e-3) and not torch.allclose(*found, atol=1e-2)


def test_linear_projection_averages_as_e2e_does():
    model = tiny(projection="linear", semantic="fixed").eval()
    video = clips(2, 3)
    with torch.no_grad():
        averaged = torch.stack([model.backbone(own).mean(dim=0) for own in video])
        assert torch.allclose(model.project(video), model.projection(averaged), atol=1e-5)
    assert isinstance(model.projection, torch.nn.Linear) and model.dim == 7


def pooled(pooling, **changes):
    """A model, its backbone's features of 2 x 3 clips, and the one feature that it makes of each three."""
    model = tiny(pooling=pooling, **changes).eval()
    with torch.no_grad():
        features = model.backbone(clips(2, 3).flatten(0, 1)).unflatten(0, (2, 3))
        one = model.pooling(features)
        assert torch.allclose(model.project(clips(2, 3)), model.projection(one[:, 0]), atol=1e-5)
    return model, features, one


def test_attention_is_a_weighted_mean_by_hand():
    model, features, one = pooled("attention")
    assert isinstance(model.pooling, rivals.Attention)
    first, _, second = model.pooling.score
    for video, found in zip(features, one, strict=True):
        said = torch.stack(
            [(first.weight @ clip + first.bias).tanh() @ second.weight[0] + second.bias for clip in video]
        )
        weights = said.exp() / said.exp().sum()
        assert torch.allclose(found[0], sum(w * clip for w, clip in zip(weights, video, strict=True)), atol=1e-5)
    order = [2, 0, 1]
    assert torch.allclose(model.pooling(features[:, order]), one, atol=1e-6)  # in any order of clips


def test_recurrence_is_two_cells_and_attention_by_hand():
    model, features, one = pooled("recurrent")
    assert isinstance(model.pooling, rivals.Recurrent)
    lstm, size = model.pooling.lstm, features.shape[2]
    for video, found in zip(features, one, strict=True):
        states = [(torch.zeros(size), torch.zeros(size))] * 2
        outputs = []
        for x in video:
            for layer in (0, 1):
                hidden, cell = states[layer]
                named = {
                    kind: getattr(lstm, f"{kind}_l{layer}") for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
                }
                gates = named["weight_ih"] @ x + named["weight_hh"] @ hidden + named["bias_ih"] + named["bias_hh"]
                into, forget, new, out = gates.chunk(4)
                cell = forget.sigmoid() * cell + into.sigmoid() * new.tanh()
                x = out.sigmoid() * cell.tanh()
                states[layer] = x, cell
            outputs.append(x)
        assert torch.allclose(found, model.pooling.attention(torch.stack(outputs)[None])[0], atol=1e-5)
    assert not torch.allclose(model.pooling(features.flip(1)), one, atol=1e-4)  # the order of clips matters


def test_instances_are_the_most_of_each_part_by_hand():
    model, features, one = pooled("instances")
    assert isinstance(model.pooling, rivals.Instances)
    weight, bias = model.pooling.parts.weight, model.pooling.parts.bias
    for video, found in zip(features, one, strict=True):
        parts = torch.stack([(weight @ clip + bias).clamp(min=0) for clip in video])
        assert torch.allclose(found[0], torch.stack([column.max() for column in parts.T]), atol=1e-5)
    again = torch.cat([features, features[:, :1]], dim=1)  # an instance twice adds nothing
    assert torch.equal(model.pooling(again), one)


def test_a_relation_attends_and_judges_by_hand():
    model, video, names = tiny(score="relation").eval(), clips(3, 2), words(4)
    with torch.no_grad():
        segments, classes = model.encode_video(video), model.encode_class(names)
        assert segments.shape == (3, 2, 10) and torch.allclose(segments.norm(dim=2), torch.ones(3, 2))
        found = model(video, names)
        assert isinstance(model.relation, rivals.Relation)
        first, _, second, _ = model.relation.judge
        for i, c in itertools.product(range(3), range(4)):
            weights = torch.tensor([10 * float(own @ classes[c]) for own in segments[i]]).exp()
            attended = sum(w * own for w, own in zip(weights / weights.sum(), segments[i], strict=True))
            hidden = (first.weight @ (10 * attended * classes[c]) + first.bias).clamp(min=0)
            score = (second.weight[0] @ hidden + second.bias[0]).tanh()
            assert torch.allclose(found["scores"][i, c], score, atol=1e-5)
        assert torch.allclose(found["projected"], model.project(video))
        assert torch.allclose(model.relation(segments.flip(1), classes), found["scores"], atol=1e-6)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(model.relation(segments, classes), model.relation(segments, classes).float())
            assert torch.allclose(model.relation(segments, classes), found["scores"], atol=1e-5)
    assert tiny().relation is None and "scores" not in tiny()(video, names)


@pytest.mark.parametrize("pooling", [name for name in rivals.POOLINGS if name != "mean"])
def test_a_pooling_learns_and_works_in_rough_arithmetic(pooling):
    model = tiny(pooling=pooling)
    model.project(clips(4, 2)).square().sum().backward()
    assert not [name for name, weight in model.pooling.named_parameters() if weight.grad is None]
    model.eval()
    with torch.no_grad():
        exact = model.encode_video(clips(2, 2))
        with torch.autocast("cpu", torch.bfloat16):
            rough = model.encode_video(clips(2, 2))
    assert (exact - rough).abs().max() < 0.1 and rough.dtype == torch.float32
    assert model.double().encode_video(clips(1, 1).double()).dtype == torch.float64


def test_the_mean_of_clips_adds_no_weights():
    assert not list(tiny().pooling.parameters()) and not [name for name in tiny().state_dict() if "pooling" in name]


def test_attributes_are_scored_words_by_hand():
    model = tiny(projection="attributes", semantic="fixed", vocabulary=9).eval()
    assert isinstance(model.projection, rivals.Attributes)
    spoken = F.normalize(words(9), dim=1)
    model.projection.vectors.copy_(spoken)
    video, scores = clips(2, 3), model.projection.scores
    with torch.no_grad():
        for own, found in zip(video, model.project(video), strict=True):
            said = [(scores.weight @ model.backbone(clip[None])[0] + scores.bias).exp() for clip in own]
            means = [
                sum(weight * vector for weight, vector in zip(one, spoken, strict=True)) / one.sum() for one in said
            ]
            assert torch.allclose(found, sum(means) / 3, atol=1e-5)
        scores.weight.zero_()
        scores.bias.copy_(torch.tensor([50.0, 50, 0, 0, 0, 0, 0, 0, 0]))  # both words of a class, and no other
        assert torch.allclose(model.encode_video(video) @ F.normalize(spoken[:2].mean(dim=0), dim=0), torch.ones(2))
    assert "projection.vectors" in model.state_dict() and not model.projection.vectors.requires_grad


def test_words_as_class_features_stay_fixed():
    model = tiny(semantic="fixed")
    assert model.dim == 7 and model.centers.shape == (5, 7) and count(model.class_encoder) == 0
    assert torch.allclose(model.encode_class(words()), F.normalize(words(), dim=1))
    assert model.project(clips(2, 1)).shape == (2, 7)


def test_features_have_unit_length_and_centers_start_uniform():
    model = tiny()
    projected, classes, centers = model(clips(3, 2), words()).values()
    assert torch.allclose(classes.norm(dim=1), torch.ones(5)) and centers is model.centers
    assert torch.allclose(model.eval().encode_video(clips(3, 2)).norm(dim=1), torch.ones(3))
    assert projected.shape == (3, 10) and not torch.allclose(projected.norm(dim=1), torch.ones(3))
    many = tiny(num_classes=400).centers
    assert 0 <= many.min() < 0.01 and 0.99 < many.max() < 1 and many.mean().item() == pytest.approx(0.5, abs=0.02)


def test_train_mode_normalizes_words_over_the_classes_and_eval_mode_does_not():
    model, names = tiny(), words()
    assert not torch.allclose(model.encode_class(names)[:2], model.encode_class(names[:2]), atol=1e-3)
    model.eval()
    assert torch.allclose(model.encode_class(names)[:2], model.encode_class(names[:2]), atol=1e-6)


def test_dropout_is_on_backbone_features():
    model = tiny(dropout=0.999, projection="linear").eval()
    with torch.no_grad():
        assert torch.equal(model.project(clips(2, 1)), model.project(clips(2, 1)))
        model.dropout.train()
        dropped = model.project(clips(2, 1))
    assert torch.allclose(dropped, model.projection.bias.expand(2, -1))


def test_every_parameter_learns_from_aurl():
    from aurl.generator import ClassGenerator

    model = tiny()
    projected, classes, centers = model(clips(4, 1), words()).values()
    losses.aurl(projected, classes, centers, torch.arange(4), ClassGenerator("released"))["total"].backward()
    assert not [name for name, parameter in model.named_parameters() if parameter.grad is None]


def test_autocast_in_channels_last():
    model = shake(tiny()).eval()
    video, names = clips(2, 2), words()
    with torch.no_grad():
        exact = model.encode_video(video), model.encode_class(names)
        model = model.to(memory_format=torch.channels_last_3d)
        same = model.encode_video(video), model.encode_class(names)
        with torch.autocast("cpu", torch.bfloat16):
            rough = model.encode_video(video), model.encode_class(names)
    for a, b, c in zip(exact, same, rough, strict=True):
        assert torch.allclose(a, b, atol=1e-5) and (a - c).abs().max() < 0.05
        assert c.dtype == torch.float32 and torch.allclose(c.norm(dim=1), torch.ones(len(c)))


@pytest.mark.parametrize("shape", [(2, 3, 4, 16, 16), (2, 1, 1, 4, 16, 16), (2, 0, 3, 4, 16, 16)])
def test_clips_that_do_not_fit(shape):
    with pytest.raises(ValueError, match="Clips must be"):
        tiny().project(torch.ones(shape))


def test_words_that_do_not_fit():
    with pytest.raises(ValueError, match="Word vectors must be"):
        tiny().encode_class(torch.ones(7))


@pytest.mark.parametrize(
    "change, message",
    [(dict(width=0), "width"), (dict(depth=0), "depth"), (dict(backbone="r3d"), "r3d_18"),
     (dict(projection="deep"), "mlp or linear or attributes"),
     (dict(projection="attributes", vocabulary=9), "semantic fixed"),
     (dict(projection="attributes", semantic="fixed"), "a vocabulary of one word or more"),
     (dict(pooling="max"), "mean or attention or recurrent or instances"), (dict(semantic="bert"), "learned or fixed"),
     (dict(num_classes=0), "num_classes")],
)  # fmt: skip
def test_settings_that_cannot_be(change, message):
    with pytest.raises(UserError, match=message):
        tiny(**change)


# --- features that were computed elsewhere -----------------------------------------------------------


def test_a_model_of_features_has_no_backbone_and_averages_segments():
    torch.manual_seed(0)
    settings = SimpleNamespace(**TINY)
    model = models.build(settings, 5, 7, features=9).eval()
    assert not list(model.backbone.parameters()) and model.projection[0].in_features == 9
    values = torch.randn(4, 3, 9)
    expected = torch.stack([model.projection(values[:, k]) for k in range(3)]).mean(0)
    torch.testing.assert_close(model.project(values), expected)
    for wrong in (torch.zeros(4, 9), torch.zeros(4, 3, 8), torch.zeros(4, 0, 9), clips(4, 1)):
        with pytest.raises(ValueError, match=r"Clips must be \(N, K, F\), not"):
            model.project(wrong)
    with pytest.raises(ValueError, match=r"Clips must be \(N, K, 3, T, H, W\)"):
        tiny().project(values)
