"""The shipped text encoders, with the real sentence encoder and a tiny CLIP; they need the extra `encoders`.

The job `encoders` of continuous integration installs it and sets AURL_TEST_ENCODERS, with which nothing is skipped.
"""

import json
import sys

import numpy as np
import pytest
import tiny
import torch
from errors import error_message
from project import ROOT

from aurl import UserError, text


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers.utils", None)
    monkeypatch.setitem(sys.modules, "transformers", None)
    for name in ("sentence(elsewhere)", "clip(elsewhere)"):
        with pytest.raises(UserError, match=r'needs the package transformers.*: pip install "aurl\[encoders\]"'):
            text.Encoder(f"aurl.text.encoders:{name}").embed(["walk"])


@tiny.needs_extra
def test_the_committed_vectors_are_the_sentence_encoders():
    source = text.Encoder("aurl.text.encoders:sentence")
    found = source.embed(["bouncing", "a ball is bouncing", "an orange duck"])
    committed = text.Embeddings(ROOT / "data/embeddings/all-minilm-l6-v2.npz")
    committed = committed.embed(["bouncing", "bouncing ball", "orange duck"])
    np.testing.assert_allclose(found, committed, atol=2e-3)  # float16
    assert source.dim == 384


@tiny.needs_extra
def test_sentences_of_like_meaning_are_near():
    a, b, c = text.Encoder("aurl.text.encoders:sentence").embed(["HorseRiding", "a person on a horse", "typing"])
    assert a @ b > a @ c + 0.2


@tiny.needs_extra
def test_clips_text_tower(tmp_path):
    model = tiny.clip(tmp_path)
    tokens = list(json.loads((tmp_path / "vocab.json").read_text()))
    found = text.Encoder(f"aurl.text.encoders:clip({tmp_path})").embed(["Walk", "run"])
    ids = [[0, *(tokens.index(token) for token in word), 1] for word in (["w", "a", "l", "k</w>"], ["r", "u", "n</w>"])]
    with torch.no_grad():
        expected = [model.get_text_features(torch.tensor([own])).pooler_output[0].numpy() for own in ids]
    expected = [vector / np.linalg.norm(vector) for vector in expected]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@tiny.needs_extra
@pytest.mark.parametrize("function", ["sentence", "clip"])
def test_weights_that_cannot_be_loaded(tmp_path, function):
    encoder = f"aurl.text.encoders:{function}({tmp_path})"
    assert "cannot be loaded" in error_message(lambda: text.Encoder(encoder).embed(["walk"]))
