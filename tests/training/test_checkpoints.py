"""Checkpoints load as they were saved, and files of another kind are refused."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors.torch
import torch
from colored import FILES, MODEL, NAMES, WORDS, compute
from errors import error_message

from aurl import UserError, backbones, models
from aurl.project import config
from aurl.training import checkpoints, inference

OLD = ("width", "depth", "projection", "semantic", "hidden", "word_hidden", "dim", "dropout")  # the first parameters


def test_saved_and_loaded_features_are_equal(tmp_path, data):
    torch.manual_seed(0)
    model = models.build(config.Model(**MODEL), 4, 6).eval()
    checkpoints.save(tmp_path / "new" / "folder", model.state_dict(), config.Model(**MODEL), NAMES, 6, note="x")
    model = model.to(memory_format=torch.channels_last_3d)
    loaded, facts = checkpoints.load(tmp_path / "new" / "folder")
    assert not loaded.training and facts["note"] == "x"
    for a, b in zip(
        inference.encode(model, data[1], 5, compute("float32")),
        inference.encode(loaded, data[1], 5, compute("float32")),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    with torch.no_grad():
        assert torch.equal(model.encode_class(torch.from_numpy(WORDS)), loaded.encode_class(torch.from_numpy(WORDS)))


@pytest.mark.parametrize(
    "file, content",
    [("model.safetensors", b"\x07" * 500), ("model.safetensors", b""), ("model.json", b"{"), ("model.json", b"[1, 2]"),
     ("model.json", b'{"model": {"width": 4}}'), ("model.json", b"\xff\xfe"),
     ("model.json", json.dumps({"model": MODEL, "word_dim": 6, "classes": ["a"]}).encode())],
)  # fmt: skip
def test_a_checkpoint_of_another_kind_is_refused(tmp_path, file, content):
    model = models.build(config.Model(**MODEL), 4, 6)
    checkpoints.save(tmp_path, model.state_dict(), config.Model(**MODEL), NAMES, 6)
    (tmp_path / file).write_bytes(content)
    message = error_message(checkpoints.load, tmp_path)
    assert message.startswith(f"{tmp_path} holds no checkpoint of this project (")


@pytest.mark.parametrize("file", FILES)
def test_a_missing_checkpoint_is_named(tmp_path, file):
    model = models.build(config.Model(**MODEL), 4, 6)
    checkpoints.save(tmp_path / "run", model.state_dict(), config.Model(**MODEL), NAMES, 6)
    (tmp_path / "run" / file).unlink()
    with pytest.raises(UserError, match=rf"^{tmp_path}/run\S* is missing: train the variant first"):
        checkpoints.load(tmp_path / "run")


def test_a_checkpoint_from_before_backbones_had_names_still_loads(tmp_path):
    model = models.build(config.Model(**MODEL), 4, 6)
    checkpoints.save(tmp_path, model.state_dict(), config.Model(**MODEL), NAMES, 6)
    about = json.loads((tmp_path / "model.json").read_text())
    about["model"] = {name: about["model"][name] for name in OLD}
    (tmp_path / "model.json").write_text(json.dumps(about))
    loaded, _ = checkpoints.load(tmp_path)
    assert torch.equal(loaded.centers, model.centers)


@pytest.mark.parametrize("content", ["", "[1]", "{}", '{"digests": 3}'])
def test_a_damaged_record_of_another_training_hides_no_duration(tmp_path, content):
    model = models.build(config.Model(**MODEL), 4, 6)
    checkpoints.save(tmp_path / "aurl-0", model.state_dict(), config.Model(**MODEL), NAMES, 6)
    progress = checkpoints.Progress(tmp_path / "scratch/aurl-0", "f" * 64, None)
    progress.finish(tmp_path / "aurl-0", [])
    (tmp_path / "scratch/aurl-0-0000").mkdir()
    (tmp_path / "scratch/aurl-0-0000/finished.json").write_text(content)
    assert checkpoints.seconds(tmp_path / "aurl-0", tmp_path / "scratch") >= 0


# --- a backbone's weights from a file --------------------------------------------------------------


@pytest.fixture
def weights():
    """torchvision's weights of a small network, its classifier's among them, in a state dict."""
    torch.manual_seed(3)
    network, size = backbones.build("r2plus1d", 4, 1)
    return network.state_dict() | {"fc.weight": torch.rand(400, size), "fc.bias": torch.rand(400)}


def written(path, weights):
    save = safetensors.torch.save_file if path.suffix == ".safetensors" else torch.save
    save(weights, path)
    return path


@pytest.mark.parametrize("file", ["r.pth", "r.safetensors"])
def test_a_backbone_starts_from_a_file(tmp_path, weights, file):
    network, _ = backbones.build("r2plus1d", 4, 1)
    checkpoints.load_backbone(network, written(tmp_path / file, weights))
    for name, weight in network.state_dict().items():
        assert torch.equal(weight, weights[name]), name


@pytest.mark.parametrize(
    "change, said",
    [
        ({"stem.0.weight": None}, "lacks stem.0.weight: "),
        ({"stem.9.weight": torch.ones(2)}, "has stem.9.weight, which the backbone has not: "),
        ({"stem.4.weight": torch.ones(5)}, r"has stem.4.weight of shape \(5,\), and the backbone of \(4,\): "),
        ({"stem.4.weight": torch.full((4,), torch.nan)}, "has a weight in stem.4.weight that is not finite: "),
    ],
)
def test_weights_of_another_network_are_named(tmp_path, weights, change, said):
    changed = {name: weight for name, weight in (weights | change).items() if weight is not None}
    network, _ = backbones.build("r2plus1d", 4, 1)
    with pytest.raises(UserError, match=f"^model.weights: {tmp_path}/r.pth {said}take weights of the network"):
        checkpoints.load_backbone(network, written(tmp_path / "r.pth", changed))


@pytest.mark.parametrize("content", [b"", b"PK", {"state_dict": {}}, {"epoch": 3}, [1], SimpleNamespace(a=1)])
@pytest.mark.parametrize("file", ["r.pth", "r.safetensors"])
def test_a_file_that_is_no_state_dict(tmp_path, file, content):
    if isinstance(content, bytes):
        (tmp_path / file).write_bytes(content)
    else:
        torch.save(content, tmp_path / file)
    network, _ = backbones.build("r2plus1d", 4, 1)
    with pytest.raises(UserError, match=rf"^model.weights: {tmp_path}/{file} is no state dict \(\w+\): save"):
        checkpoints.load_backbone(network, tmp_path / file)


def test_weights_that_are_not_there(tmp_path):
    with pytest.raises(UserError, match="^model.weights: there is no file /none.pth: write the path of one, or null.$"):
        checkpoints.load_backbone(backbones.build("r2plus1d", 4, 1)[0], "/none.pth")
