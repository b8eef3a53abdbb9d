"""Rows of the manifest from sets on disk: splits, names and what is left out; tests/test_paper.py runs it with real videos."""

import os
from pathlib import Path

import pandas as pd
import pytest
import trees

from aurl import UserError, config
from aurl.datasets import prepare


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch, in_process):
    monkeypatch.chdir(tmp_path)


def sets(train, test=(), **about):
    return config.Data(
        train=train,
        test=list(test) or ["mocap-novel"],
        datasets={name: config.Dataset(**lines) for name, lines in about.items()},
    )


def settings(**change):
    return config.Prepare(
        **{"val_videos": 1, "min_frames": 4, "broken": 0.3, "proxies": None, "scheduler": None} | change
    )


def folders(name, **videos):
    """A tree of one-second videos, ``videos`` for each class, and its lines of parameters."""
    for colour, (label, count) in enumerate(videos.items()):
        for k in range(count):
            trees.video(f"{name}/{label}/{k}.mp4", colour, frames=10)
    return {"reader": "folders", "root": name}


def test_some_videos_of_every_training_class_are_held_back():
    (rows,), found = prepare.datasets(sets(["own"], own=folders("own", jump=4, run=2)), settings(val_videos=2))
    assert rows.groupby(["class", "split"]).size().to_dict() == {
        ("jump", "train"): 2,
        ("jump", "val"): 2,
        ("run", "train"): 1,
        ("run", "val"): 1,
    }
    assert (
        list(rows.columns) == prepare.COLUMNS
        and rows["id"].str.startswith("own/").all()
        and found.loc["own", ["videos", "left out"]].tolist() == [6, 0]
    )
    again = prepare.datasets(sets(["own"], own={"reader": "folders", "root": "own"}), settings(val_videos=2))[0][0]
    pd.testing.assert_frame_equal(again, rows)


def test_a_video_that_is_added_moves_no_other_to_the_other_half():
    data = sets(["own"], own=folders("own", jump=6))
    before = prepare.datasets(data, settings(val_videos=2))[0][0].set_index("id")["split"]
    trees.video("own/jump/new.mp4", frames=10)
    after = prepare.datasets(data, settings(val_videos=3))[0][0].set_index("id")["split"]
    assert (after[before.index[before == "val"]] == "val").all()


def test_a_sets_own_validation_split_is_used_and_its_test_split_is_not():
    for split, count in (("train", 3), ("val", 4), ("test", 2)):
        folders(f"own/{split}", jump=count)
    (rows,), _ = prepare.datasets(sets(["own"], own={"reader": "folders", "root": "own"}), settings(val_videos=2))
    assert rows["split"].value_counts().to_dict() == {"train": 3, "val": 2}
    assert {name.split("/")[1] for name in rows.loc[rows["split"] == "val", "id"]} == {"val"}


def test_every_video_of_a_test_set_is_for_the_test():
    parts, _ = prepare.datasets(
        sets(["own"], ["other"], own=folders("own", jump=2), other=folders("other", run=1, hop=2)), settings()
    )
    assert parts[1]["split"].tolist() == ["test"] * 3 and parts[1]["set"].unique().tolist() == ["other"]


def test_what_cannot_be_used_is_listed_also_where_it_stops_everything():
    data = sets(["own"], own=folders("own", jump=4))
    with open("own/jump/0.mp4", "wb") as file:
        file.write(b"no video")
    (rows,), found = prepare.datasets(data, settings())
    listed = pd.read_csv(prepare.REJECTED)
    assert len(rows) == 3 and found.loc["own", "left out"] == 1
    assert (
        listed[["set", "id", "class"]].to_numpy().tolist() == [["own", "jump/0", "jump"]]
        and "cannot be decoded" in listed["reason"][0]
    )
    prepare.REJECTED.unlink()
    with pytest.raises(UserError, match=r"1 of 4 videos cannot be used.*reports/tables/rejected.csv lists all"):
        prepare.datasets(data, settings(broken=0.2))
    assert len(pd.read_csv(prepare.REJECTED)) == 1


def test_whatever_lies_there_is_used_or_listed():
    folders("own", jump=2)
    for name in ("it's", 'say "hello"', "a, b", "走る", "-i", "%03d"):
        trees.video(f"own/jump/{name}.mp4", frames=10)
    jump = Path("own/jump")
    (jump / "folder.mp4").mkdir()
    (jump / "back").symlink_to("..")
    (jump / "loop.mp4").symlink_to("loop.mp4")
    (jump / "gone.mp4").symlink_to("nothing")
    (jump / "empty.avi").touch()
    (jump / "short.mp4").write_bytes((jump / "0.mp4").read_bytes())
    trees.video(jump / "short.mp4", frames=3)
    Path(os.fsdecode("own/jump/Läufer.mp4".encode("latin-1"))).touch()
    (rows,), found = prepare.datasets(sets(["own"], own={"reader": "folders", "root": "own"}), settings(broken=0.5))
    listed = pd.read_csv(prepare.REJECTED, keep_default_na=False)
    assert sorted(Path(path).stem for path in rows["path"]) == sorted(
        ["0", "1", "it's", 'say "hello"', "a, b", "走る", "-i", "%03d"]
    )
    assert sorted(Path(path).name for path in listed["path"]) == [
        "L\\xe4ufer.mp4",
        "back",
        "empty.avi",
        "folder.mp4",
        "gone.mp4",
        "loop.mp4",
        "short.mp4",
    ]
    assert (
        listed["reason"].str.len().gt(5).all()
        and (listed["set"] == "own").all()
        and found.loc["own", ["videos", "left out"]].tolist() == [8, 7]
    )


def test_without_sets_on_disk_there_is_nothing_to_list():
    parts, found = prepare.datasets(sets(["mocap-seen"]), settings())
    assert parts == [] and found.empty and len(pd.read_csv(prepare.REJECTED)) == 0


def test_a_class_with_one_video_cannot_be_trained_on():
    with pytest.raises(UserError, match='the class "run" of own has a single video'):
        prepare.datasets(sets(["own"], own=folders("own", jump=2, run=1)), settings())


def test_a_slip_in_the_last_set_is_said_before_the_first_is_probed(monkeypatch):
    monkeypatch.setattr(prepare.probing, "probe_all", lambda *_: pytest.fail("probed too early"))
    own = folders("own", jump=2)
    data = sets(["own"], ["gone"], own=own, gone={"reader": "ucf101", "root": "nowhere"})
    with pytest.raises(UserError, match=r"nowhere cannot be read .*DATA\.md"):
        prepare.datasets(data, settings())
    with pytest.raises(UserError, match="no class names of 'ucf11'.*did you mean ucf101"):
        prepare.datasets(sets(["own"], ["other"], own=own, other=own | {"names": "ucf11"}), settings())


def test_classes_of_the_same_words_have_one_name():
    table = pd.DataFrame({
        "set": ["a", "a", "a", "b", "b", "c"], "class": ["Archery", "ride a bike", "riding a bike", "archery", "swim", "ArChErY"],
        "words": ["archery", "ride a bike", "ride a bike", "archery", "swim", "archery"],
    })  # fmt: skip
    assert prepare.merged(table, ["a", "b"])["class"].tolist() == [
        "Archery",
        "ride a bike",
        "riding a bike",
        "Archery",
        "swim",
        "ArChErY",
    ]
    assert prepare.merged(table, ["a"])["class"].tolist() == table["class"].tolist()
