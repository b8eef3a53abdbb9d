"""All chapters run on features that were computed elsewhere, of two segments for each video."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from project import ROOT, chapter

from aurl.pipeline import heads, sphere
from aurl.pipeline.check import check
from aurl.project import paths

pytestmark = pytest.mark.usefixtures("one_thread", "in_process")
SEEN = ["bouncing", "climbing", "crossing", "falling", "growing", "rolling", "shaking", "swinging"]
UNSEEN = ["sliding", "spinning", "jumping"]
VARIANTS = ["aurl", "attention"]  # the second sees both segments at once
CHANGE = {
    "run": {"variants": VARIANTS},
    "data": {"train": ["seen"], "test": ["unseen"],
             "datasets": {name: {"reader": "features", "root": f"{name}.npz"} for name in ("seen", "unseen")}},
    "prepare": {"val_videos": 2}, "model": {"backbone": "features", "hidden": 16, "word_hidden": 16, "dim": 8},
    "train": {"epochs": 6, "batch": 16}, "evaluate": {"clips": [1, 2], "bootstrap": 100},
    "sphere": {"variants": ["aurl"], "classes": SEEN[:4], "epochs": 1, "batch": 8},
    "heads": {"backbone": "aurl", "variants": ["aurl"], "seeds": 1, "rates": [0.01], "sweeps": {"loss.scale": [5]}},
}  # fmt: skip


def test_every_chapter_has_its_results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    for name in ("vectors", "descriptions.yaml"):
        (tmp_path / "data" / name).symlink_to(ROOT / "data" / name)
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    for section, own in CHANGE.items():
        values[section] |= own
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    rng, directions = np.random.default_rng(0), np.eye(len(SEEN) + len(UNSEEN), 12)
    for name, classes, first, count in (("seen", SEEN, 0, 12), ("unseen", UNSEEN, len(SEEN), 6)):
        labels = np.arange(count * len(classes)) % len(classes)
        values = directions[first + labels][:, None] + rng.normal(0, 0.1, (len(labels), 2, 12))
        np.savez(
            f"{name}.npz",
            features=values.astype(np.float32),
            labels=labels,
            classes=classes,
            pretraining=["web videos"],
        )
    check()
    chapter("01_prepare_data")
    chapter("02_embed_class_names")
    for variant in VARIANTS:
        chapter("03_train", variant=variant)
        chapter("04_evaluate", variant=variant)
    sphere.run("aurl")
    heads.run()
    for name in ("05_ablations", "06_paper", "07_your_own_video"):
        chapter(name)
    torch.use_deterministic_algorithms(False)

    for variant in VARIANTS:
        about = json.loads((paths.run(variant, 0) / "model.json").read_text())
        assert about["text"] == {"vectors": "data/vectors/glove-6b-100d-actions.bin"}
        metrics = json.loads(paths.metrics(variant, 0).read_text())
        assert set(metrics) == {"seen", "unseen"} and metrics["seen"]["top1"] > 0.5 > 2 * metrics["seen"]["chance"]
        assert metrics["unseen"]["clips2"].keys() == metrics["unseen"].keys() - {"clips2", "pretraining"}
    assert pd.read_csv(paths.SUMMARY)["variant"].tolist() == VARIANTS
    assert paths.SUMMARY_MARKDOWN.read_text().count("| web videos (test classes in it unknown) |") == 2
    assert len(pd.read_csv(paths.HEADS_RUNS)) == len(pd.read_csv(paths.HEADS_SWEEPS)) == 1
    for name in ("figure1", "ablations", "training_curves", "evaluation-attention-0/film_strips-unseen"):
        assert (paths.FIGURES / f"{name}.png").stat().st_size > 1000
