"""Video encoders give what their own library gives, for clips that were normalized by hand."""

import re
import sys

import numpy as np
import pytest
import tiny
import torch
import torchvision
from errors import error_message

from aurl import UserError
from aurl.training import encoders
from aurl.training.encoders import open_encoder

CLIPS = np.random.default_rng(0).integers(0, 256, (3, 4, 32, 32, 3), dtype=np.uint8)
PIXELS = (CLIPS / 255 - [0.5, 0.4, 0.3]) / [0.25, 0.5, 0.2]  # as the tiny models' processor says
PIXELS = torch.from_numpy(PIXELS.astype(np.float32)).permute(0, 1, 4, 2, 3)  # (N, T, 3, H, W)


def encoded(encoder, clips=CLIPS):
    with torch.no_grad():
        return encoder.encode(torch.from_numpy(clips)).numpy()


@pytest.fixture
def network(tmp_path):
    torch.manual_seed(0)
    network = torchvision.models.get_model("mc3_18", weights=None).eval()
    torch.save(network.state_dict(), tmp_path / "mc3.pth")
    return network


def test_a_network_of_torchvision_without_its_classifier(network, tmp_path):
    encoder = open_encoder("mc3_18", str(tmp_path / "mc3.pth"))
    assert (encoder.frames, encoder.stride, encoder.size) == (16, 2, 112)
    mean, std = (
        torch.tensor(values)[:, None, None, None]
        for values in ((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989))
    )
    network.fc = torch.nn.Identity()
    with torch.no_grad():
        expected = network((torch.from_numpy(CLIPS).permute(0, 4, 1, 2, 3) / 255 - mean) / std)
    np.testing.assert_allclose(encoded(encoder), expected, atol=1e-4)
    with torch.no_grad():
        next(network.parameters())[0] += 1
    torch.save(network.state_dict(), tmp_path / "other.pth")
    assert open_encoder("mc3_18", str(tmp_path / "mc3.pth")).digest == encoder.digest
    assert encoder.digest != open_encoder("mc3_18", str(tmp_path / "other.pth")).digest


def test_every_network_says_which_clips_it_takes(monkeypatch, tmp_path):
    monkeypatch.setattr(encoders.checkpoints, "load_backbone", lambda *_: None)
    monkeypatch.setattr(encoders.backbones, "build", lambda *_: (torch.nn.Linear(1, 1), 1))
    found = {name: open_encoder(name, "w.pth")[4:] for name in encoders.NETWORKS}
    assert found["mvit_v2_s"] == (16, 4, 224) and found["swin3d_t"] == (32, 2, 224) and found["s3d"] == (16, 2, 224)


@tiny.needs_extra
def test_clip_averages_unit_vectors_of_frames(tmp_path):
    model, encoder = tiny.clip(tmp_path), open_encoder(str(tmp_path))
    assert (encoder.frames, encoder.stride, encoder.size) == (8, None, 32)
    with torch.no_grad():
        frames = [[model.get_image_features(frame[None]).pooler_output[0] for frame in clip] for clip in PIXELS]
    expected = [np.mean([vector / vector.norm() for vector in clip], axis=0) for clip in frames]
    np.testing.assert_allclose(encoded(encoder), expected, atol=1e-5)


@tiny.needs_extra
def test_x_clip_sees_the_whole_clip(tmp_path):
    model, encoder = tiny.x_clip(tmp_path), open_encoder(str(tmp_path))
    assert (encoder.frames, encoder.stride, encoder.size) == (4, None, 32)
    with torch.no_grad():
        expected = model.get_video_features(PIXELS).pooler_output
    assert expected.shape == (3, 8)
    np.testing.assert_allclose(encoded(encoder), expected, atol=1e-5)
    assert not np.allclose(encoded(encoder, CLIPS[:, ::-1].copy()), expected, atol=1e-6)  # time matters


@tiny.needs_extra
@pytest.mark.parametrize("classifier", [False, True])
def test_videomae_with_and_without_a_classifier(tmp_path, classifier):
    model, encoder = tiny.video_mae(tmp_path, classifier), open_encoder(str(tmp_path))
    assert (encoder.frames, encoder.stride, encoder.size) == (4, 4, 32)
    with torch.no_grad():
        tokens = (model.videomae if classifier else model)(PIXELS).last_hidden_state.mean(dim=1)
        expected = model.fc_norm(tokens) if classifier else tokens
    np.testing.assert_allclose(encoded(encoder), expected, atol=1e-5)


def test_a_function_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_encoder.py").write_text(
        "def mean(clips, scale='1'):\n    return clips.mean(axis=(1, 2, 3)) * float(scale)\n"
        "def wrong(clips):\n    return clips\n"
        "def broken(clips):\n    raise ValueError('no luck\\nat all')\n"
        "def later(clips, seen=[]):\n    seen.append(0)\n    return clips.mean(axis=(1, 2, 3))[:, :len(seen)]\n"
    )
    (tmp_path / "weights").write_text("1")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    encoder = open_encoder("own_encoder:mean(2)")
    np.testing.assert_allclose(encoded(encoder), 2 * CLIPS.mean(axis=(1, 2, 3)), rtol=1e-6)
    assert encoder.network is None and len(encoder.digest) == 64
    names = ["own_encoder:mean", "own_encoder:mean(2)", "own_encoder:mean(weights)", "own_encoder:broken"]
    digests = {open_encoder(name).digest for name in names}
    (tmp_path / "weights").write_text("2")
    assert len(digests | {open_encoder("own_encoder:mean(weights)").digest}) == 5
    late = open_encoder("own_encoder:later")
    encoded(late)
    with pytest.raises(UserError, match="returned vectors of 1 and of 2 numbers"):
        encoded(late)
    said = r"own_encoder:wrong returned an array of shape \(3, 4, 32, 32, 3\) for 3 inputs"
    with pytest.raises(UserError, match=said):
        encoded(open_encoder("own_encoder:wrong"))
    with pytest.raises(UserError, match=r"own_encoder:broken failed \(ValueError: no luck\): correct it"):
        encoded(open_encoder("own_encoder:broken"))


def test_mistakes_are_named(tmp_path, monkeypatch):
    for name, weights, said in (
        ("nowhere", None, "there is no encoder nowhere: give a folder with a model of transformers, MODULE:FUNCTION"),
        ("r3d_18", None, "r3d_18 needs weights: add --weights FILE"),
        ("r3d_18", "gone.pth", "there is no file gone.pth"),
        (str(tmp_path), "x.pth", "--weights belongs to a network of torchvision"),
        ("no_such_module:f", None, "no_such_module:f cannot be imported"),
    ):
        with pytest.raises(UserError, match=said):
            open_encoder(name, weights)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match=r'needs the package transformers.*: pip install "aurl\[encoders\]"'):
        open_encoder(str(tmp_path))


@tiny.needs_extra
def test_a_folder_without_a_model(tmp_path):
    said = "cannot be loaded .*: give a folder with config.json, the weights and"
    assert re.search(said, error_message(open_encoder, str(tmp_path)))
