"""The folds of a study come together: tables, verdicts, gains and pictures of what was left by its runs."""

import re

import numpy as np
import pandas as pd
import pytest
from project import ROOT, link_data
from project import write as write_params

from aurl import text
from aurl.pipeline import combine
from aurl.project import config
from aurl.rendered import sets
from aurl.text import WordVectors


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with parameters and what they name."""
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    link_data(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(project, **studies):
    """params.yaml with these studies."""
    write_params(project, {"ablations": {"studies": studies}})


FIGURES = {"top5": 1.0, "gzsl_harmonic": 0.1, "closeness": 0.5, "dispersion": 0.2}


def leave(project, name, accuracy, seed=0, kind="", labels="ab", test="verbs-unseen"):
    """The tables of a run whose variants have an ``accuracy`` on every class of ``test``."""
    folder = project / "reports/studies" / name
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"set": test, "variant": v, "seed": seed, "videos": 4, "top1": t, "top5": 1.0} for v, t in accuracy.items()]
    classes = pd.DataFrame([row | {"class": f"{label} ball"} for row in rows for label in labels])
    runs = pd.DataFrame([row | FIGURES | {"set": name} for row in rows for name in (test, "pairs-seen")])
    if kind:
        runs.assign(parameter="loss.scale", value=10, chosen=True).to_csv(folder / "heads_sweeps.csv", index=False)
    for file, own in (("classes.csv", classes), ("runs.csv", runs)):
        path = folder / f"{kind}{file}"
        kept = pd.read_csv(path) if path.exists() else own[:0]
        pd.concat([kept[~kept["set"].isin(own["set"])], own]).to_csv(path, index=False)


def test_folds_of_a_study_are_brought_together_as_far_as_they_were_run(project):
    study = {"data": {"test": ["verbs-unseen"]}, "folds": [1, 2, 3]}
    write(project, **{"one": study, "more": {"adds_to": "one", "run": {"seeds": [1]}}, "three": {}})
    combine.combine_folds()
    assert not (project / "reports/studies").exists()

    leave(project, "one-1", {"aurl": 0.75, "e2e": 0.25})
    combine.combine_folds()
    table = (project / "reports/studies/one/verbs-unseen.md").read_text()
    assert "| aurl | 1 | 75.0 | 1.5 | 100.0 | 10.0 | – |" in table  # one training has no interval
    leave(project, "one-2", {"aurl": 0.75, "e2e": 0.25}, labels="cd")
    leave(project, "one-3", {"aurl": 0.75, "e2e": 0.25}, labels="ef")
    leave(project, "one-1", {"aurl": 0.75, "e2e": 0.25}, kind="heads_")
    combine.combine_folds()
    table = (project / "reports/studies/one/verbs-unseen.md").read_text()
    assert "| aurl | 1 | 75.0 (75.0 to 75.0) | 1.5 (1.5 to 1.5) | 100.0 | 10.0 | –" in table
    assert "| -50.0 (-50.0 to -50.0) |" in table
    claims = (project / "reports/studies/one/verbs-unseen-claims.md").read_text()
    assert "| AURL beats E2E | – | aurl − e2e: +50.0 points (+50.0 to +50.0) |" in claims
    heads = (project / "reports/studies/one/verbs-unseen-heads.md").read_text()
    assert "| aurl | 1 | 75.0 | 1.5 | 100.0 | 10.0 | – |" in heads
    for picture in ("-classes.png", "-metrics.png", "-heads-metrics.png", "-heads-sweeps.png"):
        assert (project / f"reports/studies/one/verbs-unseen{picture}").stat().st_size > 1000

    # Trainings that a study adds count when all folds have them.
    leave(project, "one-1-more", {"aurl": 0.25}, seed=1)
    combine.combine_folds()
    assert (project / "reports/studies/one/verbs-unseen.md").read_text() == table
    leave(project, "one-2-more", {"aurl": 0.25}, seed=1, labels="cd")
    leave(project, "one-3-more", {"aurl": 0.25}, seed=1, labels="ef")
    combine.combine_folds()
    table = (project / "reports/studies/one/verbs-unseen.md").read_text()
    assert re.search(r"\| aurl \| 2 \| 50\.0 \(.*\) \| 1\.0 \(.*\) \| 100\.0 \| 10\.0 \| –", table)
    assert "| e2e | 1 | 25.0 " in table and "| -50.0 (-50.0 to -50.0) |" in table  # by seed 0
    assert (project / "reports/studies/one/verbs-unseen-heads.md").read_text() == heads

    # It may add heads, too.
    leave(project, "one-1-more", {"tarn": 0.5}, kind="heads_")
    combine.combine_folds()
    heads = (project / "reports/studies/one/verbs-unseen-heads.md").read_text()
    for row in ("aurl | 1 | 75.0", "e2e | 1 | 25.0", "tarn | 1 | 50.0"):
        assert f"| {row} |" in heads


def test_results_over_all_sets_are_of_the_folds_that_confirm(project):
    """Fold 0 is in the verdicts only, in a column of its own; the gain is relative to the baseline."""
    study = {"data": {"test": ["verbs-unseen", "pairs-unseen"]}, "folds": [0, 1, 2]}
    write(project, **{"one": study})
    for test, accuracy in (("verbs-unseen", 0.75), ("pairs-unseen", 0.5)):
        for fold, labels in enumerate(("ab", "cd", "ef")):
            leave(project, f"one-{fold}", {"aurl": accuracy if fold else 0.0, "e2e": 0.25}, labels=labels, test=test)
    combine.combine_folds()
    folder = project / "reports/studies/one"
    summary = pd.read_csv(folder / "summary.csv").set_index(["set", "variant"])
    assert summary["top1"].to_dict() == {
        ("verbs-unseen", "aurl"): 0.75, ("verbs-unseen", "e2e"): 0.25,
        ("pairs-unseen", "aurl"): 0.5, ("pairs-unseen", "e2e"): 0.25,
    }  # fmt: skip
    gains = pd.read_csv(folder / "gains.csv").set_index("set")
    assert gains["mean"].to_dict() == {"verbs-unseen": 2, "pairs-unseen": 1} and set(gains["folds"]) == {"folds 1, 2"}
    assert "| AURL beats E2E | -25.0 | aurl − e2e: +50.0 points" in (folder / "verbs-unseen-claims.md").read_text()
    for picture in ("staircase.png", "seen.png"):
        assert (folder / picture).stat().st_size > 1000


def test_folds_with_other_variants_are_not_brought_together(project, capsys):
    write(project, **{"one": {"data": {"test": ["verbs-unseen"]}, "folds": [0, 1]}})
    leave(project, "one-0", {"aurl": 0.5})
    leave(project, "one-1", {"e2e": 0.5}, labels="cd")
    combine.combine_folds()
    assert "no table of verbs-unseen over the folds of one: the folds do not have the same" in capsys.readouterr().err
    assert not (project / "reports/studies/one").exists()


def test_studies_in_other_semantic_spaces_have_results_of_their_own(project):
    test = {"data": {"test": ["verbs-unseen"]}, "folds": [0]}
    write(project, **{"one": test, "two": test | {"text": {"overlap": 0.1}}})
    leave(project, "one-0", {"aurl": 0.5, "e2e": 0.25})
    leave(project, "two-0", {"aurl": 0.25, "e2e": 0.5})
    combine.combine_folds()
    tables = [(project / f"reports/studies/{name}/verbs-unseen.md").read_text() for name in ("one", "two")]
    assert "| aurl | 1 | 50.0 |" in tables[0] and "| aurl | 1 | 25.0 |" in tables[1]


@pytest.mark.parametrize("overlap", [0.0, 0.3])
def test_accuracy_is_set_against_the_distance_to_the_nearest_seen_class(project, monkeypatch, overlap):
    study = {"folds": [1, 2], "text": {"overlap": overlap}, "data": {"test": ["verbs-unseen"]}}
    write(project, **{"own": study})
    rng, accuracy, shown = np.random.default_rng(0), {}, []
    for k in (1, 2):
        names = sets.classes(k)["verbs-unseen"]
        accuracy |= dict(zip(names, rng.random(len(names)).round(3)))
        leave(project, f"own-{k}", {"aurl": 0.5})
        rows = [{"set": "verbs-unseen", "variant": "aurl", "seed": 0, "class": name, "videos": 4} for name in names]
        rows = [row | {"top1": accuracy[row["class"]], "top5": 1.0} for row in rows]
        pd.DataFrame(rows).to_csv(project / f"reports/studies/own-{k}/classes.csv", index=False)
    draw = combine.evaluation.semantic_distance
    kinds = []

    def drawn(tables, chances, kind):
        shown.append(tables)
        kinds.append(kind)
        return draw(tables, chances, kind)

    monkeypatch.setattr(combine.evaluation, "semantic_distance", drawn)
    combine.combine_folds()
    assert (project / "reports/studies/own/verbs-unseen-distance.png").stat().st_size > 1000
    assert kinds == ["word vector"]
    table = shown[0]["aurl on verbs-unseen, folds 1, 2, 1 seed"].set_index("class")
    assert table["top1"].to_dict() == pytest.approx(accuracy) and table["distance"].between(overlap, 1).all()
    vectors = WordVectors.load(config.load().text.vectors)
    for name, near, distance in zip(table.index[::45], table["nearest"][::45], table["distance"][::45]):
        fold = 1 if name in sets.classes(1)["verbs-unseen"] else 2
        seen, unseen = (sets.classes(fold)[name] for name in ("pairs-seen", "verbs-unseen"))
        near_some = text.overlapping((seen, vectors.embed(seen)), (unseen, vectors.embed(unseen)), overlap)
        seen = near_some.loc[~near_some["removed"], "class"].tolist()
        one, rest = vectors.embed([name])[0], vectors.embed(seen)
        cosines = rest @ one / np.linalg.norm(rest, axis=1) / np.linalg.norm(one)
        assert near == seen[cosines.argmax()] and distance == pytest.approx(1 - cosines.max(), abs=1e-6)
