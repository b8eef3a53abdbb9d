"""A released checkpoint on test sets on disk: every protocol, against the authors' network and loops."""

import contextlib
import io
from collections import defaultdict
from functools import cache
from pathlib import Path

import authors
import joblib
import numpy as np
import pandas as pd
import project
import pytest
import torch
import trees
from torch.nn.functional import normalize

from aurl import UserError, text
from aurl.classify import command, released
from aurl.data import names
from aurl.data.video import read_frames
from aurl.training.inference import to_input

UCF = ("ApplyEyeMakeup", "CleanAndJerk", "HandstandWalking", "Mixing", "Nunchucks", "YoYo")
HMDB = ("brush_hair", "draw_sword", "wave")


def write_project(folder, lists=None, **change):
    """The paper's parameters in small, with only the two test sets on disk; ``lists`` are UCF101's official splits."""
    datasets = {
        "ucf101": {"reader": "ucf101", "root": "sets/ucf", "names": "ucf101", "classes": len(UCF)},
        "hmdb51": {"reader": "hmdb51", "root": "sets/hmdb", "names": "hmdb51", "classes": len(HMDB)},
        "kinetics700": {"reader": "kinetics", "root": "/nowhere/kinetics700", "names": "kinetics700"},
    }
    small = {
        "data": {"datasets": datasets},
        "text": {"vectors": str(project.GLOVE)},
        "clip": {"frames": 8, "size": 32},  # the checkpoint was trained on others
        "compute": {"precision": "float32", "channels_last": "never", "threads": 1},
        "evaluate": {"batch": 6, "bootstrap": 100},
    }
    for section, own in change.items():
        small[section] = small.get(section, {}) | own
    if lists:
        datasets["ucf101"]["test_lists"] = lists
    project.write(folder, small, "params.paper.yaml")


def checkpoint(folder, videos, word_dim=100):
    """A tiny network of the released layout, with batch statistics of the test's own videos and words."""
    torch.manual_seed(0)
    network = authors.Released(word_dim=word_dim)
    vectors = embedded("ucf101", UCF) if word_dim == 100 else torch.randn(6, word_dim)
    authors.shake(network, torch.cat([chosen(path, 1) for path in videos])[:, None], vectors)
    for projection in (network.projection, network.projection_words):
        projection.l3[1].bias.data.zero_()  # or all features would lie to one side, and one class be nearest to all
    authors.save(folder / "AURL662_checkpoint.pth.tar", network)


@cache
def embedded(name, classes):
    _, rules = names.load(name)
    return torch.from_numpy(text.WordVectors.load(project.GLOVE).embed(classes, rules))


def chosen(path, count):
    """(count, 3, 16, 112, 112): the starts of ``count`` equal segments of a video; after its end it begins again."""
    frames = read_frames(path, 112)
    starts = [k * (len(frames) // count) for k in range(count)]
    return torch.stack([to_input(frames[(np.arange(16) + start) % len(frames)]) for start in starts])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the command ran; ``output`` and ``progress`` have what it printed."""
    folder = tmp_path_factory.mktemp("released")
    trees.ucf101(folder / "sets/ucf", UCF)
    trees.hmdb51(folder / "sets/hmdb", HMDB, frames=30)
    (folder / "data").mkdir()
    (folder / "data/manifest.csv").write_text("the pipeline's own")
    write_project(folder, lists="lists")
    (folder / "lists").mkdir()
    for k in (1, 2, 3):  # each tests the first video of one class and both of the next
        tested = [f"{UCF[k]}/v_{UCF[k]}_g01_c01.avi", *(f"X/v_{UCF[k + 1]}_g01_c{own:02d}.avi" for own in (1, 2))]
        (folder / f"lists/testlist{k:02d}.txt").write_text("\n".join(tested))
    checkpoint(folder, sorted((folder / "sets").rglob("*.avi")))
    output, progress = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(progress),
        joblib.parallel_config(backend="sequential"),
    ):
        released.run(command.parser().parse_args(["released", "AURL662_checkpoint.pth.tar", "--clips", "1", "3"]))
    (folder / "output").write_text(output.getvalue())
    (folder / "progress").write_text(progress.getvalue())
    return folder


@pytest.fixture
def table(folder):
    return pd.read_csv(folder / "reports/released/AURL662_checkpoint.csv").set_index(["set", "clips"])


def scores_of(folder, name, root, count):
    """Cosines (N, C) and labels of the authors' network, the videos one by one."""
    network = authors.Released(word_dim=100).eval()
    network.load_state_dict(torch.load(folder / "AURL662_checkpoint.pth.tar", weights_only=False)["state_dict"])
    videos = sorted((folder / root).rglob("*.avi"))
    classes = sorted({path.parent.name for path in videos})
    vectors = embedded(name, tuple(classes))
    with torch.no_grad():
        seen = torch.cat([network(chosen(path, count)[None], vectors)[0] for path in videos])
        named = network.encode_words(vectors)
    scores = (normalize(seen, dim=1) @ normalize(named, dim=1).T).numpy()
    return scores, np.array([classes.index(path.parent.name) for path in videos]), classes


def accuracy(scores, labels, chosen, k):
    """The share of the chosen classes' videos whose class is among the k best of them."""
    right = [
        labels[i] in [chosen[c] for c in np.argsort(-scores[i, chosen])[:k]]
        for i in range(len(labels))
        if labels[i] in chosen
    ]
    return np.mean(right)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("name, root", [("ucf101", "sets/ucf"), ("hmdb51", "sets/hmdb")])
def test_figures_are_those_of_the_authors_network(folder, table, name, root, count):
    scores, labels, classes = scores_of(folder, name, root, count)
    row, every = table.loc[name, count], list(range(len(classes)))
    assert len(np.unique(scores.argmax(axis=1))) > 1  # or any network would do
    assert (row["videos"], row["classes"]) == (len(labels), len(classes))
    halves = [np.random.RandomState(k).permutation(len(classes))[: len(classes) // 2].tolist() for k in range(10)]
    for k, key in ((1, "top1"), (5, "top5")):
        assert row[key] == pytest.approx(accuracy(scores, labels, every, k), abs=1e-4)
        found = [accuracy(scores, labels, half, k) for half in halves]
        assert row[f"half_{key}"] == pytest.approx(np.mean(found), abs=1e-4)
        assert row[f"half_{key}_std"] == pytest.approx(np.std(found), abs=1e-4)
        unseen = [place for place in every if classes[place] in names.truze(name)["unseen"]]
        assert row["truze_classes"] == len(unseen)
        assert row[f"truze_{key}"] == pytest.approx(accuracy(scores, labels, unseen, k), abs=1e-4)
    if name == "ucf101":
        found = [accuracy(scores[rows], labels[rows], every, 1) for rows in ([2, 4, 5], [4, 6, 7], [6, 8, 9])]
        assert row["lists_top1"] == pytest.approx(np.mean(found), abs=1e-4)
        assert row["lists_top1_std"] == pytest.approx(np.std(found), abs=1e-4)
    else:
        assert np.isnan(row["lists_top1"])
    own = defaultdict(list)
    for score, label in zip(scores, labels, strict=True):
        own[label].append(1 - score[label])
    assert row["closeness"] == pytest.approx(np.mean([np.mean(distances) for distances in own.values()]), abs=2e-4)
    assert row["top1_low"] <= row["top1"] <= row["top1_high"] and 0 < row["dispersion"] < 2
    assert row["mean_per_class"] == pytest.approx(row["top1"], abs=1e-4)  # as classes are equally large


def test_the_table_is_read_on_the_terminal_and_kept(folder, table):
    printed = (folder / "output").read_text()
    kept = (folder / "reports/released/AURL662_checkpoint.md").read_text()
    table_text, compared = printed[: printed.rindex("|\n") + 2], printed[printed.rindex("|\n") + 2 :].split("\n")
    assert table_text in kept and kept.startswith("# AURL662_checkpoint.pth.tar\n")
    assert all(f"- {line}\n" in kept for line in compared if line)
    assert "Word vectors: glove-6b-100d-actions.bin. Arithmetic: float32." in kept
    lines = table_text.splitlines()
    heads = [cell.strip() for cell in lines[0].strip("|").split("|")]
    assert heads[1:] == ["ucf101, 1 clip", "hmdb51, 1 clip", "ucf101, 3 clips", "hmdb51, 3 clips"]
    half = next(line for line in lines if "half" in line and "5" in line)
    assert f"{table.loc[('ucf101', 3), 'half_top5']:.1%} ±" in half
    assert len({len(line) for line in lines}) == 1  # columns are aligned
    progress = (folder / "progress").read_text()
    assert "probing ucf101" in progress and "hmdb51, 3 clips per video" in progress


def test_the_authors_numbers_are_those_of_the_papers_facts(folder, table):
    """A checkpoint of random weights differs from all four, on sets as if they had all classes."""
    assert table["official"].isna().all()
    table = table.reset_index().assign(official=lambda own: own["set"])
    lines = released.agreement("AURL662_checkpoint.pth.tar", table)
    assert [line.split(" (")[0] for line in lines] == [
        "ucf101, 1 clip, top1: expected 44.39 %", "ucf101, 1 clip, mean_per_class: expected 43.61 %",
        "hmdb51, 1 clip, top1: expected 27.37 %", "hmdb51, 1 clip, mean_per_class: expected 28.92 %",
    ]  # fmt: skip
    assert all(line.split(": ")[-1].startswith("differs by ") for line in lines)
    (line,) = released.agreement("other.pth.tar", table)
    assert line.startswith("other.pth.tar: ") and line.endswith("no checkpoint of this name, so nothing is compared")


def test_found_accuracies_agree_or_differ(tmp_path):
    """A set is compared only if it has all classes of an official list."""
    table = pd.DataFrame({"set": ["mine", "b", "c"], "official": ["a", "b", None], "clips": [1, 25, 1]})
    table[["top1", "top5"]] = [[0.4439, 0.7], [0.5, 0.8], [0.1, 0.2]]
    table["truze_top1"] = [0.2707, float("nan"), 0.1]
    rows = [
        "checkpoint,set,clips,figure,expected,source", "my,a,1,top1,44.68,a log", "my,a,1,top5,70.31,a log",
        "my,b,25,top1,50,a page", "my,b,1,top1,50,a page", "my,a,1,top9,50,a page", "other,a,1,top1,1,a log",
        "my,a,1,truze_top1,27.37,a log", "my,b,25,truze_top1,50,a log", "my,c,1,top1,10,a log",
    ]  # fmt: skip
    file = tmp_path / "expected.csv"
    file.write_text("\n".join(rows))
    assert released.agreement("runs/my_model.tar", table, file) == [
        "a, 1 clip, top1: expected 44.68 % (a log), found 44.39 %: agrees",
        "a, 1 clip, top5: expected 70.31 % (a log), found 70.00 %: differs by 0.31 points",
        "b, 25 clips, top1: expected 50.00 % (a page), found 50.00 %: agrees",
        "b, 1 clip, top1: expected 50.00 % (a page), not evaluated",
        "a, 1 clip, top9: expected 50.00 % (a page), not evaluated",
        "a, 1 clip, truze_top1: expected 27.37 % (a log), found 27.07 %: agrees",
        "b, 25 clips, truze_top1: expected 50.00 % (a log), not evaluated",
        "c, 1 clip, top1: expected 10.00 % (a log), not evaluated",
    ]
    file.write_text(f"{rows[0]}\nmy,a,1,top1,,a log")
    with pytest.raises(UserError, match="is no table of expected accuracies"):
        released.agreement("my.tar", table, file)


def test_the_pipelines_own_files_stay(folder):
    assert (folder / "data/manifest.csv").read_text() == "the pipeline's own"
    assert not (folder / "reports/tables").exists() and not (folder / "data/proxies").exists()
    assert pd.read_csv(folder / "reports/released/AURL662_checkpoint-rejected.csv").empty


# --- mistakes ---------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path, monkeypatch, in_process):
    """A folder with one test set on disk and a checkpoint, to change."""
    monkeypatch.chdir(tmp_path)
    trees.hmdb51("sets/hmdb", HMDB, videos=1, frames=16)
    checkpoint(tmp_path, sorted(Path("sets").rglob("*.avi")))
    write_project(tmp_path, data={"test": ["hmdb51"]})
    return tmp_path


def refused(message, *arguments, **options):
    with pytest.raises(UserError, match=message) as caught:
        released.evaluate("AURL662_checkpoint.pth.tar", *arguments, **options)
    assert not Path("reports").exists() and str(caught.value).count(". ") == 0


ONE = {"reader": "folders", "root": "sets", "names": None}


def test_mistakes_are_one_sentence(here):
    write_project(here, data={"test": ["verbs-unseen"], "datasets": {}, "train": ["pairs-seen"]})
    refused("params.yaml: data.test names no test set on disk: write UCF101 or HMDB51 there and under data.datasets")
    write_project(here, data={"test": ["own"], "datasets": {"own": ONE}, "train": ["pairs-seen"]})
    refused('the test set own has .*"hmdb"')
    np.savez("f.npz", features=np.eye(4), labels=["a", "a", "b", "b"])
    fixed = {"reader": "features", "root": "f.npz", "names": None}
    write_project(here, data={"test": ["own"], "datasets": {"own": fixed}, "train": ["pairs-seen"]})
    refused("params.yaml: own has precomputed features, but a released checkpoint needs videos: name other sets")
    write_project(here)
    refused("sets/ucf")  # which is not where it should be
    write_project(here, data={"test": ["hmdb51"]})
    Path("expected.csv").write_text("a,b\n1,2\n")
    for file in ("expected.csv", "nowhere.csv"):
        refused(f"{file} is no table of expected accuracies: give a CSV file with checkpoint, set", expected=file)
    checkpoint(here, sorted(Path("sets").rglob("*.avi")), word_dim=300)
    refused("word vectors of 100 dimensions but AURL662_checkpoint.pth.tar takes 300: set text.vectors to those")
    torch.save({"state_dict": torch.nn.Linear(2, 2).state_dict()}, "AURL662_checkpoint.pth.tar")
    refused("AURL662_checkpoint.pth.tar is no released AURL checkpoint")


def test_sets_without_a_list_of_truze_have_no_such_figure(here):
    data = {"test": ["own"], "datasets": {"own": ONE | {"root": "sets/hmdb"}}, "train": ["pairs-seen"]}
    trees.video("sets/hmdb/brush_hair/short.mp4", frames=3)  # a quarter of all, but a video that is left out is listed
    write_project(here, data=data, prepare={"broken": 0.5})
    table = released.evaluate("AURL662_checkpoint.pth.tar", counts=[1, 1])
    assert len(table) == 1 and table["truze_classes"].item() == 0 and "truze_top1" not in table
    assert "own, 1 clip" in released.markdown(table) and "nan" not in released.markdown(table)
    rejected = pd.read_csv("reports/released/AURL662_checkpoint-rejected.csv")
    assert rejected["reason"].tolist() == ["too short (3 frames)"]


def test_the_command_says_what_is_wrong(here, capsys):
    assert project.ended("released", "nowhere.tar") == (
        "aurl: There is no checkpoint nowhere.tar; download it or correct the path."
    )
    assert "params.paper.yaml cannot be read" in project.ended("released", "x.tar", "--params", "params.paper.yaml")
    for count in ("0", "-1", "many"):
        assert project.ended("released", "x.tar", f"--clips={count}") == 2
        assert f"{count} is no such number: give 1 or more" in capsys.readouterr().err
