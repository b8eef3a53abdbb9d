"""Rows of the manifest from sets on disk: splits, names, what is left out. tests/pipeline/test_paper.py runs it as a
stage."""

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import trees

from aurl import UserError
from aurl.data import prepare
from aurl.data.manifest import COLUMNS
from aurl.data.readers import features
from aurl.data.video import reading as video
from aurl.project import config
from aurl.project.paths import REJECTED


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch, in_process):
    monkeypatch.chdir(tmp_path)


def sets(train, test=(), **about):
    return config.sections.Data(
        train=train,
        test=list(test) or ["verbs-unseen"],
        datasets={name: config.sections.Dataset(**lines) for name, lines in about.items()},
    )


def settings(**change):
    return config.sections.Prepare(
        **{"val_videos": 1, "min_frames": 4, "broken": 0.3, "damaged": "refuse", "proxies": None, "scheduler": None}
        | change
    )


def folders(name, **videos):
    """A tree of one-second videos, ``videos`` for each class, and its lines of parameters."""
    for color, (label, count) in enumerate(videos.items()):
        for k in range(count):
            trees.video(f"{name}/{label}/{k}.mp4", color, frames=10)
    return {"reader": "folders", "root": name}


def test_some_videos_of_every_training_class_are_held_back():
    (rows,), found = prepare.datasets(sets(["own"], own=folders("own", jump=4, run=2)), settings(val_videos=2))
    assert rows.groupby(["class", "split"]).size().to_dict() == {
        ("jump", "train"): 2, ("jump", "val"): 2, ("run", "train"): 1, ("run", "val"): 1,
    }  # fmt: skip
    assert list(rows.columns) == COLUMNS and rows["id"].str.startswith("own/").all()
    assert found.loc["own", ["videos", "left out"]].tolist() == [6, 0]
    again = prepare.datasets(sets(["own"], own={"reader": "folders", "root": "own"}), settings(val_videos=2))[0][0]
    pd.testing.assert_frame_equal(again, rows)


def test_a_class_without_validation_videos_of_its_own_holds_some_back():
    """Or accuracies would be those of the few classes that have some."""
    names = ["jump"] * 4 + ["run"] * 3
    splits = ["train", "val", "val", "val", "train", "", "train"]
    features.save("own.npz", np.ones((7, 2)), names, list("abcdefg"), splits)
    data = sets(["own"], own={"reader": "features", "root": "own.npz"})
    (rows,), _ = prepare.datasets(data, settings(val_videos=2))
    assert rows.groupby(["class", "split"]).size().to_dict() == {
        ("jump", "train"): 1, ("jump", "val"): 2, ("run", "train"): 1, ("run", "val"): 2,
    }  # fmt: skip


def test_an_added_video_leaves_the_others_in_their_split():
    data = sets(["own"], own=folders("own", jump=6, run=2))
    before = prepare.datasets(data, settings(val_videos=2))[0][0].set_index("id")["split"]
    trees.video("own/jump/new.mp4", frames=10)
    after = prepare.datasets(data, settings(val_videos=3))[0][0].set_index("id")["split"]
    assert (after[before.index[before == "val"]] == "val").all()


def test_a_sets_own_validation_split_is_used_and_its_test_split_is_not():
    for split, count in (("train", 3), ("val", 4), ("test", 2)):
        folders(f"own/{split}", jump=count, run=count)
    (rows,), _ = prepare.datasets(sets(["own"], own={"reader": "folders", "root": "own"}), settings(val_videos=2))
    assert rows["split"].value_counts().to_dict() == {"train": 6, "val": 4}
    assert {name.split("/")[1] for name in rows.loc[rows["split"] == "val", "id"]} == {"val"}


def test_unusable_videos_are_listed_even_when_they_stop_everything():
    data = sets(["own"], own=folders("own", jump=4, run=4))
    Path("own/jump/0.mp4").write_bytes(b"no video")
    (rows,), found = prepare.datasets(data, settings())
    listed = pd.read_csv(REJECTED)
    assert len(rows) == 7 and found.loc["own", "left out"] == 1
    assert listed[["set", "id", "class"]].to_numpy().tolist() == [["own", "jump/0", "jump"]]
    assert "cannot be decoded" in listed["reason"][0]
    REJECTED.unlink()
    with pytest.raises(UserError, match=r"1 of 8 videos cannot be used.*reports/tables/rejected.csv lists all"):
        prepare.datasets(data, settings(broken=0.1))
    assert len(pd.read_csv(REJECTED)) == 1


def test_every_file_is_used_or_listed():
    folders("own", jump=2, run=2)
    for name in ("it's", 'say "hello"', "a, b", "走る", "-i", "%03d"):
        trees.video(f"own/jump/{name}.mp4", frames=10)
    jump = Path("own/jump")
    (jump / "notes.txt").touch()
    (jump / "folder.mp4").mkdir()
    (jump / "back").symlink_to("..")
    (jump / "loop.mp4").symlink_to("loop.mp4")
    (jump / "gone.mp4").symlink_to("nothing")
    (jump / "empty.avi").touch()
    (jump / "short.mp4").write_bytes((jump / "0.mp4").read_bytes())
    trees.video(jump / "short.mp4", frames=3)
    Path(os.fsdecode("own/jump/Läufer.mp4".encode("latin-1"))).touch()
    (rows,), found = prepare.datasets(sets(["own"], own={"reader": "folders", "root": "own"}), settings(broken=0.5))
    listed = pd.read_csv(REJECTED, keep_default_na=False)
    assert sorted(Path(path).stem for path in rows["path"]) == sorted(
        ["0", "1", "0", "1", "it's", 'say "hello"', "a, b", "走る", "-i", "%03d"]
    )
    names = ["L\\xe4ufer.mp4", "back", "empty.avi", "folder.mp4", "gone.mp4", "loop.mp4", "short.mp4"]
    assert sorted(Path(path).name for path in listed["path"]) == names
    assert listed["reason"].str.len().gt(5).all() and (listed["set"] == "own").all()
    assert found.loc["own", ["videos", "left out", "other files"]].tolist() == [10, 7, "1 other file (1 .txt)"]


def test_a_class_with_one_video_cannot_be_trained_on():
    with pytest.raises(UserError, match='the class "run" of own has a single video'):
        prepare.datasets(sets(["own"], own=folders("own", jump=2, run=1)), settings())


@pytest.fixture
def unopened(monkeypatch):
    """Fail as soon as a video is opened."""
    monkeypatch.setattr(prepare.probing, "probe", lambda path: pytest.fail(f"{path} was opened"))


def test_a_class_that_cannot_be_trained_on_is_named_at_once(unopened):
    for single, count in (("train", 3), ("val", 2), ("test", 2)):
        folders(f"own/{single}", jump=count, **({} if single == "train" else {"run": count}))
    own = {"reader": "folders", "root": "own"}
    with pytest.raises(UserError, match='^the training set own has no training video of the class "run": .*own.split'):
        prepare.datasets(sets(["own"], own=own), settings())
    with pytest.raises(UserError, match='^the training set own has no training video of the class "jump": '):
        prepare.datasets(sets(["own"], own=own | {"split": "val"}), settings())
    with pytest.raises(UserError, match="^the training set own has only videos of the test split: "):
        prepare.datasets(sets(["own"], own=own | {"split": "test"}), settings())


def test_a_set_of_one_class_is_refused(unopened):
    one, two = folders("one", jump=3), folders("two", hop=2, run=2)
    with pytest.raises(UserError, match='^the training set one has one class, "jump", .*: add another class'):
        prepare.datasets(sets(["one"], one=one), settings())
    with pytest.raises(UserError, match='^the test set one has one class, "jump", .*: add .* out of data.test'):
        prepare.datasets(sets(["two"], ["one"], one=one, two=two), settings())
    same = one | {"root": "same"}
    folders("same", Jump=2)
    with pytest.raises(UserError, match='^the training set one [+] same has one class, "jump"'):
        prepare.datasets(sets(["one", "same"], one=one, same=same), settings())


def test_a_set_of_one_class_may_be_a_part_of_the_training_set():
    data = sets(["one", "two"], one=folders("one", jump=3), two=folders("two", hop=2))
    parts, _ = prepare.datasets(data, settings())
    assert [len(rows) for rows in parts] == [3, 2]
    parts, _ = prepare.datasets(sets(["pairs-seen", "one"], one={"reader": "folders", "root": "one"}), settings())
    assert [len(rows) for rows in parts] == [3]


def test_an_impossible_folder_for_proxies_is_named_at_once(unopened):
    data = sets(["own"], own=folders("own", jump=2, run=2))
    Path("file").touch()
    among = "would have the proxies of own in {}, among the videos of the data set own in own: choose"
    for folder, reason in (
        ("file/small", "cannot be written to"),
        ("own/small", among.format("own/small/own")),
        (".", among.format("own")),  # where the proxy of own/jump/0.mp4 would be own/jump/0.mp4
    ):
        with pytest.raises(UserError, match=rf"^prepare\.proxies\.folder {re.escape(folder)} {reason}"):
            prepare.datasets(data, settings(proxies={"folder": folder, "side": 32, "keyframe": 4, "crf": 20}))
    assert not Path("own/small").exists()


def test_other_proxies_are_another_manifest():
    """Only their pixels differ, yet every stage that reads them must run again."""
    data, found = sets(["own"], own=folders("own", jump=2, run=2)), []
    for side, keyframe, crf in ((16, 4, 20), (16, 4, 20), (24, 4, 20), (24, 2, 20), (24, 2, 40)):
        small = {"folder": "small", "side": side, "keyframe": keyframe, "crf": crf}
        (rows,), _ = prepare.datasets(data, settings(proxies=small))
        assert all(video.digest(row.path) == row.digest and row.path.startswith("small/") for row in rows.itertuples())
        found.append(rows.to_csv())
    assert found[0] == found[1] and len(set(found)) == 4
    (rows,), _ = prepare.datasets(data, settings())
    assert rows["path"].str.startswith("own/").all() and rows["width"].eq(48).all()


def test_a_video_that_is_replaced_is_another_manifest():
    data = sets(["own"], own=folders("own", jump=2, run=2))
    before = prepare.datasets(data, settings())[0][0]
    trees.video("own/jump/0.mp4", color=9, frames=10)
    after = prepare.datasets(data, settings())[0][0]
    assert before.columns[(before != after).any()].tolist() == ["digest"]


def test_a_fault_in_the_last_set_is_named_before_the_first_is_probed(unopened):
    own = folders("own", jump=2, run=2)
    data = sets(["own"], ["gone"], own=own, gone={"reader": "ucf101", "root": "nowhere"})
    with pytest.raises(UserError, match=r"nowhere cannot be read .*DATA\.md"):
        prepare.datasets(data, settings())
    with pytest.raises(UserError, match="no class names of 'ucf11'.*did you mean ucf101"):
        prepare.datasets(sets(["own"], ["other"], own=own, other=own | {"names": "ucf11"}), settings())


def test_classes_of_the_same_words_have_one_name():
    sets = ["a", "a", "b", "b", "b", "c"]
    labels = ["Archery", "ride a bike", "archery", "swim", "RideBike", "ArChErY"]
    spoken = ["archery", "ride a bike", "archery", "swim", "ride a bike", "archery"]
    table = pd.DataFrame({"set": sets, "class": labels, "words": spoken})
    merged = prepare.merged(table, ["a", "b"])["class"].tolist()
    assert merged == ["Archery", "ride a bike", "Archery", "swim", "ride a bike", "ArChErY"]
    assert prepare.merged(table, ["a"])["class"].tolist() == labels


def test_two_classes_of_one_set_that_share_all_words_are_refused(unopened):
    """No model could tell them apart, whether they are trained on or tested."""
    two, same = folders("two", hop=2, run=2), folders("same", **{"JumpRope": 2, "jump (rope)": 2, "jump, rope": 2})
    with pytest.raises(UserError, match="same has one class in two spellings, 'JumpRope' and 'jump .rope.', so give"):
        prepare.datasets(sets(["same"], ["two"], same=same, two=two), settings())
    near = {"reader": "kinetics", "root": "near", "classes": 2}
    folders("near", **{"riding a bike": 2, "ride bike": 2})
    said = '^the data set near has the classes "ride bike" and "riding a bike", both embedded by the words "ride bike"'
    for train, test in ((["near"], ["two"]), (["two"], ["near"])):
        with pytest.raises(UserError, match=said):
            prepare.datasets(sets(train, test, near=near, two=two), settings())
