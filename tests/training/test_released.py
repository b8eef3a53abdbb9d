"""The authors' checkpoints: the same features, the same training afterwards, and no code in them runs."""

import argparse
import io
import os
import pickle

import authors
import numpy as np
import pytest
import torch
from authors import clips, words
from torch.nn.functional import normalize

from aurl import UserError, losses
from aurl.generator import ClassGenerator
from aurl.training.released import load_released


def network(**sizes):
    torch.manual_seed(0)
    return authors.shake(authors.Released(**sizes)).eval()


@pytest.fixture(scope="module")
def released():
    """One network for all tests; none of them changes it."""
    return network()


# --- what loads --------------------------------------------------------------------------------------


@pytest.mark.parametrize("save", [authors.save, authors.save_last])
@pytest.mark.parametrize("saved", [dict(), dict(twins=False), dict(prefix="module."), dict(zipped=False)])
def test_released_layout_loads(released, tmp_path, save, saved):
    model = load_released(save(tmp_path / "AURL662_checkpoint.pth.tar", released, **saved))
    assert not model.training and torch.equal(model.centers, released.classifier.weight)
    video, names = clips(2, 3), words()
    with torch.no_grad():
        expected = [normalize(features, dim=1) for features in released(video, names)]
        assert torch.allclose(model.encode_video(video), expected[0], atol=1e-6)
        assert torch.allclose(model.encode_class(names), expected[1], atol=1e-6)
        assert not torch.allclose(*expected[0], atol=1e-2)  # the videos differ, so the backbone was compared


@pytest.mark.parametrize("classes, width", [(3, 8), (9, 4)])
def test_released_layout_of_any_size_loads(tmp_path, classes, width):
    model = load_released(authors.save(tmp_path / "x.pth.tar", authors.Released(classes=classes, width=width)))
    assert len(model.centers) == classes and model.backbone(clips(1)).shape == (1, 8 * width)


@pytest.mark.parametrize("accuracy", [np.float64(44.39), np.float32(44.39)])
def test_numpy_1_wrote_its_scalars_under_another_name(released, tmp_path, accuracy):
    path = authors.save(tmp_path / "old.pth.tar", released, accuracy=accuracy, zipped=False)
    content = path.read_bytes()
    assert b"cnumpy._core.multiarray\nscalar\n" in content
    assert torch.equal(load_released(path).centers, released.classifier.weight)
    path.write_bytes(content.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"))
    assert torch.equal(load_released(path).centers, released.classifier.weight)


# --- training continues as in the released code -----------------------------------------------------


@pytest.mark.parametrize("save", [authors.save, authors.save_last])
def test_five_steps_of_training_are_those_of_the_released_network(tmp_path, save):
    theirs = network(dropout=0.0)
    ours = load_released(save(tmp_path / "checkpoint.pth.tar", theirs))
    ours.dropout.p = 0.0
    rates = dict(lr=0.05, momentum=0.9, weight_decay=1e-4)
    networks = [(model, torch.optim.SGD(model.double().train().parameters(), **rates)) for model in (theirs, ours)]
    start = [weight.clone() for weight in theirs.parts()]
    names = words().double()
    for step in range(5):
        # Batches of a few very bright or dark videos would grow the last digit's rounding to 1e-9 by themselves.
        video, labels = clips(8, 1, seed=step, contrast=1).double(), torch.arange(8) % 5
        mix = torch.rand(5, 5, generator=torch.Generator().manual_seed(step)).double()
        rng = torch.Generator().manual_seed(step)
        projected, classes, centers = ours(video, names).values()
        totals = [
            theirs.loss(video, names, labels, mix),
            losses.aurl(projected, classes, centers, labels, ClassGenerator("released"), rng=rng)["total"],
        ]
        assert totals[0].item() == pytest.approx(totals[1].item(), abs=1e-9)
        for (_, optimizer), total in zip(networks, totals, strict=True):
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
    weights = ours.state_dict()
    assert torch.allclose(weights.pop("centers"), theirs.classifier.weight, rtol=0, atol=1e-9)
    assert len(weights) == len(start) and weights["backbone.stem.0.weight"].dtype == torch.float64
    for (name, own), other, before in zip(weights.items(), theirs.parts(), start, strict=True):
        assert (own - other).abs().max() < 1e-9, name
        assert not torch.equal(other, before), name  # batch statistics and the number of batches, too


# --- what does not load -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, part",
    [
        ("encode.0.model.0.0.weight", "backbone.model.0.0.weight"),
        ("encode_words.0.regressor.bias", "backbone_words.regressor.bias"),
        ("encode.0.regressor.weight", "backbone.regressor.weight"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_twins_that_differ_are_refused(released, tmp_path, name, part, prefix):
    weights = {prefix + key: weight.clone() for key, weight in released.state_dict().items()}
    weights[prefix + name].view(-1)[0] += 1
    torch.save({"state_dict": weights}, tmp_path / "two.pth.tar")
    with pytest.raises(UserError, match=rf"two\.pth\.tar holds two different values of {part}; download the file aga"):
        load_released(tmp_path / "two.pth.tar")


def test_weights_that_are_not_finite_are_refused(tmp_path):
    broken = network()
    broken.projection.l1[0].weight.data[0, 0] = float("nan")
    said = r"nan\.pth\.tar holds a weight in projection\.l1\.0\.weight that is not finite"
    with pytest.raises(UserError, match=said):
        load_released(authors.save(tmp_path / "nan.pth.tar", broken))


class Command:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("place", ["opt", "state_dict", "optim_state_dict", "whole", "pickle"])
def test_a_pickle_that_runs_code_is_refused(released, tmp_path, place):
    path, marker = tmp_path / "evil.pth.tar", tmp_path / "ran"
    content = {"state_dict": released.state_dict(), "opt": argparse.Namespace(), "optim_state_dict": {}}
    content = content | {place: Command(marker)} if place in content else Command(marker)
    if place == "pickle":
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path)
    with pytest.raises(UserError, match=r"^.*evil\.pth\.tar is not plain weights and was not read[^.]*\.$"):
        load_released(path)
    assert not marker.exists()


def test_types_stay_allowed_only_while_loading(released, tmp_path):
    path = authors.save(tmp_path / "x.pth.tar", released)
    load_released(path)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)


def without(weights, *names):
    return {key: value for key, value in weights.items() if key not in names}


@pytest.mark.parametrize(
    "content",
    [lambda weights: {"state_dict": without(weights, "projection.l2.1.bias", "encode.1.l2.1.bias")},
     lambda weights: {"state_dict": without(weights, "classifier.weight")},
     lambda weights: {"state_dict": weights | {"attention.weight": torch.ones(2)}},
     lambda weights: {"state_dict": weights | {"encode.2.weight": torch.ones(2)}},
     lambda weights: {"state_dict": weights | {"projection.l3.0.bias": torch.ones(3)}},
     lambda weights: {"state_dict": weights | {"classifier.weight": "a text"}}, lambda weights: {"state_dict": {}},
     lambda weights: {"model": weights}, lambda weights: [1, 2]],
)  # fmt: skip
def test_another_layout_is_refused(released, tmp_path, content):
    path = tmp_path / "other.pth.tar"
    torch.save(content(dict(released.state_dict())), path)
    with pytest.raises(UserError, match=r"^.*other\.pth\.tar is no released AURL checkpoint; use"):
        load_released(path)


def test_files_that_are_missing_or_cut_short(released, tmp_path):
    with pytest.raises(UserError, match="There is no checkpoint"):
        load_released(tmp_path / "nowhere.pth.tar")
    path = authors.save(tmp_path / "cut.pth.tar", released)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UserError, match="cut.pth.tar"):
        load_released(path)
    path.write_bytes(b"")
    with pytest.raises(UserError, match="cut.pth.tar"):
        load_released(path)
    buffer = io.BytesIO()
    torch.save({"state_dict": {"fc.weight": torch.ones(2)}}, buffer, _use_new_zipfile_serialization=False)
    for size in range(1, len(buffer.getvalue()), 7):  # the format of older PyTorch, which fails in other ways
        path.write_bytes(buffer.getvalue()[:size])
        with pytest.raises(UserError, match="cut.pth.tar"):
            load_released(path)
    with pytest.raises(UserError):
        load_released(tmp_path)
