"""Pixels are normalized, features are those of encoding one by one, and labels are ranked by cosine."""

import numpy as np
import pandas as pd
import pytest
import torch
from colored import NAMES, WORDS, compute, settings

from aurl.data.clips import Clips
from aurl.project import config
from aurl.rivals import Relation
from aurl.training import checkpoints, devices, inference
from aurl.training import loop as training


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    training.train(settings(epochs=12, batch=8), *data, NAMES, WORDS, folder, folder / "scratch")
    return checkpoints.load(folder)[0]


def test_input_equals_the_formula():
    clips = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5, 6, 3), dtype=np.uint8)  # N, K, T, H, W, 3
    before = clips.copy()
    found = inference.to_input(clips)
    assert found.shape == (2, 3, 3, 4, 5, 6) and found.dtype == torch.float32 and found.is_contiguous()
    for channel, (mean, std) in enumerate(zip((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989))):
        np.testing.assert_allclose(found[:, :, channel], (clips[..., channel] / 255 - mean) / std, atol=2e-6)
    np.testing.assert_array_equal(clips, before)


def test_input_leaves_floats_alone():
    floats = torch.rand(3, 2, 4, 4).movedim(0, -1) * 255  # laid out so that the result could share its memory
    before = floats.clone()
    inference.to_input(floats)
    assert torch.equal(floats, before)


def test_encode_is_in_order_and_equals_encoding_one_by_one(trained, data):
    rows = {"id": data[1].ids, "digest": data[1].digests, "path": data[1].paths, "first": 0, "frames": 5}
    manifest = pd.DataFrame(rows | {"class": [NAMES[i] for i in data[1].labels]})
    short = config.Clip(frames=2, segments=1, stride=1, size=16, crop="squash")
    several = Clips(manifest, NAMES, short, count=2, cache=data[1].cache)
    for clips, batch in ((data[1], 3), (several, 5)):
        features, labels = inference.encode(trained, clips, batch, compute("float32"))
        assert features.dtype == np.float32 and features.shape == (16, 8) and labels.tolist() == clips.labels
        with torch.no_grad():
            for feature, (clip, _, _) in zip(features, clips, strict=True):
                colors = torch.from_numpy(clip / 255.0).float()
                colors = (colors - torch.tensor(inference.MEAN)) / torch.tensor(inference.STD)
                expected = trained.encode_video(colors.permute(0, 4, 1, 2, 3)[None])[0]
                np.testing.assert_allclose(feature, expected, atol=1e-5)
    assert not trained.training and np.ptp(features, axis=0).max() > 0.5  # the videos differ, so something was compared


def test_clips_are_mirrored_on_the_device():
    video = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 2, 2, 4, 6, 3), dtype=np.uint8))
    mirrored = torch.tensor([[True, False], [False, False], [True, True]])
    arithmetic = devices.Arithmetic(torch.device("cpu"), "float32", True, False)
    found = inference.to_device(video, mirrored, arithmetic)
    for n, k in np.ndindex(3, 2):
        clip = inference.to_input(video[n, k])
        assert torch.equal(found[n, k], clip.flip(-1) if mirrored[n, k] else clip)


def test_rough_arithmetic_is_close_to_exact(trained, data):
    exact, _ = inference.encode(trained, data[1], 16, compute("float32"))
    rough, _ = inference.encode(trained, data[1], 16, compute("bf16"))
    automatic, _ = inference.encode(trained, data[1], 16, compute("auto"))
    np.testing.assert_allclose(np.linalg.norm(rough, axis=1), 1, atol=1e-5)
    assert abs(rough - exact).max() > 0 and (rough * exact).sum(axis=1).min() > 0.98
    assert any(np.array_equal(automatic, features) for features in (rough, exact))


def test_learned_scores_are_the_same_in_parts(monkeypatch):
    torch.manual_seed(0)
    relation, rng = Relation(5, 4), np.random.default_rng(0)
    video, classes = (rng.normal(size=size).astype(np.float32) for size in ((7, 2, 5), (4, 5)))
    whole = inference.similarity(video, classes, relation)
    assert whole.shape == (7, 4) and np.ptp(whole) > 0.01
    monkeypatch.setattr(inference, "PAIRS", 50)  # two videos with four classes are 40 numbers
    np.testing.assert_allclose(inference.similarity(video, classes, relation), whole, atol=1e-6)


def test_ranks_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    video_features, classes = rng.normal(size=(7, 5)), rng.normal(size=(4, 5))
    names = ["a", "b", "c", "d"]
    labels, scores = inference.rank(inference.similarity(video_features, classes), names, k=3)
    for row, feature in enumerate(video_features):
        best = sorted(range(4), key=lambda c: -float(sum(feature * classes[c])))[:3]
        assert labels[row].tolist() == [names[c] for c in best]
        np.testing.assert_allclose(scores[row], [sum(feature * classes[c]) for c in best])


def test_equal_scores_keep_the_order_of_names_and_few_classes_give_few_labels():
    labels, scores = inference.rank(np.ones((1, 3)), ["z", "y", "x"], k=5)
    assert labels.tolist() == [["z", "y", "x"]] and scores.shape == (1, 3)
