"""What is found below a folder: circular links, names of every kind, folders that cannot be read."""

import os

import pytest
from trees import touch

from aurl import UserError
from aurl.data import names
from aurl.data.readers.classes import same_class
from aurl.data.readers.listing import EXTENSIONS, Listing, counted


def found(root, **options):
    listing = Listing(root, "ROOT/video", **options)
    return sorted(listing.videos(listing.top)), sorted(listing.skipped)


def test_every_kind_of_video_at_any_depth_and_nothing_else(tmp_path):
    """Files with other extensions are counted, however often a folder is listed; hidden ones are not."""
    videos = [f"a/b/c/d/video{k}{extension}" for k, extension in enumerate(sorted(EXTENSIONS))]
    videos += ["Big.MP4", "a/x.Avi", "a/two.dots.mkv"]
    touch(tmp_path, *videos, "a/notes.txt", "a/more.TXT", "a/b/frame.jpg", "mp4", "a/v.mp4.part")
    touch(tmp_path, "a/.hidden.mp4", ".cache/v.mp4", "__MACOSX/a/v.mp4")
    listing = Listing(tmp_path, "ROOT/video")
    for _ in range(2):
        assert sorted(listing.videos(listing.top)) == sorted(videos) and not listing.skipped
    assert listing.others() == {".txt": 2, "no extension": 1, ".part": 1, ".jpg": 1}
    assert counted(listing.others()) == "5 other files (2 .txt, 1 no extension, 1 .part, 1 .jpg)"
    assert counted({".csv": 1}) == "1 other file (1 .csv)"
    touch(tmp_path, "only/v.mp4x")
    listing = Listing(tmp_path / "only", "ROOT/video")
    with pytest.raises(UserError, match=r"only has no videos, only 1 other file \(1 \.mp4x\): expected"):
        listing.table(listing.videos(listing.top))


def test_names_that_are_not_text_are_left_out_and_listed(tmp_path):
    touch(tmp_path, "a/good.mp4")
    for name in (b"a/bad\xff.mp4", b"a/note\xff.txt"):
        open(os.path.join(os.fsencode(tmp_path), name), "w").close()
    os.mkdir(os.path.join(os.fsencode(tmp_path), b"class\xfe"))
    skipped = ["a/bad\\xff.mp4: its name is not UTF-8", "class\\xfe: its name is not UTF-8"]
    assert found(tmp_path) == (["a/good.mp4"], skipped)
    assert found(tmp_path, any_name=True) == (["a/bad\udcff.mp4", "a/good.mp4"], [])


def test_links_to_folders_are_followed_but_not_in_circles(tmp_path):
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    touch(root, "a/one.mp4")
    touch(elsewhere, "deep/two.mp4")
    (root / "link").symlink_to(elsewhere)
    (root / "again").symlink_to(elsewhere)  # the same folder on another path is another class
    (root / "a/up").symlink_to("..")
    (elsewhere / "deep/back").symlink_to(root / "a")  # root/link/deep/back -> root/a, whose `up` leads to root
    videos, skipped = found(root)
    linked = [f"{link}/deep/{video}.mp4" for link in ("again", "link") for video in ("back/one", "two")]
    assert videos == ["a/one.mp4", *linked]
    circles = ("a/up", "again/deep/back/up", "link/deep/back/up")
    assert skipped == [f"{path}: it leads back to a folder above it" for path in circles]


def test_a_closed_folder_is_an_error_that_names_it(tmp_path, monkeypatch):
    touch(tmp_path, "a/one.mp4", "closed/two.mp4")
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)  # no permission stops the root user, who may run the tests
    with pytest.raises(UserError, match="closed cannot be read .Permission denied.*see DATA.md"):
        found(tmp_path)


def test_nothing_is_opened_and_no_file_is_asked_for_its_status(tmp_path, monkeypatch):
    touch(tmp_path, *(f"class/{k}.mp4" for k in range(50)))
    asked = []
    stat = os.stat
    monkeypatch.setattr(os, "stat", lambda path, **options: (asked.append(str(path)), stat(path, **options))[1])
    monkeypatch.setattr("builtins.open", lambda *args, **options: pytest.fail("a reader of folders opened a file"))
    assert len(found(tmp_path)[0]) == 50
    assert not [path for path in asked if path.endswith(".mp4")]


def test_table_columns_types_and_order(tmp_path):
    listing = Listing(tmp_path, "ROOT/video")
    table = listing.table([("b/2.mp4", "b", ""), ("a/1.x.mp4", "a", "val", "/000", 1, 2.5)], lost=3)
    assert table[["id", "path", "class", "split"]].values.tolist() == [
        ["a/1.x/000", f"{tmp_path}/a/1.x.mp4", "a", "val"], ["b/2", f"{tmp_path}/b/2.mp4", "b", ""]
    ]  # fmt: skip
    assert table[["begin", "end"]].iloc[0].tolist() == [1, 2.5] and table[["begin", "end"]].iloc[1].isna().all()
    assert table.attrs == {"lost": 3, "skipped": [], "others": {}, "list": None, "merged": 0, "unselected": 0}
    assert listing.table([("a.mp4", "a", "")])["end"].dtype == float
    videos = [("a/v.mp4", "a", ""), ("a/w.mp4", "a", ""), ("a/v.AVI", "a", "")]
    with pytest.raises(UserError, match=r"a/v\.AVI and .*a/v\.mp4 would have the same id"):
        listing.table(videos)


TWO = [("a.mp4", "playing_drums", ""), ("b.mp4", "ZUMBA", "")]


def test_official_lists(tmp_path):
    """All classes of the list must be there, in any spelling, unless `classes` gives their number."""

    def table(found, *lists, **options):
        return Listing(tmp_path, "ROOT/video").table(
            [(f"{k}.mp4", c, "") for k, c in enumerate(found)], **options, lists=lists
        )

    kinetics = [f"kinetics{number}" for number in (400, 600, 700)]
    for name in kinetics:
        labels = names.load(name)[0]
        spelt = table([label.replace(" ", "_").replace("'", "").upper() for label in labels], *kinetics)
        assert sorted(spelt["class"]) == sorted(labels) and spelt.attrs["list"] == name
    said = "lacks 1 of the 700 classes of kinetics700, such as 'zumba' .if that is intended, set"
    with pytest.raises(UserError, match=said):
        table(labels[:-1], *kinetics)
    with pytest.raises(UserError, match="has a class 'zumbaa', which is none of the 700 .*did you mean 'zumba'"):
        table([*labels, "zumbaa"], *kinetics)
    few = table(["ZUMBA", "fly"], "kinetics700", classes=2)
    assert few["class"].tolist() == ["zumba", "fly"]  # a number says nothing about the names
    assert table(["e\u0301te\u0301"], classes=["été"])["class"].tolist() == ["été"]


def test_one_class_in_two_spellings(tmp_path):
    both = [*TWO, ("c.mp4", "playing drums", "")]
    said = "has one class in two spellings, 'playing drums' and 'playing_drums', so give both the same name: expected"
    with pytest.raises(UserError, match=said):
        Listing(tmp_path, "ROOT/video").table(both)
    for classes, lists in ((["playing drums", "zumba"], ()), (2, ["kinetics700"])):  # these say that it is one
        table = Listing(tmp_path, "ROOT/video").table(both, classes, lists)
        assert table["class"].tolist() == ["playing drums", "zumba", "playing drums"] and table.attrs["merged"] == 1


def test_spellings_that_are_and_are_not_the_same_class():
    assert same_class("HandstandPushups", "handstand_pushups") and not same_class("run", "runs")
    assert not same_class("passing American football (in game)", "passing American football (not in game)")
    assert not same_class("!!", "??") and same_class("走る", "走る")
