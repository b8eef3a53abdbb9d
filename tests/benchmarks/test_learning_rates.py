"""The search for learning rates, on tiny videos of three classes, and the rates in params.yaml."""

from pathlib import Path

import pandas as pd
import pytest
from project import ROOT, write

from aurl.project import config
from aurl.rendered import sets

pytestmark = pytest.mark.usefixtures("in_process")

CHANGE = {
    "verbs": dict(size=16, frames=6, videos=2, val_videos=1),
    "clip": dict(frames=4, stride=1, size=16),
    "model": dict(width=4, hidden=8, word_hidden=8, dim=8),
    "train": dict(epochs=2, batch=4),
}


@pytest.fixture
def search(tmp_path, benchmark, monkeypatch):
    """The benchmark in a folder with parameters, where two verbs are all there are: one in fold 0, one in fold 1."""
    benchmark = benchmark("learning_rates")
    write(tmp_path, CHANGE | {"text": {"vectors": str(ROOT / config.load(ROOT / "params.yaml").text.vectors)}})
    sets.fold.cache_clear()
    monkeypatch.setattr(sets, "VERBS", {name: sets.VERBS[name] for name in list(sets.VERBS)[:2]})
    yield benchmark
    sets.fold.cache_clear()


def test_rates_are_searched_and_tabulated(search, monkeypatch):
    kept = {"verbs": 0, "variant": ["e2e", "contrastive"], "lr": [1e-3, 3e-3], "epochs": 9, "val_top1": [0.5, 0.9]}
    pd.DataFrame(kept).to_csv("rates.csv", index=False)
    search.main(["contrastive", "--table", "rates.csv"])
    table = pd.read_csv("rates.csv")
    own = table[table["variant"] == "contrastive"]
    assert set(search.GRID) <= set(own["lr"]) and own["val_top1"].between(0, 1).all()
    assert set(own["epochs"]) == {1}  # a third of two; the older row of this variant is replaced
    assert not search.untried(own.set_index("lr")["val_top1"].to_dict())
    assert len(table) == len(own) + 1
    assert "| 0 | e2e | " in Path("rates.md").read_text() and "**50.0**" in Path("rates.md").read_text()
    assert not Path("reports/tables/learning_rates.csv").exists()

    def never(*_, **__):
        raise AssertionError("a finished training was repeated")

    monkeypatch.setattr("aurl.training.loop.validate", never)
    search.main(["contrastive", "--table", "again.csv"])
    assert pd.read_csv("again.csv")["val_top1"].tolist() == own["val_top1"].tolist()


def test_the_search_goes_on_beyond_an_edge(search, monkeypatch):
    accuracy = {1e-4: 0.1, 3e-4: 0.6, 1e-3: 0.5, 3e-3: 0.4, 1e-2: 0.3}
    asked = []

    def measure(manifest, fold, variant, lr):
        asked.append(lr)
        return {"verbs": fold, "variant": variant, "lr": lr, "epochs": 1, "val_top1": accuracy[lr]}

    monkeypatch.setattr(search, "measure", measure)
    monkeypatch.setattr(search.joblib, "Parallel", lambda **_: lambda calls: (f(*a, **k) for f, a, k in calls))
    search.main(["e2e", "--table", "rates.csv"])
    assert asked == [1e-3, 3e-3, 1e-2, 3e-4, 1e-4]


def test_the_search_sees_verbs_of_one_fold_and_no_unseen_pair(search):
    manifest = search.render(config.load(sections=["verbs"]).verbs, fold=1)
    verb = next(verb for verb in sets.VERBS if sets.fold(verb) == 1)
    assert set(manifest["class"]) == {f"{verb} {thing}" for thing in sets.THINGS if thing not in sets.held_out(verb)}
    assert manifest["split"].value_counts().to_dict() == {"train": 3 * 4, "val": 3 * 4}


def test_variants_with_the_same_loss_share_a_rate(search):
    found = search.first_of_each_loss(config.load(sections=["variants"]).variants)
    assert found[:3] == ["aurl", "visual_centers", "contrastive"]
    assert {"alignment", "center_loss", "ranking", "e2e", "aurl_segments"} <= set(found)
    assert not {"aurl_released", "interpolate", "frozen", "er", "attributes", "mufi"} & set(found)


def test_parameters_have_the_best_rates():
    table = pd.read_csv(ROOT / "reports/tables/learning_rates.csv").query("verbs == 0")
    best = table.loc[table.groupby("variant")["val_top1"].idxmax()].set_index("variant")["lr"]
    variants = config.load_all(ROOT / "params.yaml")
    for searched, lr in best.items():
        alike = {
            name: own.train.lr
            for name, own in variants.items()
            if (set(own.loss.terms), own.clip.segments)
            == (set(variants[searched].loss.terms), variants[searched].clip.segments)
        }
        assert set(alike.values()) == {lr}, alike
