"""Reports agree with metrics computed by others, and features come back as they were kept."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_accuracy

from aurl import UserError, evaluation


@pytest.fixture
def features():
    rng = np.random.default_rng(0)
    classes = rng.normal(size=(6, 8)).astype(np.float32)
    labels = np.repeat(np.arange(6), 10)
    video = classes[labels] + rng.normal(scale=1.5, size=(60, 8)).astype(np.float32)
    return {
        "video": video / np.linalg.norm(video, axis=1, keepdims=True),
        "classes": classes / np.linalg.norm(classes, axis=1, keepdims=True),
        "labels": labels,
    }


def test_report_agrees_with_torchmetrics(features):
    report = evaluation.report(features, bootstrap=200)
    scores, labels = torch.tensor(evaluation.scores(features)), torch.tensor(features["labels"])
    for name, k, average in (("top1", 1, "micro"), ("top5", 5, "micro"), ("mean_per_class", 1, "macro")):
        expected = multiclass_accuracy(scores, labels, num_classes=6, top_k=k, average=average).item()
        assert report[name] == pytest.approx(expected, abs=1e-4)
    assert report["chance"] == pytest.approx(1 / 6, abs=1e-4)
    assert report["top1_low"] < report["top1"] < report["top1_high"]


def test_report_is_deterministic_and_its_interval_follows_the_seed(features):
    assert evaluation.report(features, 200) == evaluation.report(features, 200)
    first, *others = (evaluation.report(features, 100, seed) for seed in range(5))
    changed = {name for other in others for name in first if first[name] != other[name]}
    assert changed and changed <= {"top1_low", "top1_high"}


def test_fewer_than_five_classes_still_have_a_top5(features):
    few = {"video": features["video"][:20], "classes": features["classes"][:2], "labels": features["labels"][:20]}
    assert evaluation.report(few, 100)["top5"] == 1


def test_kept_features_come_back(features, tmp_path):
    evaluation.save(tmp_path / "new" / "set.npz", features)
    back = evaluation.load(tmp_path / "new" / "set.npz")
    assert back.keys() == features.keys() and all((back[key] == features[key]).all() for key in back)


def test_missing_features_are_one_sentence(tmp_path):
    with pytest.raises(UserError, match="evaluate the variant first"):
        evaluation.load(tmp_path / "none.npz")


def test_features_are_the_models(tmp_path):
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.nothing = torch.nn.Parameter(torch.zeros(1))

        def encode_video(self, clips):
            return clips.flatten(1)[:, :4]

        def encode_class(self, words):
            return 2 * words

    class Clips:
        def batches(self, size):
            return [
                (torch.zeros(size, 1, 2, 4, 4, 3, dtype=torch.uint8), torch.arange(size)),
                (torch.zeros(1, 1, 2, 4, 4, 3, dtype=torch.uint8), torch.tensor([7])),
            ]

    params = SimpleNamespace(
        evaluate=SimpleNamespace(batch=3),
        compute=SimpleNamespace(precision="float32", channels_last="never", threads=1),
    )
    found = evaluation.features(Model(), Clips(), np.ones((5, 4), np.float32), params)
    assert found["video"].shape == (4, 4) and found["labels"].tolist() == [0, 1, 2, 7]
    assert (found["classes"] == 2).all()


def test_report_has_both_distances_and_the_half_protocol(features):
    report = evaluation.report(features, 100)
    unit = features["classes"][features["labels"]]
    assert report["closeness_euclidean"] == pytest.approx(
        np.linalg.norm(features["video"] - unit, axis=1).mean(), abs=1e-4
    )
    assert 0 < report["half_top1"] <= 1 and report["half_top1"] > report["top1"]  # fewer classes to mistake it for
    gaps = np.linalg.norm(features["classes"][:, None] - features["classes"], axis=2) + 9 * np.eye(6)
    assert report["dispersion_euclidean"] == pytest.approx(gaps.min(axis=1).mean(), abs=1e-4)


def test_generalised_lets_seen_classes_compete(features):
    seen = {"video": features["video"][:30], "classes": features["classes"][:3], "labels": features["labels"][:30]}
    unseen = {
        "video": features["video"][30:],
        "classes": features["classes"][3:],
        "labels": features["labels"][30:] - 3,
    }
    found = evaluation.generalised(seen, unseen)
    right = (evaluation.scores(features).argmax(axis=1) == features["labels"]).reshape(6, 10).mean(axis=1)
    assert found["gzsl_seen"] == pytest.approx(right[:3].mean(), abs=1e-4) and found["gzsl_unseen"] == pytest.approx(
        right[3:].mean(), abs=1e-4
    )
    assert found["gzsl_harmonic"] == pytest.approx(2 / (1 / right[:3].mean() + 1 / right[3:].mean()), abs=1e-4)
    assert found["gzsl_unseen"] < evaluation.report(unseen, 100)["mean_per_class"]
