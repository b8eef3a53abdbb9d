"""What is found below a folder: circular links, names of every kind, folders that cannot be read."""

import os

import pytest

from aurl import UserError
from aurl.data.readers.listing import EXTENSIONS, Listing, same_class


def touch(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def found(root, **options):
    listing = Listing(root, "ROOT/video", **options)
    return sorted(listing.videos(listing.top)), sorted(listing.skipped)


def test_every_kind_of_video_at_any_depth_and_nothing_else(tmp_path):
    videos = [f"a/b/c/d/video{k}{extension}" for k, extension in enumerate(sorted(EXTENSIONS))]
    videos += ["Big.MP4", "a/x.Avi", "a/two.dots.mkv"]
    touch(tmp_path, *videos)
    touch(
        tmp_path,
        "a/notes.txt",
        "a/frame.jpg",
        "mp4",
        "a/.hidden.mp4",
        ".cache/v.mp4",
        "__MACOSX/a/v.mp4",
        "a/v.mp4.part",
    )
    assert found(tmp_path) == (sorted(videos), [])


def test_names_with_spaces_quotes_and_other_alphabets(tmp_path):
    videos = ['it\'s "so"/a b.mp4', "бег/видео.mp4", "走る/映画;&$(x).avi", "new\nline/#122_x!.avi"]
    touch(tmp_path, *videos)
    assert found(tmp_path) == (sorted(videos), [])


def test_names_that_are_not_text_are_left_out_and_listed(tmp_path):
    touch(tmp_path, "a/good.mp4")
    for name in (b"a/bad\xff.mp4", b"a/note\xff.txt"):
        open(os.path.join(os.fsencode(tmp_path), name), "w").close()
    os.mkdir(os.path.join(os.fsencode(tmp_path), b"class\xfe"))
    assert found(tmp_path) == (
        ["a/good.mp4"],
        ["a/bad\\xff.mp4: its name is not UTF-8", "class\\xfe: its name is not UTF-8"],
    )


def test_links_to_folders_are_followed_but_not_in_circles(tmp_path):
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    touch(root, "a/one.mp4")
    touch(elsewhere, "deep/two.mp4")
    (root / "link").symlink_to(elsewhere)
    (root / "again").symlink_to(elsewhere)  # the same folder on another path is another class
    (root / "a/up").symlink_to("..")
    (elsewhere / "deep/back").symlink_to(root / "a")  # root/link/deep/back -> root/a, whose `up` leads to root
    videos, skipped = found(root)
    assert videos == [
        "a/one.mp4",
        "again/deep/back/one.mp4",
        "again/deep/two.mp4",
        "link/deep/back/one.mp4",
        "link/deep/two.mp4",
    ]
    assert skipped == [
        f"{path}: it leads back to a folder above it" for path in ("a/up", "again/deep/back/up", "link/deep/back/up")
    ]


def test_two_folders_that_link_to_each_other_end(tmp_path):
    for one, other in ("ab", "ba"):
        touch(tmp_path, f"{one}/{one}.mp4")
        (tmp_path / one / "other").symlink_to(tmp_path / other)
    videos, skipped = found(tmp_path)
    assert videos == ["a/a.mp4", "a/other/b.mp4", "b/b.mp4", "b/other/a.mp4"] and len(skipped) == 2


def test_broken_links_are_videos_for_the_decoder_to_refuse(tmp_path):
    (tmp_path / "gone.mp4").symlink_to("nowhere.mp4")
    (tmp_path / "self.mp4").symlink_to("self.mp4")
    (tmp_path / "self").symlink_to("self")
    videos, skipped = found(tmp_path)
    assert videos == ["gone.mp4", "self.mp4"]
    assert len(skipped) == 1 and skipped[0].startswith("self: Too many levels")


def test_folders_named_like_videos(tmp_path):
    touch(tmp_path, "a/parts.mp4/one.mp4")
    (tmp_path / "a/empty.avi").mkdir()
    assert found(tmp_path) == (["a/parts.mp4/one.mp4"], ["a/empty.avi: it is a folder"])


def test_ignored_folders_are_not_opened(tmp_path, monkeypatch):
    touch(tmp_path, "rawframes_train/a/v.mp4", "b/rawframes/v.mp4", "b/v.mp4")
    assert found(tmp_path, ignored="rawframes")[0] == ["b/v.mp4"]


@pytest.mark.parametrize(
    "make, reason",
    [
        (lambda path: None, "No such file"),
        (lambda path: path.touch(), "is not a folder"),
        (lambda path: path.symlink_to(path), "Too many levels"),
    ],
)
def test_roots_that_cannot_be_listed(tmp_path, make, reason):
    make(tmp_path / "root")
    with pytest.raises(UserError, match=f"root .*{reason}.*expected ROOT/video; see DATA.md") as caught:
        Listing(tmp_path / "root", "ROOT/video")
    assert "\n" not in str(caught.value)


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
    assert table.to_dict("list") | {"begin": 0, "end": 0} == {
        "id": ["a/1.x/000", "b/2"],
        "path": [f"{tmp_path}/a/1.x.mp4", f"{tmp_path}/b/2.mp4"],
        "class": ["a", "b"],
        "split": ["val", ""],
        "begin": 0,
        "end": 0,
    }
    assert table[["begin", "end"]].iloc[0].tolist() == [1, 2.5] and table[["begin", "end"]].iloc[1].isna().all()
    assert table.attrs == {"lost": 3, "skipped": []} and listing.table([("a.mp4", "a", "")])["end"].dtype == float


def test_two_files_with_one_id(tmp_path):
    videos = [("a/v.mp4", "a", ""), ("a/w.mp4", "a", ""), ("a/v.AVI", "a", "")]
    with pytest.raises(UserError, match=r"a/v\.AVI and .*a/v\.mp4 would have the same id"):
        Listing(tmp_path, "ROOT/video").table(videos)


@pytest.mark.parametrize(
    "classes, reason",
    [
        (3, "has 2 classes, such as 'playing_drums', where 3 should be"),
        (["playing drums"], "a class 'ZUMBA', which is none of the 1"),
        (["playing drums", "zumba", "abseiling", "yoga"], "lacks 2 of the 4 classes, such as 'abseiling'"),
        (["playing drums", "zumbas"], "did you mean 'zumbas'"),
    ],
)
def test_other_classes_than_expected(tmp_path, classes, reason):
    videos = [("a.mp4", "playing_drums", ""), ("b.mp4", "ZUMBA" if "did" not in reason else "zumba", "")]
    with pytest.raises(UserError, match=reason):
        Listing(tmp_path, "ROOT/video").table(videos, classes)


def test_names_are_corrected_to_the_official_ones(tmp_path):
    official = ["playing drums", "massaging person's head", "passing American football (in game)", "été"]
    folders = ["playing_drums", "massaging_persons_head", "passing_american_football_in_game", "e\u0301te\u0301"]
    table = Listing(tmp_path, "ROOT/video").table([(f"{k}.mp4", name, "") for k, name in enumerate(folders)], official)
    assert table["class"].tolist() == official


def test_spellings_that_are_and_are_not_the_same_class():
    assert same_class("HandstandPushups", "handstand_pushups") and not same_class("run", "runs")
    assert not same_class("passing American football (in game)", "passing American football (not in game)")
    assert not same_class("!!", "??") and same_class("走る", "走る")
