"""Kinetics in the layouts that its downloaders leave, with and without the official CSV files."""

import shutil

import pytest
import trees

from aurl import UserError
from aurl.data.prepare import READERS
from aurl.data.video import probe

HEADER = "label,youtube_id,time_start,time_end,split\n"
read = READERS["kinetics"]


def touch(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


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
    assert by_csv.attrs == {"absent": 0, "unlisted": 0, "skipped": []}


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
    touch(
        tmp_path,
        f"videos_train/playing_drums/{clip}.mp4",
        f"videos_val/yoga/{clip}.mkv",
        "annotations/kinetics_train.csv",
        f"rawframes_train/yoga/{clip}/img_00001.jpg",
        "test/unlabeled.mp4",
        "train_list.txt",
    )
    table = read(tmp_path, classes=["playing drums", "yoga"])
    assert table[["class", "split"]].values.tolist() == [["playing drums", "train"], ["yoga", "val"]]
    assert table.attrs["unlabeled"] == 1
    csv = table_of(tmp_path / "train.csv", "playing drums,abcdefghijk,3,13,train")
    assert read(tmp_path / "videos_train", annotations=csv)["class"].tolist() == ["playing drums"]
    assert read(tmp_path / "videos_train")["class"].tolist() == [
        "playing_drums"
    ]  # without class names the folder's name stands


def test_names_without_times_and_what_is_absent_or_unlisted(tmp_path):
    csv = table_of(
        tmp_path / "all.csv",
        "yoga,abcdefghijk,3,13,train",
        "zumba,-_bcdefghij,0,10,validate",
        '"zumba",gone5678901,1,2,test',
        header="\ufeff" + HEADER,
    )
    touch(
        tmp_path,
        "root/abcdefghijk.mp4",
        "root/deep/er/-_bcdefghij.webm",
        "root/other678901.mp4",
        "root/abcdefghijk_000004_000014.mp4",
    )
    table = read(tmp_path / "root", annotations=str(csv), classes=2)
    assert table[["id", "class", "split"]].values.tolist() == [
        ["abcdefghijk", "yoga", "train"],
        ["deep/er/-_bcdefghij", "zumba", "val"],
    ]
    assert table.attrs == {"absent": 1, "unlisted": 2, "skipped": []}


def test_one_video_in_two_classes(tmp_path):
    csv = table_of(
        tmp_path / "all.csv",
        "yoga,abcdefghijk,3,13,train",
        "zumba,abcdefghijk,5,15,train",
        "zumba,abcdefghijk,7,17,val",
    )
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
    csv = table_of(
        tmp_path / "train.csv",
        "yoga,abcdefghijk,3,13,train",
        "yoga,bbcdefghijk,3,13,train",
        "yoga,cbcdefghijk,3,13,train",
    )
    new = "replacement/replacement_for_corrupted_k400"
    root = tmp_path / "root"
    touch(
        root,
        *(f"{folder}/{a}bcdefghijk_000003_000013.mp4" for a in "ab"),
        *(f"{new}/{a}bcdefghijk_000003_000013.mp4" for a in "bc"),
    )
    assert sorted(read(root, annotations=csv)["id"]) == sorted(
        [f"{new}/bbcdefghijk_000003_000013", f"{new}/cbcdefghijk_000003_000013", f"{folder}/abcdefghijk_000003_000013"]
    )


def test_the_same_clip_in_two_places(one):
    root, csv = one
    shutil.copytree(root / "train", root / "copy")
    refused(
        "has the clip abcdefghijk_000003_000013 twice, as copy/yoga/.* and train/yoga/.*move one away",
        root,
        annotations=csv,
    )


def test_message_about_absent_clips_shows_where_one_should_be(one):
    root, csv = one
    (root / "train/yoga/abcdefghijk_000003_000013.mp4").rename(root / "train/yoga/else.mp4")
    refused(
        "none of the 1 clips in .*train.csv is below .*root, "
        "where one would be train/yoga/abcdefghijk_000003_000013.mp4 or train/abc",
        root,
        annotations=[csv],
    )


def test_message_about_flat_files_asks_for_the_csv(tmp_path):
    trees.kinetics(tmp_path, videos=1, flat=True)
    refused("the 6 videos in .* lie in no class folders.*official CSV files under `annotations`", tmp_path)


def test_class_count(one):
    root, csv = one
    refused("has 1 classes, such as 'yoga', where 700 should be", root, classes=700)
    refused("has 1 classes, such as 'yoga', where 700 should be", root, annotations=csv, classes=700)


def test_frames_beside_the_videos_are_passed_over(tmp_path):
    touch(
        tmp_path, "yoga/abcdefghijk.mp4", "rawframes/yoga/abcdefghijk/img_00001.jpg", "rawframes_flow/abcdefghijk.mp4"
    )
    assert read(tmp_path)["id"].tolist() == ["yoga/abcdefghijk"]
    csv = table_of(tmp_path / "a.csv", "yoga,abcdefghijk,3,13,train")
    assert read(tmp_path, annotations=csv).attrs["unlisted"] == 0


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "no column label, its columns are none"),
        (b"path,label\nx.mp4,yoga\n", "no column youtube_id, its columns are path, label"),
        (b"youtube_id,time_start,time_end,split\n", "no column label.*held back cannot be used, so leave it out"),
        (
            HEADER.encode() + b"yoga,abcdefghijk,3,13,train\nyoga,abcdefghijk,3,train\n",
            "train.csv, line 3 has 4 fields where the first line has 5",
        ),
        (HEADER.encode() + b"\nyoga,abcdefghijk,three,13,train\n", "line 3 has 'three' as time_start"),
        (HEADER.encode() + b"yoga,abcdefghijk,3,1.5,train\n", "line 2 has '1.5' as time_end"),
        (HEADER.encode() + b"yoga,abcdefghijk,3,13,holdout\n", "line 2 has 'holdout' as split"),
        (HEADER.encode() + b",abcdefghijk,3,13,train\n", "line 2 has an empty label"),
        (HEADER.encode() + b"yoga, ,3,13,train\n", "line 2 has an empty youtube_id"),
        (HEADER.encode() + b"\xff\xfe,abcdefghijk,3,13,train\n", "not a CSV file in UTF-8"),
        (HEADER.encode() + b"y" * 200_000 + b",abcdefghijk,3,13,train\n", "not a CSV file in UTF-8 .field larger"),
        (HEADER.encode(), "train.csv has no clips"),
    ],
)
def test_broken_csv_files(one, content, reason):
    root, csv = one
    csv.write_bytes(content)
    refused(reason, root, annotations=csv)


def test_missing_csv_files(one):
    root, csv = one
    refused("nowhere.csv cannot be read .No such file", root, annotations=[csv, "nowhere.csv"])
    refused("root cannot be read .Is a directory", root, annotations=root)
