"""The heads of all variants on the features of one backbone."""

import numpy as np
import pandas as pd
import pytest
import torch
from colored import NAMES, WORDS, videos
from disk import full
from project import write as write_params

from aurl import UserError, text
from aurl.data.features import FixedFeatures
from aurl.data.readers import features
from aurl.pipeline import heads
from aurl.project import config, files, paths
from aurl.training import checkpoints, devices, inference

UNSEEN = ["pink", "cyan", "gray"]
TINY = {"backbone": "r2plus1d", "width": 4, "hidden": 8, "word_hidden": 8, "dim": 8}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project whose features of two sets are kept already; returns what writes its parameters."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "build/heads").mkdir(parents=True)
    rng = np.random.default_rng(0)
    sets = {"pairs-seen": (NAMES, WORDS), "verbs-unseen": (UNSEEN, rng.random((3, 6), np.float32))}
    text.save_classes(paths.CLASS_VECTORS, sets | {paths.WORDS: sets["pairs-seen"]})
    for name, (names, _) in sets.items():
        labels = np.arange(40) % len(names)
        values = (np.eye(4, 5)[labels][:, None] + rng.normal(0, 0.2, (40, 1, 5))).astype(np.float32)
        splits = ["train"] * 32 + ["val"] * 8 if name == "pairs-seen" else ["test"] * 40
        features.save(paths.heads(name), values, [names[i] for i in labels], list(map(str, range(40))), splits)
    monkeypatch.setattr(heads, "keep_features", lambda params, folder: None)
    monkeypatch.setattr(heads.joblib, "cpu_count", lambda: 1)  # one training at a time, in this process

    def write(**sections):
        small = {"model": TINY, "train": {"epochs": 4, "batch": 16}, "data": {"test": ["verbs-unseen"]}}
        write_params(tmp_path, small | sections)

    write(heads={"variants": ["aurl", "e2e", "classifier"], "seeds": 2, "rates": [0.01], "sweeps": {}})
    return write


def test_every_class_and_training_has_a_row_and_a_killed_run_goes_on_to_the_same_bytes(project, monkeypatch):
    heads.run()
    classes, runs = (pd.read_csv(path) for path in (paths.HEADS, paths.HEADS_RUNS))
    assert list(classes) == ["set", "variant", "seed", "class", "videos", "top1", "top5"]
    assert classes.groupby(["variant", "seed"], sort=False).size().to_dict() == {
        (variant, seed): 3 for variant in ("aurl", "e2e", "classifier") for seed in (0, 1)
    }
    assert list(classes["class"][:3]) == sorted(UNSEEN) and set(classes["videos"]) == {13, 14}
    assert list(runs) == ["set", "variant", "seed", "lr", "top1", "top5", "gzsl_harmonic", "closeness", "dispersion"]
    own = classes[(classes["variant"] == "e2e") & (classes["seed"] == 1)]
    assert runs["top1"][3] == pytest.approx((own["top1"] * own["videos"]).sum() / 40, abs=1e-4)
    before = [path.read_bytes() for path in (paths.HEADS, paths.HEADS_RUNS)]
    files = list(paths.HEADS_TRAINED.glob("*.json"))
    assert len(files) == 6
    for file in files[:2]:
        file.write_bytes(file.read_bytes()[: 100 * (file == files[0])])  # cut or empty: done again
    files[2].write_bytes(files[3].read_bytes())  # another training's
    text = files[4].read_text()
    files[4].write_text(text.replace('"top5": 1.0', '"top5": 0.5', 1))  # made worse
    assert files[4].read_text() != text
    calls, train = [], heads.train
    monkeypatch.setattr(heads, "train", lambda *arguments: calls.append(1) or train(*arguments))
    heads.run()
    assert [path.read_bytes() for path in (paths.HEADS, paths.HEADS_RUNS)] == before and len(calls) == 4


def test_without_variants_the_tables_are_empty(project):
    project(heads={"variants": [], "sweeps": {}})
    heads.run()
    for path in (paths.HEADS, paths.HEADS_RUNS, paths.HEADS_SWEEPS):
        table = pd.read_csv(path)
        assert table.empty and list(table)[:3] == ["set", "variant", "seed"]


def test_variants_with_other_clips_or_backbones_are_left_out(project):
    project(heads={"variants": None})
    names = [params.variant for params in heads.trainable()]
    assert "aurl" in names and "attributes" in names and not {"attention", "action2vec", "url"} & set(names)
    assert all(params.model.backbone == "features" for params in heads.trainable())
    project(heads={"variants": ["aurl", "url"]})
    with pytest.raises(UserError, match=r"^heads\.variants names url, whose clips or backbone are not those of"):
        heads.run()


def test_variants_that_see_segments_have_heads_on_a_backbone_that_sees_them(project, monkeypatch):
    variants = ["aurl_segments", "attention", "action2vec"]
    project(
        run={"variants": variants[:1]}, sphere={"variants": variants[:1]},
        heads={"backbone": variants[0], "variants": variants, "seeds": 1, "rates": [0.01], "sweeps": {}},
    )  # fmt: skip
    for name in ("pairs-seen", "verbs-unseen"):
        file = features.load(paths.heads(name))
        twice = np.concatenate([file.features, file.features + 1], axis=1)
        features.save(paths.heads(name), twice, file.labels, file.ids, file.splits)
    counts = []
    monkeypatch.setattr(heads, "FixedFeatures", lambda *given: counts.append(given[2]) or FixedFeatures(*given))
    heads.run()
    assert list(pd.read_csv(paths.HEADS_RUNS)["variant"]) == variants and counts == [2] * 9


def test_each_variant_gets_the_rate_that_is_best_on_validation_videos(project, monkeypatch):
    project(heads={"variants": ["aurl", "e2e"], "seeds": 3, "rates": [0.1, 0.2, 0.3], "sweeps": {}})
    judged = {("aurl", 0.1): [0.6, 0.6], ("aurl", 0.2): [1, 0.3], ("aurl", 0.3): [0.5, 0.5]}
    judged |= {("e2e", 0.1): [0, 0.1], ("e2e", 0.2): [0.3, 0.1], ("e2e", 0.3): [0.1, 0.3]}
    calls = []

    def trained(params, rate, seed):
        calls.append((params.variant, rate, seed))
        table = pd.DataFrame({"set": ["verbs-unseen"], "variant": params.variant, "seed": seed, "lr": rate})
        return judged[params.variant, rate][seed] if seed < 2 else 0, table, table

    monkeypatch.setattr(heads, "train", trained)
    monkeypatch.setattr(heads.joblib, "Parallel", lambda size, return_as: lambda jobs: (f(*a) for f, a, _ in jobs))
    heads.run()
    runs = pd.read_csv(paths.HEADS_RUNS)
    assert list(zip(runs["variant"], runs["seed"], runs["lr"])) == [
        *[("aurl", seed, 0.2) for seed in range(3)],
        *[("e2e", seed, 0.2) for seed in range(3)],  # of equals the first
    ]
    assert len(calls) == len(set(calls)) == 2 * 3 * 2 + 2


def test_sweeps_change_one_parameter_of_the_first_variant(project):
    sweeps = {"loss.scale": [10, 1], "generator.num_classes": [None, 2], "text.share": [0.5]}
    project(heads={"variants": ["aurl", "e2e"], "seeds": 2, "sweep_seeds": 1, "sweeps": sweeps})
    heads.run()
    runs, swept = pd.read_csv(paths.HEADS_RUNS), pd.read_csv(paths.HEADS_SWEEPS, dtype={"value": str})
    assert list(swept["parameter"].unique()) == list(sweeps) and len(swept) == 5
    assert list(swept["value"]) == ["10", "1", "(null)", "2", "0.5"]
    assert list(swept["chosen"]) == [True, False, True, False, False] and set(swept["variant"]) == {"aurl"}
    own = runs.head(1)  # not trained again
    pd.testing.assert_frame_equal(swept[swept["value"] == "10"][list(runs)].reset_index(drop=True), own)
    others = swept[~swept["chosen"]].groupby("parameter")["closeness"].first()
    assert others.nunique() == 3 and own["closeness"][0] not in set(others)


@pytest.mark.parametrize(
    ("sweeps", "sentence"),
    [
        ({"loss.scale": [1, -1]}, r"heads\.sweeps: loss\.scale is -1: input should be greater than 0"),
        ({"generator.mode": ["mixed"]}, r"heads\.sweeps: generator\.mode is 'mixed'"),
        ({"clip.size": [32]}, r"heads\.sweeps has the key 'clip\.size', which"),
        ({"loss.scale": [1, 1]}, r"heads\.sweeps\.loss\.scale names 1 twice"),
    ],
)
def test_a_mistake_in_a_sweep_is_said_at_once(project, sweeps, sentence):
    project(heads={"sweeps": sweeps})
    with pytest.raises(UserError, match=sentence):
        config.load()


def test_features_are_kept_in_the_readers_layout(project, tmp_path, monkeypatch):
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    sets = {"train": videos(3, 1), "val": videos(1, 2), "test": videos(2, 3)}
    monkeypatch.setattr(heads, "open_set", lambda params, names, split, classes, count: sets[split])
    text.save_classes(paths.CLASS_VECTORS, dict.fromkeys(("pairs-seen", "verbs-unseen"), (NAMES, WORDS)))
    params = config.load(variant="classifier", sections=heads.SECTIONS)
    model = heads.checkpoints.aurl.models.build(params.model, 4, 6)
    checkpoints.save("run", model.state_dict(), params.model, NAMES, 6)
    heads.keep_features(params, "run")
    table = features.read(paths.heads("pairs-seen"))
    assert table["split"].value_counts().to_dict() == {"train": 12, "val": 4}
    assert (table["width"] == 32).all() and set(table["class"]) == set(NAMES)
    whole = paths.heads("pairs-seen").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(heads, "backbone_features", None)  # encoded once
        paths.heads("pairs-seen").unlink()
        heads.keep_features(params, "run")
        assert paths.heads("pairs-seen").read_bytes() == whole
        kept = paths.ENCODED / "heads/pairs-seen.npz"
        kept.write_bytes(whole[:-1] + b"x")
        with pytest.raises(TypeError):  # or again, where it is damaged
            heads.keep_features(params, "run")
        kept.write_bytes(whole)
    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(UserError, match=r"^build/heads/pairs-seen\.npz cannot be written \(No space left on device\)"):
        heads.keep_features(params, "run")
    assert paths.heads("pairs-seen").read_bytes() == whole
    loaded, _ = checkpoints.load("run")
    found = inference.backbone_features(loaded, sets["test"], 64, params.compute)
    assert np.array_equal(found, features.load(paths.heads("verbs-unseen")).features)
    projected = loaded.projection(torch.from_numpy(found[:, 0]))
    clips, _, mirrored = next(iter(sets["test"].batches(64)))
    arithmetic = devices.choose_arithmetic(loaded, sets["test"].clip, 64, params.compute)
    torch.testing.assert_close(
        projected, loaded.project(inference.to_device(clips, mirrored, arithmetic)), atol=0.02, rtol=0.02
    )
