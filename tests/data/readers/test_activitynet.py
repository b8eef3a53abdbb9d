"""ActivityNet: segments of untrimmed videos, from its JSON file."""

import json

import pytest
import trees

from aurl import UserError
from aurl.data.prepare import READERS
from aurl.data.video import probe

read = READERS["activitynet"]


def entry(*segments, subset="training", duration=10.0, label="BMX"):
    return {
        "subset": subset,
        "duration": duration,
        "annotations": [{"label": label, "segment": list(times)} for times in segments],
    }


@pytest.fixture
def make(tmp_path):
    def make(database, *files):
        trees.touch(tmp_path / "root", *files)
        path = tmp_path / "activity.json"
        text = json.dumps({"database": database}) if isinstance(database, dict) else database
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return tmp_path / "root", path

    return make


def counts_of(table):
    return {key: table.attrs[key] for key in ("absent", "unlisted", "unlabeled", "dropped")}


def refused(reason, root, path, **options):
    with pytest.raises(UserError, match=reason) as caught:
        read(root, annotations=path, **options)
    assert "see DATA.md" in str(caught.value) and "\n" not in str(caught.value)


def test_each_segment_is_a_row_of_a_real_video(tmp_path):
    path = trees.activitynet(tmp_path)
    table = read(tmp_path, annotations=path, classes=3)
    assert table["id"].tolist()[:3] == ["v_activity000/000", "v_activity000/001", "v_activity001/000"]
    assert table["id"].is_unique
    assert table["path"].nunique() == 6 and len(table) == 12
    first = table[["class", "split", "begin", "end"]].values.tolist()[:2]
    assert first == [["Archery", "train", 0, 1], ["Archery", "train", 1, 2]]
    assert table["split"].value_counts().to_dict() == {"train": 6, "val": 6}
    codecs = {(p["status"], p["frames"], p["codec"]) for p in map(probe, table["path"])}
    assert codecs == {("ok", 20, "h264"), ("ok", 20, "vp9")}
    assert counts_of(table) == {"absent": 0, "unlisted": 0, "unlabeled": 1, "dropped": 0}
    val = read(tmp_path, annotations=str(path), classes=["Archery", "Baking cookies", "BMX"], split="val")
    assert val["split"].eq("val").all()


def test_names_of_files(make):
    root, path = make(
        {"abcdefghijk": entry((0, 1)), "v_cdefghijk": entry((0, 1)), "gone5678901": entry((0, 1))},
        "abcdefghijk.mp4",
        "deep/v_v_cdefghijk.mkv",
        "v_other678901.webm",
    )
    table = read(root, annotations=path, classes=1)
    assert table["id"].tolist() == ["abcdefghijk/000", "deep/v_v_cdefghijk/000"]
    assert (table.attrs["absent"], table.attrs["unlisted"]) == (1, 1)
    (root / "deep/v_v_cdefghijk.mkv").rename(root / "v_cdefghijk.mkv")  # an id that begins like the prefix
    assert read(root, annotations=path, classes=1)["id"].tolist() == ["abcdefghijk/000", "v_cdefghijk/000"]


def test_impossible_segments_are_dropped_and_counted(make):
    bad = [(3, 3), (5, 4), (-1, 4), (4, 11.5), (0, float("nan")), (10.2, 10.6)]
    root, path = make(
        {"abcdefghijk": entry((0, 10.4), *bad, (9.5, 10)), "bbcdefghijk": entry((12, 13))},
        "v_abcdefghijk.mp4",
        "v_bbcdefghijk.mp4",
    )
    table = read(root, annotations=path, classes=1)
    assert table[["id", "begin", "end"]].values.tolist() == [
        ["v_abcdefghijk/000", 0, 10],
        ["v_abcdefghijk/007", 9.5, 10],
    ]
    assert table.attrs["dropped"] == len(bad) + 1


def test_split_is_chosen(make):
    root, path = make(
        {"abcdefghijk": entry((0, 1), (2, 1)), "bbcdefghijk": entry((0, 1), subset="validation"),
         "cbcdefghijk": entry(subset="testing")},
        "v_abcdefghijk.mp4",
        "v_cbcdefghijk.mp4",
    )  # fmt: skip
    table = read(root, annotations=path, classes=1, split="train")
    assert table["id"].tolist() == ["v_abcdefghijk/000"]
    assert counts_of(table) == {"absent": 0, "unlisted": 0, "unlabeled": 0, "dropped": 1}
    said = "none of the 1 labeled videos in .* is below .*root, where one would be v_bbcdefghijk.mp4"
    refused(said, root, path, split="val")
    refused("no labeled videos of the split 'test'", root, path, split="test")


def test_trees_with_a_fault(make, tmp_path):
    root, path = make({"abcdefghijk": entry((0, 1))}, "v_abcdefghijk.mp4", "abcdefghijk.mkv")
    refused("has the video abcdefghijk twice, as abcdefghijk.mkv and v_abcdefghijk.mp4", root, path)
    (root / "abcdefghijk.mkv").unlink()
    refused("lacks 199 of the 200 classes of activitynet, such as 'Applying sunscreen'", root, path)
    refused("needs the path of its JSON file in `annotations`", root, None)
    refused("nowhere cannot be read", tmp_path / "nowhere", path)
    refused("root cannot be read .Is a directory", root, root)


@pytest.mark.parametrize(
    "content, reason",
    [('{"database": {\n"a": }}', "at the top: Invalid JSON: .* at line 2"),
     ("[]", "at the top: .*object"),
     ('{"database": {}}', "no labeled videos"),
     ({"x": entry(subset="train")}, "database.x.subset: .*'training', 'validation' or 'testing'"),
     ({"x": entry((0, 1), (1,))}, r"database.x.annotations.1.segment: .*at least 2 items"),
     (b'{"database": "\xff"}', "Invalid JSON"),
     ("[" * 100_000, "Invalid JSON: recursion limit")],
)  # fmt: skip
def test_broken_json_files(make, content, reason):
    refused(reason, *make(content, "v_x.mp4"))
