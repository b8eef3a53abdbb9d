"""Reports agree with metrics computed by others, and features come back as they were kept."""
from types import SimpleNamespace

import numpy as np
import pandas as pd
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
    return {"video": video / np.linalg.norm(video, axis=1, keepdims=True), "classes": classes / np.linalg.norm(classes, axis=1, keepdims=True), "labels": labels}


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
    first, other = evaluation.report(features, 200), evaluation.report(features, 200, seed=1)
    changed = {name for name in first if first[name] != other[name]}
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
            return [(torch.zeros(size, 1, 2, 4, 4, 3, dtype=torch.uint8), torch.arange(size)), (torch.zeros(1, 1, 2, 4, 4, 3, dtype=torch.uint8), torch.tensor([7]))]

    params = SimpleNamespace(evaluate=SimpleNamespace(batch=3), compute=SimpleNamespace(precision="float32", channels_last="never"))
    found = evaluation.features(Model(), Clips(), np.ones((5, 4), np.float32), params)
    assert found["video"].shape == (4, 4) and found["labels"].tolist() == [0, 1, 2, 7]
    assert (found["classes"] == 2).all()


def test_markdown_has_a_row_per_result_and_says_percent():
    table = pd.DataFrame([{"set": "s", "variant": "aurl", "seed": 0, "chance": 0.05, "top1": 0.5, "top1_low": 0.4, "top1_high": 0.6, "top5": 0.9, "closeness": 0.1, "dispersion": 0.2}])
    head, rule, row, _ = evaluation.markdown(table).splitlines()
    assert "top-1 %" in head and head.count("|") == rule.count("|") == row.count("|")
    assert "| 50.0 (40.0–60.0) | 10.0 | 90.0 | 0.100 | 0.200 |" in row
    both = evaluation.markdown(pd.concat([table, table.assign(seed=1)]))
    assert "aurl, seed 1" in both


def test_verdicts_say_who_is_above_and_whether_intervals_overlap():
    rows = [("s", "aurl", 0.5, 0.45, 0.55), ("s", "e2e", 0.3, 0.25, 0.35), ("t", "aurl", 0.2, 0.1, 0.3), ("t", "e2e", 0.25, 0.15, 0.35)]
    table = pd.DataFrame(rows, columns=["set", "variant", "top1", "top1_low", "top1_high"]).assign(seed=0)
    assert evaluation.verdicts(table) == [
        "s: `aurl` is 20.0 points above `e2e`; their intervals do not overlap.",
        "t: `aurl` is 5.0 points below `e2e`; their intervals overlap.",
    ]
    assert evaluation.verdicts(table[table["variant"] == "e2e"]) == []
