"""All chapters run on features that were computed elsewhere, of two segments for each video."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from project import chapter, link_data, write

from aurl.data import names
from aurl.evaluation import published
from aurl.pipeline import heads, sphere
from aurl.pipeline.check import check
from aurl.project import paths

pytestmark = pytest.mark.usefixtures("in_process")
SEEN = ["bouncing", "climbing", "crossing", "falling", "growing", "rolling", "shaking", "swinging"]
UNSEEN = ["sliding", "spinning", "jumping"]
VARIANTS = ["aurl", "attention"]  # the second sees both segments at once
CHANGE = {
    "run": {"variants": VARIANTS},
    "data": {"train": ["seen"], "test": ["unseen", "hmdb", "k600"],
             "datasets": {"seen": {}, "unseen": {},
                          "hmdb": {"names": "hmdb51", "classes": ["brush_hair", "wave"], "test_lists": "lists"},
                          "k600": {"names": "kinetics600", "classes": str(published.NEW)}}},
    "prepare": {"val_videos": 2}, "model": {"backbone": "features", "hidden": 16, "word_hidden": 16, "dim": 8},
    "train": {"epochs": 6, "batch": 16}, "evaluate": {"clips": [1, 2], "bootstrap": 100},
    "variants": {"attention": {"clip": {"frames": 4, "segments": 2}, "model": {"pooling": "attention"}}},
    "sphere": {"variants": ["aurl"], "classes": SEEN[:4], "epochs": 1, "batch": 8},
    "heads": {"backbone": "aurl", "variants": ["aurl"], "seeds": 1, "rates": [0.01], "sweeps": {"loss.scale": [5]}},
}  # fmt: skip


for name, about in CHANGE["data"]["datasets"].items():
    about |= {"reader": "features", "root": f"{name}.npz"}


def test_every_chapter_has_its_results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    link_data(tmp_path)
    write(tmp_path, CHANGE)
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
    few, new = ["brush_hair", "wave"], names.read(published.NEW)
    vectors = rng.normal(size=(8, 2, 12)).astype(np.float32)
    ids = [f"{few[k // 4]}/{k}" for k in range(8)]
    np.savez("hmdb.npz", features=vectors, labels=np.repeat(few, 4), ids=ids, pretraining=["web videos"])
    (tmp_path / "lists").mkdir()
    for split in (1, 2, 3):  # each tests one video of the first class, and as many of the second as its number
        Path(f"lists/brush_hair_test_split{split}.txt").write_text(f"{split}.avi 2\n0.avi 1\n")
        Path(f"lists/wave_test_split{split}.txt").write_text("".join(f"{4 + k}.avi 2\n" for k in range(split)))
    vectors = rng.normal(size=(len(new), 2, 12)).astype(np.float32)
    np.savez("k600.npz", features=vectors, labels=np.array(new), pretraining=["web videos"])
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
        assert (
            set(metrics) == {"seen", "unseen", "hmdb", "k600"}
            and metrics["seen"]["top1"] > 0.5 > 2 * metrics["seen"]["chance"]
        )
        assert metrics["unseen"]["clips2"].keys() == metrics["unseen"].keys() - {"clips2", "pretraining"}
        right = pd.read_csv(paths.predictions(variant, 0, "hmdb")).set_index("id")
        right = (right["top1"] == right["label"]).rename(lambda name: int(name.split("/")[-1]))
        found = [right[[split, *range(4, 4 + split)]].mean() for split in (1, 2, 3)]
        assert metrics["hmdb"]["lists_top1"] == pytest.approx(np.mean(found), abs=1e-4)
        assert metrics["hmdb"]["lists_top1_std"] == pytest.approx(np.std(found), abs=1e-4)
        assert 0 <= metrics["k600"]["draws_top1"] < 0.1 and "lists_top1" not in metrics["k600"]  # features are random
    assert pd.read_csv(paths.SUMMARY)["variant"].tolist() == VARIANTS * 3
    assert paths.SUMMARY_MARKDOWN.read_text().count("| web videos (test classes in it unknown) |") == 6
    assert len(pd.read_csv(paths.HEADS_RUNS)) == len(pd.read_csv(paths.HEADS_SWEEPS)) == 3  # a row for each set
    for name in ("figure1", "ablations", "training_curves", "evaluation-attention-0/film_strips-unseen"):
        assert (paths.FIGURES / f"{name}.png").stat().st_size > 1000
