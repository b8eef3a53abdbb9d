"""Data sets that are folders of classes: UCF101, HMDB51, and any tree of the user's own."""

import re
import shlex
from pathlib import Path

from aurl.data.names import LISTS
from aurl.data.readers.listing import Listing

# names that downloaders give to a split's folder: "train", "videos_train", "train_256", "training_set"
_SPLIT = re.compile(
    r"(?:videos_)?(?:(train(?:ing)?)|(val(?:id(?:ate|ation)?)?)|(test(?:ing)?))(?:[-_ ]?set)?(?:_\d+p?)?", re.IGNORECASE
)


def read(root, classes=None, split=None, lists=()):
    """The table of any ``root/class/video`` or ``root/split/class/video`` tree; see `aurl.data.readers`."""
    listing = Listing(root, "ROOT/CLASS/VIDEO.mp4 or ROOT/train|val|test/CLASS/VIDEO.mp4")
    return class_folders(listing, classes, split, lists)


def read_ucf101(root, classes=None, split=None, lists=LISTS["ucf101"]):
    """The table of UCF101, whose class folders may lie in a folder ``UCF-101``; see `aurl.data.readers`."""
    listing = Listing(_inside(root, "UCF-101"), "ROOT/[UCF-101/]ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi")
    packed = _packed(listing)
    if packed and _has_no_video(listing, listing.top):
        unpack = f"cd {shlex.quote(listing.root)} && unrar x {shlex.quote(packed[0])}"
        raise listing.error(f"{listing.root} is still packed, so run `{unpack}`")
    return class_folders(listing, classes, split, lists)


def read_hmdb51(root, classes=None, split=None, lists=LISTS["hmdb51"]):
    """The table of HMDB51, from the class folders of its nested archives; see `aurl.data.readers`."""
    listing = Listing(_inside(root, "hmdb51_org"), "ROOT/brush_hair/VIDEO.avi")
    folders = {folder.name for folder in listing.open(listing.top)[0]}
    packed = _packed(listing)
    others = ("hmdb51", "test_train")  # the archive itself, its stabilized version, and the official splits
    inner = [name for name in packed if not name.startswith(others) and name.removesuffix(".rar") not in folders]
    go, unpack = f"cd {shlex.quote(listing.root)}", 'for f in *.rar; do unrar x -o- "$f"; done'
    if inner:
        raise listing.error(
            f"{len(inner)} classes in {listing.root} are still packed, such as {inner[0]}, so run `{go} && {unpack}`"
        )
    if "hmdb51_org.rar" in packed and _has_no_video(listing, listing.top):
        both = f"{go} && unrar x hmdb51_org.rar && {unpack}"
        raise listing.error(f"{listing.root} is still packed, as archives in an archive, so run `{both}`")
    return class_folders(listing, classes, split, lists)


def class_folders(listing, classes, split, lists, among_others=False):
    """The table of class folders in ``listing.top``, or in folders of splits there.

    The attribute ``unlabeled`` is the number of videos outside class folders, which cannot be used. With
    ``among_others``, it includes videos in folders that lie next to folders of splits; otherwise these are an error.
    """
    folders, loose = listing.open(listing.top)
    splits, beside = _splits(listing, folders, among_others)
    if splits:
        parts = _by_split(listing, splits, split)
        loose = loose + [path for folder in beside for path in listing.videos(folder)]
    else:
        parts, loose = {split or "": (folders, loose)}, []
    rows = []
    for part, (classes_of_part, _) in parts.items():
        for folder in classes_of_part:
            videos = list(listing.videos(folder))
            if not videos:
                raise listing.error(
                    f"the class folder {listing.root}/{folder.path} has no video; if it is no class, move it away"
                )
            _refuse_splits_inside(listing, folder, videos)
            rows += [(path, folder.name, part) for path in videos]
    unlabeled = len(loose) + sum(len(videos) for _, videos in parts.values())
    if unlabeled and not rows:
        raise listing.error(f"the {unlabeled} videos in {listing.root} lie in no class folders")
    return listing.table(rows, classes, lists, unlabeled=unlabeled)


def _splits(listing, folders, among_others):
    """The folders of splits, and the other folders; without folders of splits, all folders are classes.

    A single folder called "train" or "test" among others is a class if no folder in it has videos.
    """
    splits = [folder for folder in folders if split_of(folder.name)]
    beside = [folder for folder in folders if folder not in splits]
    if not beside or among_others or not splits:
        return splits, beside
    filled = [folder.name for folder in beside if not _has_no_video(listing, folder)]
    if len(splits) == 1 and all(_has_no_video(listing, folder) for folder in listing.open(splits[0])[0]):
        return [], []
    if filled:
        raise listing.error(
            f"{listing.root} has videos in {filled[0]} beside {', '.join(folder.name for folder in splits)}, so that "
            f"classes and splits cannot be told apart: move {filled[0]} away, or name one folder as `root`"
        )
    return splits, beside


def _refuse_splits_inside(listing, folder, videos):
    """Raise UserError for a class folder that has folders of splits: the splits would be trained on together."""
    start = len(folder.path) + 1
    inside = {path[start:].partition("/")[0] for path in videos if "/" in path[start:]}
    found = sorted(filter(split_of, inside))
    if len({split_of(name) for name in found}) > 1:
        raise listing.error(
            f"the class folder {listing.root}/{folder.path} has the splits {' and '.join(found)} in it: name it as "
            "`root` if its folders are splits, or put the class folders into those of the splits"
        )


def split_of(name):
    """The split in a folder of this name: "train", "val", "test", or "" for other names."""
    match = _SPLIT.fullmatch(name)
    return ("train", "val", "test")[match.lastindex - 1] if match else ""


def _by_split(listing, folders, wanted):
    """The wanted splits, as a dict: split -> (class folders, loose videos)."""
    parts, names = {}, {}
    for folder in folders:
        part = split_of(folder.name)
        if part in names:
            raise listing.error(
                f"{listing.root} has two folders of the split {part}, {names[part]} and {folder.name}, so move one away"
            )
        names[part] = folder.name
        if wanted in (None, part):
            parts[part] = listing.open(folder)
    if wanted and wanted not in parts:
        raise listing.error(
            f"{listing.root} has no folder of the split {wanted}; there are {', '.join(names.values())}"
        )
    return parts


def _inside(root, name):
    """The folder ``name`` that the data set's archive creates in ``root``, or ``root`` if there is none."""
    inner = Path(root, name)
    return inner if inner.is_dir() else root


def _has_no_video(listing, folder):
    return next(listing.videos(folder), None) is None


def _packed(listing):
    return sorted(path.name for path in Path(listing.root).glob("*.rar"))
