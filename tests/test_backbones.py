"""Video backbones by name against torchvision's own networks."""

from typing import get_args

import pytest
import torch
from torchvision.models import get_model
from torchvision.models.video import r2plus1d_18

from aurl import UserError, backbones
from aurl.project import config
from aurl.project.config.sections import Backbone

CLIPS = torch.randn(2, 3, 4, 16, 16, generator=torch.Generator().manual_seed(0))
SMALL = {"s3d": (13, 209), "mvit_v1_b": (16, 224), "mvit_v2_s": (16, 224)}  # frames and pixels; any will do elsewhere


def clips(name, device="cpu"):
    frames, size = SMALL.get(name, (2, 32))
    return torch.ones(2, 3, frames, size, size, device=device)


def test_names_are_those_of_the_parameters():
    assert get_args(Backbone) == (*backbones.NAMES, config.FEATURES)


class NoClassifier(torch.nn.Identity):
    """Draws no random numbers in the place of torchvision's last layer."""

    weight = bias = torch.empty(0)


def test_r2plus1d_is_torchvisions_to_the_bit(monkeypatch):
    """Initial weights, outputs, running statistics and gradients, from the same random numbers."""
    torch.manual_seed(0)
    ours = backbones.R2Plus1D(64, 2)
    with monkeypatch.context() as patch:
        patch.setattr(torch.nn, "Linear", NoClassifier)
        torch.manual_seed(0)
        theirs = r2plus1d_18(weights=None)
    for mode in (True, False):  # train first, so that running statistics are compared too
        found, expected = ours.train(mode)(CLIPS), theirs.train(mode)(CLIPS)
        assert torch.equal(found, expected)
    frame = CLIPS[:, :, :1]  # of longer clips, _TemporalConv sums some gradients in another order
    ours(frame).square().sum().backward(), theirs(frame).square().sum().backward()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for (name, tensor), other in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        assert torch.equal(tensor, other), name
    for (name, weight), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert torch.equal(weight.grad, other.grad), name


@pytest.mark.parametrize("width, depth", [(8, 1), (16, 2), (1, 1)])
def test_r2plus1d_shrinks(width, depth):
    backbone = backbones.R2Plus1D(width, depth)
    assert backbone(CLIPS).shape == (2, 8 * width) and len(backbone.layer3) == depth


# --- torchvision's ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", backbones.NAMES[1:])
def test_every_network_is_torchvisions_without_its_classifier(name):
    with torch.device("meta"):
        theirs, (ours, size) = get_model(name, weights=None), backbones.build(name, 4, 1)
        assert ours(clips(name, "meta")).shape == (2, size)
    named = {key: tuple(weight.shape) for key, weight in theirs.state_dict().items()}
    kept = {key: shape for key, shape in named.items() if key.partition(".")[0] not in backbones.CLASSIFIERS}
    assert {key: tuple(weight.shape) for key, weight in ours.state_dict().items()} == kept
    assert len(kept) < len(named)


@pytest.mark.parametrize("name", ["r3d_18", "swin3d_t"])
def test_features_are_what_torchvisions_classifier_gets(name):
    torch.manual_seed(0)
    theirs, (ours, _) = get_model(name, weights=None).eval(), backbones.build(name, 4, 1)
    classifier = theirs.fc if name == "r3d_18" else theirs.head
    weights = theirs.state_dict()
    ours.load_state_dict({key: weights[key] for key in ours.state_dict()})
    with torch.no_grad():
        assert torch.equal(classifier(ours.eval()(clips(name))), theirs(clips(name)))


def test_only_pooling_in_space_and_time_has_a_gradient_of_chance():
    with torch.device("meta"):
        chance = [name for name in backbones.NAMES if not backbones.is_deterministic(backbones.build(name, 4, 1)[0])]
    assert chance == ["s3d", "mvit_v1_b", "mvit_v2_s"]


@pytest.mark.parametrize("name", backbones.NAMES)
def test_smallest_clips(name):
    """`aurl.pipeline.check` refuses smaller ones."""
    frames, size = SMALL.get(name, (1, 16))
    with torch.device("meta"):
        network, features = backbones.build(name, 4, 1)
        assert network(torch.ones(2, 3, frames, size, size)).shape == (2, features)
        if name in SMALL:
            for fewer, less in ((2, 0), (0, 4)):
                with pytest.raises((RuntimeError, ValueError)):
                    network(torch.ones(2, 3, frames - fewer, size - less, size - less))


def test_unknown_name():
    with pytest.raises(UserError, match="^The model's backbone must be r2plus1d, r3d_18, .* or swin3d_b, not 'r3d'.$"):
        backbones.build("r3d", 4, 1)


# --- a wrong gradient in the libraries below --------------------------------------------------------


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("frames", [1, 2, 3, 4])
def test_rough_gradient_of_a_temporal_convolution(frames, stride):
    """oneDNN's bfloat16 weight gradient of a padded temporal convolution is wrong for clips of two frames."""
    rng = torch.Generator().manual_seed(frames)
    conv = backbones._factorized(8, 8, 16, stride)[3].to(memory_format=torch.channels_last_3d)
    reference = torch.nn.Conv3d(8, 16, (3, 1, 1), (stride, 1, 1), (1, 0, 0), bias=False)
    reference.weight.data.copy_(conv.weight.data)
    x = torch.randn(4, 8, frames, 6, 6, generator=rng)
    rough, exact = (x.contiguous(memory_format=torch.channels_last_3d) for _ in range(2))
    with torch.autocast("cpu", torch.bfloat16):
        found = conv(rough)
    expected = reference(exact)
    assert found.shape == expected.shape and torch.allclose(found.float(), expected, atol=0.05)
    upstream = torch.randn(expected.shape, generator=rng)
    found.backward(upstream.to(found.dtype))
    expected.backward(upstream)
    gradients = conv.weight.grad, reference.weight.grad
    assert gradients[0].isfinite().all()
    assert (gradients[0] - gradients[1]).norm() < 0.02 * gradients[1].norm()


@pytest.mark.parametrize("name", ["r2plus1d", "r3d_18"])
def test_rough_gradients_of_clips_of_two_frames(name):
    rng, gradients = torch.Generator().manual_seed(0), []
    clips = torch.randn(4, 3, 2, 32, 32, generator=rng)
    for rough in (False, True):
        torch.manual_seed(0)
        network = backbones.build(name, 8, 1)[0].eval()
        with torch.autocast("cpu", torch.bfloat16, enabled=rough):
            network(clips).square().mean().backward()
        gradients.append(torch.cat([weight.grad.flatten() for weight in network.parameters()]))
    exact, found = gradients
    assert found.isfinite().all() and (found - exact).norm() < 0.1 * exact.norm()
