"""Kinetics in the layouts that its downloaders leave, with and without the official CSV files."""

import shutil

import pytest
import trees
from trees import touch

from aurl import UserError
from aurl.data.prepare import READERS
from aurl.data.video import probe

HEADER = "label,youtube_id,time_start,time_end,split\n"


def read(root, lists=(), **options):
    """The table of a part of Kinetics, which need not have all classes."""
    return READERS["kinetics"](root, lists=lists, **options)


def table_of(path, *lines, header=HEADER):
    path.write_text(header + "".join(line + "\n" for line in lines))
    return path


def refused(reason, *args, **options):
    with pytest.raises(UserError, match=reason) as caught:
        read(*args, **options)
    assert "see DATA.md" in str(caught.value) and "\n" not in str(caught.value)


@pytest.fixture
def one(tmp_path):
    """A root with one class, and a CSV file of it."""
    touch(tmp_path, "root/train/yoga/abcdefghijk_000003_000013.mp4")
    return tmp_path / "root", table_of(tmp_path / "train.csv", "yoga,abcdefghijk,3,13,train")


def test_class_folders_with_and_without_csv_and_flat_files_are_the_same_clips(tmp_path):
    files = trees.kinetics(tmp_path / "folders")
    flat = trees.kinetics(tmp_path / "flat", flat=True)
    by_folder, by_csv = read(tmp_path / "folders", classes=3), read(tmp_path / "folders", annotations=files, classes=3)
    from_flat = read(tmp_path / "flat", annotations=flat, classes=3)
    assert by_folder.equals(by_csv) and len(by_folder) == 12
    assert by_folder["id"][3] == "train/playing drums/playitrain1_000002_000012"
    assert from_flat["id"][3] == "train/playitrain1_000002_000012"
    counts = {(name, split): 2 for name in ("abseiling", "playing drums", "zumba") for split in ("train", "val")}
    for table in (by_folder, from_flat):
        assert table[["class", "split"]].value_counts().to_dict() == counts
    assert by_folder["begin"].isna().all()  # the files are trimmed, and the CSV's seconds are those of the whole video
    assert {(p["status"], p["frames"], p["codec"]) for p in map(probe, from_flat["path"])} == {("ok", 20, "h264")}
    assert (by_csv.attrs["absent"], by_csv.attrs["unlisted"]) == (0, 0)


def test_split_is_chosen(tmp_path):
    files = trees.kinetics(tmp_path, videos=1)
    for annotations in (None, files):
        table = read(tmp_path, annotations=annotations, classes=3, split="val")
        assert len(table) == 3 and table["split"].eq("val").all()
    assert table.attrs["absent"] == table.attrs["unlisted"] == 0
    assert read(tmp_path / "train", split="val")["split"].eq("val").all()  # class folders alone have no split
    refused("no folder of the split test; there are train, val", tmp_path, split="test")
    refused("val.csv has no clips of the split 'test'", tmp_path, annotations=files[1], split="test")


def test_folders_of_other_downloaders(tmp_path):
    clip = "abcdefghijk_000003_000013"
    touch(tmp_path, f"videos_train/playing_drums/{clip}.mp4", f"videos_val/yoga/{clip}.mkv", "test/unlabeled.mp4")
    touch(tmp_path, "annotations/train.csv", f"rawframes_train/yoga/{clip}/img_00001.jpg", "train_list.txt")
    table = read(tmp_path, classes=["playing drums", "yoga"])
    assert table[["class", "split"]].values.tolist() == [["playing drums", "train"], ["yoga", "val"]]
    assert table.attrs["unlabeled"] == 1
    csv = table_of(tmp_path / "train.csv", "playing drums,abcdefghijk,3,13,train")
    assert read(tmp_path / "videos_train", annotations=csv)["class"].tolist() == ["playing drums"]
    assert read(tmp_path / "videos_train")["class"].tolist() == ["playing_drums"]  # no list has its spelling


def test_names_without_times_and_what_is_absent_or_unlisted(tmp_path):
    csv = table_of(
        tmp_path / "all.csv",
        "yoga,abcdefghijk,3,13,train",
        "zumba,-_bcdefghij,0,10,validate",
        '"zumba",gone5678901,1,2,test',
        header="\ufeff" + HEADER,
    )
    touch(tmp_path / "root", "abcdefghijk.mp4", "deep/er/-_bcdefghij.webm")
    touch(tmp_path / "root", "other678901.mp4", "abcdefghijk_000004_000014.mp4")
    table = read(tmp_path / "root", annotations=str(csv), classes=2)
    found = ["abcdefghijk yoga train", "deep/er/-_bcdefghij zumba val"]
    assert table[["id", "class", "split"]].agg(" ".join, axis=1).tolist() == found
    assert (table.attrs["absent"], table.attrs["unlisted"]) == (1, 2)


def test_one_video_in_two_classes(tmp_path):
    clips = ("yoga,abcdefghijk,3,13,train", "zumba,abcdefghijk,5,15,train", "zumba,abcdefghijk,7,17,val")
    csv = table_of(tmp_path / "all.csv", *clips)
    touch(
        tmp_path,
        "names/abcdefghijk_000005_000015.mp4",
        "folders/train/Zumba/abcdefghijk.mp4",
        "splits/val/abcdefghijk.mp4",
        "open/train/abcdefghijk.mp4",
        "open/x_000000_000010.mp4",
    )
    for root, split in (("names", "train"), ("folders", "train"), ("splits", "val")):
        assert read(tmp_path / root, annotations=csv)[["class", "split"]].values.tolist() == [["zumba", split]]
    refused("none of the 3 clips", tmp_path / "open", annotations=csv)


@pytest.mark.parametrize("folder", ["train", "k400/train"])  # one comes before the replacements, the other after
def test_replacements_take_the_place_of_broken_files(tmp_path, folder):
    csv = table_of(tmp_path / "train.csv", *(f"yoga,{letter}bcdefghijk,3,13,train" for letter in "abc"))
    new = "replacement/replacement_for_corrupted_k400"
    root = tmp_path / "root"
    clip = "bcdefghijk_000003_000013"
    touch(root, *(f"{folder}/{letter}{clip}.mp4" for letter in "ab"), *(f"{new}/{letter}{clip}.mp4" for letter in "bc"))
    assert set(read(root, annotations=csv)["id"]) == {f"{new}/b{clip}", f"{new}/c{clip}", f"{folder}/a{clip}"}


def test_the_same_clip_in_two_places(one):
    root, csv = one
    shutil.copytree(root / "train", root / "copy")
    said = "has the clip abcdefghijk_000003_000013 twice, as copy/yoga/.* and train/yoga/.*move one away"
    refused(said, root, annotations=csv)


def test_messages_about_absent_clips_and_flat_files_say_what_should_be(one, tmp_path):
    root, csv = one
    touch(tmp_path, "flat/train/a.mp4")
    refused("the 1 videos in .* lie in no class folders.*official CSV files under `annotations`", tmp_path / "flat")
    (root / "train/yoga/abcdefghijk_000003_000013.mp4").rename(root / "train/yoga/else.mp4")
    said = "none of the 1 clips in .*train.csv is below .*root, where one would be train/yoga/abc.*mp4 or train/a"
    refused(said, root, annotations=[csv])


def test_classes_are_those_of_kinetics(one):
    root, csv = one
    csv.write_bytes(csv.read_bytes().replace(b"train\n", b"train,\n"))  # a comma at the end changes nothing
    for options in ({}, {"annotations": csv}):
        with pytest.raises(UserError, match="lacks 399 of the 400 classes of kinetics400, such as 'abseiling'"):
            READERS["kinetics"](root, **options)
        assert READERS["kinetics"](root, classes=1, **options).attrs["list"] == "kinetics400"
    refused("has 1 classes, such as 'yoga', where 700 should be", root, classes=700)
    refused("has 1 classes, such as 'yoga', where 700 should be", root, annotations=csv, classes=700)


def test_frames_beside_the_videos_are_passed_over(tmp_path):
    touch(tmp_path, "yoga/abcdefghijk.mp4", "rawframes/yoga/a/img_00001.jpg", "rawframes_flow/abcdefghijk.mp4")
    assert read(tmp_path)["id"].tolist() == ["yoga/abcdefghijk"]
    csv = table_of(tmp_path / "a.csv", "yoga,abcdefghijk,3,13,train")
    assert read(tmp_path, annotations=csv).attrs["unlisted"] == 0


ROW = b"yoga,abcdefghijk,3,13,train\n"


@pytest.mark.parametrize(
    "content, reason",
    [(b"", "no column label, its columns are none"),
     (b"youtube_id,time_start,time_end,split\n", "no column label.*labels are held back cannot be used; see DATA.md"),
     (b"label," + HEADER.encode() + b"x," + ROW, "has two columns 'label'"),
     (HEADER.encode() + ROW + b"yoga,abcdefghijk,3,train\n", "line 3 has 4 fields where the first line has 5"),
     (HEADER.encode() + b"\nyoga,abcdefghijk,three,13,train\n", "line 3 has 'three' as time_start"),
     (HEADER.encode() + b"yoga,abcdefghijk,3,13,holdout\n", "line 2 has 'holdout' as split"),
     (HEADER.encode() + b",abcdefghijk,3,13,train\n", "line 2 has an empty label"),
     (HEADER.encode() + b"\xff\xfe,abcdefghijk,3,13,train\n", "not a CSV file in UTF-8"),
     (HEADER.encode(), "train.csv has no clips")],
)  # fmt: skip
def test_broken_csv_files(one, content, reason):
    root, csv = one
    csv.write_bytes(content)
    refused(reason, root, annotations=csv)


def test_missing_csv_files(one):
    root, csv = one
    refused("nowhere.csv cannot be read .No such file", root, annotations=[csv, "nowhere.csv"])
    refused("root cannot be read .Is a directory", root, annotations=root)
