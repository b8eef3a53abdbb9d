"""UCF101, HMDB51 and trees of class folders: what is read, and the message for a tree with a fault."""

import shlex

import pytest
import trees
from trees import touch

from aurl import UserError
from aurl.data.prepare import READERS
from aurl.data.readers.folders import split_of
from aurl.data.video import probe


def refused(reader, root, reason, **options):
    with pytest.raises(UserError, match=reason) as caught:
        READERS[reader](root, **options)
    message = str(caught.value)
    assert "see DATA.md" in message and "\n" not in message and message.count("expected") == 1
    return message


def test_ucf101_from_its_archive_or_its_class_folders(tmp_path):
    trees.ucf101(tmp_path)
    whole, inside = (READERS["ucf101"](root, classes=3) for root in (tmp_path, tmp_path / "UCF-101"))
    assert whole.equals(inside) and len(whole) == 6
    assert whole["id"][0] == "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01" and whole["split"].unique().tolist() == [""]
    assert whole["class"].tolist() == ["ApplyEyeMakeup"] * 2 + ["Archery"] * 2 + ["BabyCrawling"] * 2
    assert {(p["status"], p["frames"], p["codec"]) for p in map(probe, whole["path"])} == {("ok", 20, "mpeg4")}
    assert whole[["begin", "end"]].isna().all(axis=None)
    counts = {"unlabeled": 0, "merged": 0, "unselected": 0}
    assert whole.attrs == {"list": "ucf101", "skipped": [], "others": {}} | counts


def test_hmdb51(tmp_path):
    trees.hmdb51(tmp_path)
    touch(tmp_path, "brush_hair.rar", "test_train_splits.rar", "hmdb51_org.rar")  # unpacked archives may stay
    table = READERS["hmdb51"](str(tmp_path), classes=["brush_hair", "catch", "cartwheel"], split="test")
    assert table["class"].unique().tolist() == ["brush_hair", "cartwheel", "catch"] and table["split"].eq("test").all()
    assert {(p["status"], p["frames"]) for p in map(probe, table["path"])} == {("ok", 20)}


def test_class_lists_of_the_real_datasets(tmp_path):
    trees.ucf101(tmp_path / "ucf", videos=1)
    touch(tmp_path, "hmdb/brush_hair/v.avi")
    said = "lacks 98 of the 101 classes of ucf101, such as 'ApplyLipstick' .if that is intended, set `classes`"
    refused("ucf101", tmp_path / "ucf", f"{said}.*v_ApplyEyeMakeup_g01_c01.avi")
    refused("hmdb51", tmp_path / "hmdb", "lacks 50 of the 51 classes of hmdb51, such as 'cartwheel'")
    assert len(READERS["ucf101"](tmp_path / "ucf", classes=3)) == 3
    half = READERS["ucf101"](tmp_path / "ucf", classes=["archery", "BabyCrawling"])
    assert half["class"].tolist() == ["Archery", "BabyCrawling"] and half.attrs["list"] == "ucf101"


def test_message_about_packed_archives_has_the_command_that_unpacks_them(tmp_path):
    ucf, hmdb = tmp_path / "my ucf", tmp_path / "hmdb"
    touch(ucf, "UCF101.rar", "ucfTrainTestlist/trainlist01.txt")
    assert f"`cd {shlex.quote(str(ucf))} && unrar x UCF101.rar`" in refused("ucf101", ucf, "still packed")
    touch(hmdb, "hmdb51_org.rar")
    loop = 'for f in *.rar; do unrar x -o- "$f"; done`'
    assert f"cd {hmdb} && unrar x hmdb51_org.rar && {loop}" in refused("hmdb51", hmdb, "archives in an archive")
    touch(hmdb, "brush_hair.rar", "catch.rar", "test_train_splits.rar")
    assert f"`cd {hmdb} && {loop}" in refused("hmdb51", hmdb, "2 classes in .* still packed, such as brush_hair.rar")
    touch(hmdb, "brush_hair/v.avi")
    refused("hmdb51", hmdb, "1 classes in .* still packed, such as catch.rar")


def test_any_tree_with_videos_below_classes_at_any_depth(tmp_path):
    touch(tmp_path, "走る/day 1/cam/a.mp4", "走る/b.MKV", "it's/c.webm", "it's/notes.txt", "readme.md", ".git/x.mp4")
    table = READERS["folders"](tmp_path)
    assert table["id"].tolist() == ["it's/c", "走る/b", "走る/day 1/cam/a"]
    assert table["class"].tolist() == ["it's", "走る", "走る"] and table.attrs["others"] == {".md": 1, ".txt": 1}
    assert table["path"][1] == f"{tmp_path}/走る/b.MKV" and all(type(each) is str for each in table["path"])


def test_split_folders_are_known_by_their_names(tmp_path):
    touch(tmp_path, "train/a/1.mp4", "train/b/1.mp4", "Validation/a/1.mp4", "test/b/2.mp4", "test/loose.mp4")
    table = READERS["folders"](tmp_path, classes=2)
    found = ["Validation/a/1 a val", "test/b/2 b test", "train/a/1 a train", "train/b/1 b train"]
    assert table[["id", "class", "split"]].agg(" ".join, axis=1).tolist() == found
    assert table.attrs["unlabeled"] == 1
    assert READERS["folders"](tmp_path, split="val")["id"].tolist() == ["Validation/a/1"]
    touch(tmp_path, "annotations/all.csv", "loose.mp4")
    assert READERS["folders"](tmp_path).attrs["unlabeled"] == 2


def test_classes_and_splits_that_cannot_be_told_apart(tmp_path):
    touch(tmp_path, "car/v.mp4", "train/v.mp4")  # a class "train" among other classes
    assert READERS["folders"](tmp_path)["class"].unique().tolist() == ["car", "train"]
    touch(tmp_path, "train/day/v.mp4")
    refused(
        "folders", tmp_path, "has videos in car beside train, so that classes and splits cannot be told apart: move"
    )
    touch(tmp_path, "f4/train/a/1.mp4", "f4/val/a/1.mp4", "f4/raw/1.mp4")
    refused("folders", tmp_path / "f4", "has videos in raw beside train, val, so that .* move raw away, or name one")
    assert READERS["kinetics"](tmp_path / "f4", classes=1).attrs["unlabeled"] == 1  # what lies beside is no class there
    touch(tmp_path, "deep/run/train/1.mp4", "deep/run/test/1.mp4", "deep/walk/1.mp4")
    refused("folders", tmp_path / "deep", "the class folder .*deep/run has the splits test and train in it: name it as")


@pytest.mark.parametrize(
    "name, split",
    [("videos_train", "train"), ("Training", "train"), ("val_340p", "val"), ("testing", "test"), ("training dog", ""),
     ("training_set", "train"), ("testset", "test"),
     ("trains", ""), ("contest", "")],
)  # fmt: skip
def test_names_of_splits(name, split):
    assert split_of(name) == split


def test_trees_with_a_fault(tmp_path):
    refused("folders", tmp_path / "nowhere", "nowhere cannot be read .No such file")
    refused("folders", tmp_path, "has no videos")
    touch(tmp_path, "loose.mp4")
    refused("ucf101", tmp_path / "loose.mp4", "loose.mp4 is not a folder")
    refused("folders", tmp_path, "the 1 videos in .* lie in no class folders")
    touch(tmp_path, "a/v.mp4", "empty/notes.txt")
    refused("folders", tmp_path, "the class folder .*/empty has no video; if it is no class, move it away")
    touch(tmp_path, "empty/v.mp4", "a/v.avi")
    refused("folders", tmp_path, r"a/v\.avi and .*a/v\.mp4 would have the same id")
    touch(tmp_path, "split/train/a/v.mp4", "split/train_256/a/v.mp4")
    refused("folders", tmp_path / "split", "two folders of the split train, train and train_256")
    touch(tmp_path, "one/train/a/v.mp4")
    refused("folders", tmp_path / "one", "no folder of the split test; there are train", split="test")
