"""Checkpoints load as they were saved, and files of another kind are refused."""

import json

import numpy as np
import pytest
import torch
from colored import MODEL, NAMES, WORDS, compute, videos

from aurl import UserError, checkpoints, config, inference, models

pytestmark = pytest.mark.usefixtures("one_thread")
FILES = ("model.safetensors", "model.json")


@pytest.fixture(scope="module")
def data():
    return videos(16, 1, random=0), videos(4, 2)


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
    [
        ("model.safetensors", b"\x07" * 500),
        ("model.safetensors", b""),
        ("model.json", b"{"),
        ("model.json", b"[1, 2]"),
        ("model.json", b'{"model": {"width": 4}}'),
        ("model.json", b"\xff\xfe"),
        ("model.json", json.dumps({"model": MODEL, "word_dim": 6, "classes": ["a"]}).encode()),
    ],
)
def test_a_checkpoint_of_another_kind_is_refused(tmp_path, file, content):
    model = models.build(config.Model(**MODEL), 4, 6)
    checkpoints.save(tmp_path, model.state_dict(), config.Model(**MODEL), NAMES, 6)
    (tmp_path / file).write_bytes(content)
    with pytest.raises(UserError) as caught:
        checkpoints.load(tmp_path)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path} holds no checkpoint of this project (") and "\n" not in message


@pytest.mark.parametrize("file", FILES)
def test_a_missing_checkpoint_is_named(tmp_path, file):
    model = models.build(config.Model(**MODEL), 4, 6)
    checkpoints.save(tmp_path / "run", model.state_dict(), config.Model(**MODEL), NAMES, 6)
    (tmp_path / "run" / file).unlink()
    with pytest.raises(UserError, match=rf"^{tmp_path}/run\S* is missing: train the variant first"):
        checkpoints.load(tmp_path / "run")
