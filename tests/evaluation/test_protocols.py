"""Reports agree with other implementations of the metrics, and saved features load unchanged."""

import math
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from colored import MODEL, WORDS, compute, videos
from errors import error_message
from torchmetrics.functional.classification import multiclass_accuracy

from aurl import UserError, metrics, models
from aurl.evaluation import protocols
from aurl.project import config
from aurl.rivals import Relation
from aurl.training.inference import to_input


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


def test_each_word_of_a_name_counts_by_itself():
    names = ["rolling ball", "rolling box", "falling ball"]
    found = {"classes": np.eye(3, dtype=np.float32), "labels": np.array([0, 0, 0, 1])}
    found["video"] = np.eye(3, dtype=np.float32)[[0, 1, 2, 2]]
    words = protocols.word_accuracies(found, names)
    assert words == {"first_word_top1": 0.5, "last_word_top1": 0.5}
    assert protocols.word_accuracies(found, ["rolling ball", "roll", "falling ball"]) == {}


def test_report_agrees_with_torchmetrics(features):
    report = protocols.report(features, bootstrap=200)
    scores, labels = torch.tensor(protocols.scores(features)), torch.tensor(features["labels"])
    for name, k, average in (("top1", 1, "micro"), ("top5", 5, "micro"), ("mean_per_class", 1, "macro")):
        expected = multiclass_accuracy(scores, labels, num_classes=6, top_k=k, average=average).item()
        assert report[name] == pytest.approx(expected, abs=1e-4)
    assert report["chance"] == pytest.approx(1 / 6, abs=1e-4)
    assert report["top1_classes_low"] < report["top1_low"] < report["top1"] < report["top1_high"]


def test_report_is_deterministic_and_its_interval_follows_the_seed(features):
    assert protocols.report(features, 200) == protocols.report(features, 200)
    first, *others = (protocols.report(features, 100, seed) for seed in range(5))
    changed = {name for other in others for name in first if first[name] != other[name]}
    assert changed and changed <= {"top1_low", "top1_high", "top1_classes_low", "top1_classes_high"}


def test_fewer_than_five_classes_still_have_a_top5(features):
    few = {"video": features["video"][:20], "classes": features["classes"][:2], "labels": features["labels"][:20]}
    assert protocols.report(few, 100)["top5"] == 1


def test_saved_features_load_unchanged(features, tmp_path):
    protocols.save(tmp_path / "new" / "set.npz", features)
    back = protocols.load(tmp_path / "new" / "set.npz")
    assert back.keys() == features.keys() and all((back[key] == features[key]).all() for key in back)


def foreign(features, path):
    """Write one file of another kind after the other to ``path``, and yield its name."""
    protocols.save(path, features)
    whole = path.read_bytes()
    contents = {f"cut at {size}": whole[:size] for size in (0, 30, len(whole) // 2, len(whole) - 1)}
    for name, content in (contents | {"text": b"features\n", "damaged": whole[:400] + b"\xff" + whole[401:]}).items():
        path.write_bytes(content)
        yield name
    np.savez(path, names=np.arange(3))
    yield "another npz"
    np.savez(path, **features, more=np.arange(3))
    yield "more than features"


def test_a_missing_cut_or_foreign_features_file_is_one_sentence(features, tmp_path):
    path = tmp_path / "set.npz"
    with pytest.raises(UserError, match="evaluate the variant first"):
        protocols.load(path)
    for name in foreign(features, path):
        text = error_message(protocols.load, path)
        assert "set.npz holds no features" in text and text.endswith("run `dvc repro`."), f"{name}: {text}"


def test_features_are_the_models_and_are_kept(tmp_path, monkeypatch):
    torch.manual_seed(0)
    model, clips = models.build(config.Model(**MODEL), 4, 6).eval(), videos(4, 2)
    params = SimpleNamespace(evaluate=SimpleNamespace(batch=3, processes=1), compute=compute("float32"))
    encode, encoded = protocols.encode, []
    monkeypatch.setattr(protocols, "encode", lambda *given: encoded.append(1) or encode(*given))
    found = protocols.features(model, clips, WORDS, params)
    assert found["labels"].tolist() == clips.labels
    with torch.no_grad():
        np.testing.assert_allclose(found["classes"], model.encode_class(torch.from_numpy(WORDS)), atol=1e-6)
        one = model.encode_video(to_input(clips[0][0])[None])
    np.testing.assert_allclose(found["video"][:1], one, atol=1e-5)

    encoded.clear()
    kept = tmp_path / "kept" / "set.npz"
    first = protocols.features(model, clips, WORDS, params, kept=kept)
    again = protocols.features(model, clips, 1 - WORDS, params, kept=kept)
    assert len(encoded) == 1 and (again["video"] == first["video"]).all()
    assert not np.allclose(again["classes"], first["classes"])  # which are never kept
    with torch.no_grad():
        model.projection[0].bias += 1  # other weights
    protocols.features(model, clips, WORDS, params, kept=kept)
    assert len(encoded) == 2
    kept.write_bytes(kept.read_bytes()[:100])  # cut short
    protocols.features(model, clips, WORDS, params, kept=kept)
    assert len(encoded) == 3 and protocols.load(kept)["labels"].tolist() == clips.labels
    whole = kept.read_bytes()
    protocols.save(kept, protocols.load(kept) | {"video": found["video"] + 1})  # those of another model, as large
    assert kept.stat().st_size == len(whole)
    protocols.features(model, clips, WORDS, params, kept=kept)
    assert len(encoded) == 4 and kept.read_bytes() == whole


def test_report_has_both_distances_and_the_half_protocol(features):
    report = protocols.report(features, 100)
    unit = features["classes"][features["labels"]]
    assert report["closeness_euclidean"] == pytest.approx(
        np.linalg.norm(features["video"] - unit, axis=1).mean(), abs=1e-4
    )
    assert 0 < report["half_top1"] <= 1 and report["half_top1"] > report["top1"]  # fewer classes to mistake it for
    gaps = np.linalg.norm(features["classes"][:, None] - features["classes"], axis=2) + 9 * np.eye(6)
    assert report["dispersion_euclidean"] == pytest.approx(gaps.min(axis=1).mean(), abs=1e-4)


def halved(features):
    """Three classes as seen, the other three as unseen ones."""
    seen = {"video": features["video"][:30], "classes": features["classes"][:3], "labels": features["labels"][:30]}
    unseen = {
        "video": features["video"][30:],
        "classes": features["classes"][3:],
        "labels": features["labels"][30:] - 3,
    }
    return seen, unseen


def test_generalized_lets_seen_classes_compete(features):
    seen, unseen = halved(features)
    found = protocols.generalized(seen, unseen, {})
    right = (protocols.scores(features).argmax(axis=1) == features["labels"]).reshape(6, 10).mean(axis=1)
    assert found["gzsl_seen"] == pytest.approx(right[:3].mean(), abs=1e-4)
    assert found["gzsl_unseen"] == pytest.approx(right[3:].mean(), abs=1e-4)
    assert found["gzsl_harmonic"] == pytest.approx(2 / (1 / right[:3].mean() + 1 / right[3:].mean()), abs=1e-4)
    assert found["gzsl_unseen"] < protocols.report(unseen, 100)["mean_per_class"]


def test_learned_scores_take_the_place_of_cosines_everywhere(features, tmp_path):
    torch.manual_seed(0)
    relation = Relation(8, 4)
    segments = np.stack([features["video"], np.roll(features["video"], 1, axis=1)], axis=1)
    weights = {f"{protocols.RELATION}{name}": weight.numpy() for name, weight in relation.state_dict().items()}
    own = features | {"video": segments} | weights
    with torch.no_grad():
        expected = relation(torch.tensor(segments), torch.tensor(features["classes"])).numpy()
    np.testing.assert_allclose(protocols.scores(own), expected, atol=1e-6)
    protocols.save(tmp_path / "set.npz", own)
    np.testing.assert_array_equal(protocols.scores(protocols.load(tmp_path / "set.npz")), protocols.scores(own))
    right = expected.argmax(axis=1) == features["labels"]
    report, names = protocols.report(own, bootstrap=100), list("abcdef")
    assert report["top1"] == pytest.approx(right.mean(), abs=1e-4)
    mean = features | {"video": segments.mean(axis=1)}
    assert report["closeness"] == protocols.geometry(mean)["closeness"]
    said = protocols.predictions(own, range(60), names)
    assert (said["top1"] == [names[place] for place in expected.argmax(axis=1)]).all()
    seen, unseen = (half | weights for half in halved(features | {"video": segments}))
    found = protocols.generalized(seen, unseen, {})
    assert found["gzsl_seen"] == pytest.approx(right[:30].mean(), abs=1e-4)
    assert found["gzsl_unseen"] == pytest.approx(right[30:].mean(), abs=1e-4)


def test_calibrated_accuracies_are_those_of_scores_with_gamma_subtracted(features):
    seen, unseen = halved(features)
    found = protocols.generalized(seen, unseen, {})
    score = protocols.scores(features) - np.array([found["gzsl_gamma"]] * 3 + [0] * 3)
    right = (score.argmax(axis=1) == features["labels"]).reshape(6, 10).mean(axis=1)
    assert found["gzsl_calibrated_seen"] == pytest.approx(right[:3].mean(), abs=1e-4)
    assert found["gzsl_calibrated_unseen"] == pytest.approx(right[3:].mean(), abs=1e-4)
    assert list(found)[:3] == ["gzsl_seen", "gzsl_unseen", "gzsl_harmonic"]
    curve = []  # by subtracting every gamma
    for gamma in np.linspace(-2, 2, 4001):
        right = (protocols.scores(features) - np.array([gamma] * 3 + [0] * 3)).argmax(axis=1) == features["labels"]
        curve.append((right[:30].mean(), right[30:].mean()))
    known, new = np.transpose(curve)
    assert found["gzsl_area"] == pytest.approx(-np.trapezoid(new, known), abs=2e-3) != 1


def test_gamma_is_chosen_with_the_share_of_classes_that_are_unseen(features):
    seen = {"video": features["video"][:40], "classes": features["classes"][:4], "labels": features["labels"][:40]}
    unseen = {
        "video": features["video"][40:],
        "classes": features["classes"][4:],
        "labels": features["labels"][40:] - 4,
    }
    gamma, half = (metrics.choose_gamma(protocols.scores(seen), seen["labels"], share) for share in (2 / 6, 1 / 2))
    assert protocols.generalized(seen, unseen, {})["gzsl_gamma"] == pytest.approx(gamma, abs=1e-4) != half


def test_no_test_class_chooses_gamma(features):
    seen, unseen = halved(features)
    other = unseen | {"video": unseen["video"][::-1], "classes": -unseen["classes"]}
    first, second = (protocols.generalized(seen, own, {}) for own in (unseen, other))
    assert first["gzsl_gamma"] == second["gzsl_gamma"] and first["gzsl_area"] != second["gzsl_area"]


def test_truze_is_among_its_own_classes(features):
    report, places = protocols.report(features, 100, truze=[1, 4]), np.isin(features["labels"], [1, 4])
    right = protocols.scores(features)[places][:, [1, 4]].argmax(axis=1) == (features["labels"][places] == 4)
    assert report["truze_top1"] == pytest.approx(right.mean(), abs=1e-4) == report["truze_mean_per_class"]
    assert report["truze_top5"] == 1 and "truze_top1" not in protocols.report(features, 100)


def test_table_of_classes_by_loops(features):
    names = list("abcdef")
    table = protocols.per_class(features, names).set_index("class")
    assert table["top1"].is_monotonic_decreasing and table["top1"].mean() == pytest.approx(
        protocols.report(features, 100)["mean_per_class"], abs=1e-4
    )
    ranked = np.argsort(-protocols.scores(features), axis=1)
    for place, name in enumerate(names):
        own = ranked[features["labels"] == place]
        wrong = [names[best] for best in own[:, 0] if best != place]
        row = table.loc[name]
        assert row["videos"] == 10 and row["top1"] == (own[:, 0] == place).mean()
        assert row["top5"] == (own[:, :5] == place).any(axis=1).mean()
        assert row["share"] == max((wrong.count(other) for other in wrong), default=0) / 10
        assert wrong.count(row["mistaken for"]) == 10 * row["share"] if wrong else row["mistaken for"] == ""


def test_class_without_videos_has_no_accuracy_and_comes_last(features):
    few = {name: values[:10] if name != "classes" else values for name, values in features.items()}
    table = protocols.per_class(few, list("abcdef"))
    assert table["class"].tolist() == list("abcdef") and table["top1"].isna().tolist() == [False] + [True] * 5
    assert (table["mistaken for"][1:] == "").all() and table["share"][1:].isna().all()


def test_a_class_on_both_sides_counts_once_and_not_as_unseen(features):
    seen, unseen = halved(features)
    expected = protocols.generalized(seen, unseen, {})
    again = {  # the test set also has the seen class 1, at place 2, with videos of its own
        "video": np.concatenate([unseen["video"], seen["video"][10:20]]),
        "classes": np.insert(unseen["classes"], 2, seen["classes"][1], axis=0),
        "labels": np.concatenate([np.where(unseen["labels"] == 2, 3, unseen["labels"]), np.full(10, 2)]),
    }
    assert protocols.generalized(seen, again, {2: 1}) == expected
    # A class that is not named as shared ties, which is a mistake.
    assert protocols.generalized(seen, again, {})["gzsl_seen"] < expected["gzsl_seen"]


def test_either_name_of_a_shared_class_is_right():
    seen = {"video": np.eye(3)[[0, 1]], "classes": np.eye(3)[[0, 2]], "labels": np.array([0, 1])}
    unseen = {"video": np.eye(3)[[0]], "classes": np.eye(3)[[1, 0]], "labels": np.array([1])}
    assert protocols.generalized(seen, unseen, {0: 1, 1: 0})["gzsl_seen"] == 1
    assert protocols.generalized(seen, unseen, {1: 0})["gzsl_seen"] == 0.5


def test_no_unseen_class_is_no_accuracy(features):
    seen, unseen = halved(features)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = protocols.generalized(seen, unseen, {0: 0, 1: 1, 2: 2})
    assert np.isnan(found["gzsl_unseen"]) and np.isnan(found["gzsl_harmonic"]) and found["gzsl_seen"] >= 0


def test_shared_classes_have_one_name_or_one_word_vector():
    rng = np.random.default_rng(0)
    archery, ride, swim, other = rng.normal(size=(4, 8)).astype(np.float32)
    seen = (["archery", "riding a bike", "swim"], np.stack([archery, ride, swim]))
    unseen = (["Ride", "jump", "swim", "Archery"], np.stack([3 * ride, other, -swim, archery]))
    assert protocols.shared(seen, unseen) == {0: 1, 2: 2, 3: 0}
    assert protocols.shared(seen, (["jump"], other[None])) == {}


def test_predictions_rank_the_classes(features):
    names = ["a", "b", "c", "d", "e", "f"]
    table = protocols.predictions(features, [f"s/{i}" for i in range(60)], names)
    ranks = [f"{kind}{place}" for kind in ("top", "score") for place in range(1, 6)]
    assert list(table) == ["id", "label", *ranks] and list(table["id"][:2]) == ["s/0", "s/1"]
    best = np.argsort(-protocols.scores(features), axis=1)[:, :5]
    assert (table[ranks[:5]].to_numpy() == np.array(names)[best]).all()
    assert (table["top1"] == table["label"]).mean() == pytest.approx(protocols.report(features, 100)["top1"], abs=1e-4)
    assert np.allclose(table[ranks[5:]], -np.sort(-protocols.scores(features), axis=1)[:, :5], atol=1e-4)


def test_digits_of_scores_are_those_of_exact_cosines():
    """Sums in float32 end in another digit with every library, and so would some of the four that are written."""
    rng = np.random.default_rng(0)
    video, classes = (rng.normal(size=(count, 512)).astype(np.float32) for count in (500, 100))
    video, classes = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (video, classes))
    features = {"video": video, "classes": classes, "labels": np.zeros(500, int)}
    table = protocols.predictions(features, list(map(str, range(500))), list(map(str, range(100))), k=100)
    exact = np.array([[math.fsum(map(float, row)) for row in one * classes.astype(float)] for one in video])
    assert (table.filter(like="score").to_numpy() == -np.sort(-exact.round(4), axis=1)).all()


def test_fewer_than_five_classes_have_as_many_predictions():
    features = {"video": np.eye(2)[[1, 0]], "classes": np.array([[1, 0], [-1e-9, 1]]), "labels": np.array([0, 0])}
    table = protocols.predictions(features, ["s/0", "s/1"], ["a", "b"])
    assert list(table) == ["id", "label", "top1", "top2", "score1", "score2"]
    assert "-0.0" not in table.to_csv()


def test_saved_predictions_load_unchanged_and_hold_no_formulas(tmp_path):
    names = ['say "no", twice', "a\nb", "=1+1", "+1", "-1", "@x", "\tx", "null", "naïve"]
    features = {"video": np.eye(9), "classes": np.eye(9), "labels": np.arange(9)}
    table = protocols.predictions(features, [f"s/{i}" for i in range(9)], names)
    protocols.save_predictions(tmp_path / "new" / "p.csv", table)
    back = pd.read_csv(tmp_path / "new" / "p.csv", keep_default_na=False)
    expected = [f"'{name}" if name[0] in "=+-@\t" else name for name in names]
    assert list(back["label"]) == list(back["top1"]) == expected
    pd.testing.assert_frame_equal(back.filter(like="score"), table.filter(like="score"))


def test_examples_are_the_furthest_ahead_and_behind():
    features = {
        "video": np.array([[1, 0], [0.9, 0.4], [0.8, 0.6], [0, 1.0], [0.6, 0.8], [0.7, 0.7], [0.1, 0.9]]),
        "classes": np.array([[1.0, 0], [0, 1], [0.6, 0.8], [-1, 0]]),
        "labels": np.array([0, 0, 0, 1, 1, 2, 3]),
    }
    table = protocols.predictions(features, list("abcdefg"), ["w", "x", "y", "z"])
    shown = protocols.examples(features, table, count=2)
    assert list(shown["id"]) == ["a", "f", "e", "g"] and list(shown.index) == ["best"] * 2 + ["worst"] * 2
    assert shown[["place", "score"]].to_numpy().tolist() == [[1, 1.0], [1, 0.98], [2, 0.8], [4, -0.1]]
    assert len(protocols.examples(features, table, count=9)) == 4


def test_semantic_distance_is_that_of_word_vectors_to_the_nearest_seen_class():
    seen = ["run", "swim"], np.array([[2.0, 0, 0], [0, 3, 0]])
    unseen = ["jog", "run", "dive", "nod"], np.array([[3.0, 4, 0], [0, 0, 1], [0, 0, 5], [1, 1, 1]])
    features = {"video": np.eye(4)[[0, 1, 1, 2]], "classes": np.eye(4), "labels": np.array([0, 1, 2, 2])}
    table = protocols.semantic_distance(features, seen, unseen)  # "run" was seen, and "nod" has no videos
    assert table[["class", "nearest"]].to_numpy().tolist() == [["jog", "swim"], ["dive", "run"]]
    np.testing.assert_allclose(table[["distance", "top1"]], [[0.2, 1], [1, 0.5]])
