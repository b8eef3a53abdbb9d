"""The search for learning rates, on tiny videos of three classes."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from project import write
from trees import video

from aurl import text
from aurl.data import prepare
from aurl.project import config, paths
from aurl.project.files import write_bytes

pytestmark = pytest.mark.usefixtures("one_thread", "in_process")

CLASSES = ["jump", "run", "walk"]
CHANGE = {
    "run": dict(variants=["contrastive"]),
    "data": dict(
        train=["left", "right"],
        test=["other"],
        datasets={name: dict(reader="folders", root=name) for name in ("left", "right", "other")},
    ),
    "prepare": dict(val_videos=1, min_frames=4),
    "clip": dict(frames=4, stride=1, size=16),
    "model": dict(width=4, hidden=8, word_hidden=8, dim=8),
    "train": dict(epochs=2, batch=4),
    "sphere": dict(variants=["contrastive"]),
    "heads": dict(backbone="contrastive"),
}


@pytest.fixture
def project(tmp_path, benchmark):
    """Two small training sets, prepared as the first two stages do, and the benchmark in their folder."""
    search = benchmark("learning_rates")
    write(tmp_path, CHANGE)
    for color, name in enumerate(CLASSES):
        for folder in ("left", "right", "other"):
            for k in range(3):
                video(Path(folder, name, f"{k}.mp4"), color, frames=5, width=16, height=16)
    params = config.load(sections=["data", "prepare"])
    manifest = prepare.merged(pd.concat(prepare.datasets(params.data, params.prepare)[0]), params.data.train)
    write_bytes(paths.MANIFEST, manifest.to_csv(index=False).encode())
    text.save_classes(
        paths.CLASS_VECTORS, {name: (CLASSES, np.eye(3, 5, dtype=np.float32)) for name in ("left+right", paths.WORDS)}
    )
    return search


@pytest.mark.parametrize("precision", ["auto", "float32", "bf16"])
def test_rates_are_searched_and_tabulated(project, tmp_path, precision):
    write(tmp_path, CHANGE | {"compute": {"precision": precision}})
    kept = {"fold": 0, "variant": ["e2e", "contrastive"], "lr": [1e-3, 3e-3], "epochs": 9, "val_top1": [0.5, 0.9]}
    pd.DataFrame(kept).to_csv("rates.csv", index=False)
    project.main(["contrastive", "--table", "rates.csv"])
    table = pd.read_csv("rates.csv")
    own = table[table["variant"] == "contrastive"]
    assert own["lr"].tolist() == project.GRID and own["val_top1"].between(0, 1).all()
    assert own["epochs"].tolist() == [1, 1, 1]  # a third of two; the older row of this variant is replaced
    assert len(table) == len(own) + 1
    assert "| 0 | e2e | 50.0 | – | – |" in Path("rates.md").read_text().replace("**", "")
    assert not Path("reports/tables/learning_rates.csv").exists()


def test_a_fold_of_a_study_is_searched_in_its_workspace(project, tmp_path):
    here = Path("build/ablations/pairs-3")
    here.mkdir(parents=True)
    for name in ("data", "left", "right", "other"):
        shutil.copytree(name, here / name)
    raw = yaml.safe_load(Path("params.yaml").read_text())
    raw["verbs"]["fold"] = 3
    (here / "params.yaml").write_text(yaml.safe_dump(raw))
    project.main(["contrastive", "--study", "pairs-3", "--table", "rates.csv"])
    assert pd.read_csv(tmp_path / "rates.csv")["fold"].unique().tolist() == [3]
    assert (tmp_path / here / "build/learning_rates").is_dir() and not (tmp_path / "build/learning_rates").exists()


def test_finished_trainings_are_taken_over(project, monkeypatch):
    project.main(["contrastive", "--table", "first.csv"])
    shutil.rmtree(paths.FRAMES)

    def never(*_, **__):
        raise AssertionError("a finished training was repeated")

    monkeypatch.setattr("aurl.training.loop.validate", never)
    project.main(["contrastive", "--table", "second.csv"])
    assert Path("second.csv").read_text() == Path("first.csv").read_text()


def test_variants_with_the_same_loss_share_a_rate(project):
    found = project.first_of_each_loss(config.load(sections=["variants"]).variants)
    assert found[:3] == ["aurl", "visual_centers", "contrastive"]
    assert {"alignment", "center_loss", "ranking", "e2e", "aurl_segments"} <= set(found)
    assert not {"aurl_released", "interpolate", "frozen", "er", "attributes", "mufi"} & set(found)
