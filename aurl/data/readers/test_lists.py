"""The test videos of the three official splits of UCF101 and HMDB51.

========  ============================================================================================================
UCF101    the folder ``ucfTrainTestlist``: ``testlist01.txt`` to ``testlist03.txt``, with a line CLASS/VIDEO.avi for
          each test video
HMDB51    the folder ``testTrainMulti_7030_splits``: CLASS_test_split1.txt to 3, with a line "VIDEO.avi 2" for each test
          video; 1 marks training videos, 0 unused videos
========  ============================================================================================================
"""

from pathlib import Path

from aurl import UserError


def read(folder, official):
    """The test videos of each split of ``official``, "ucf101" or "hmdb51": three sets of names without extension.

    Raises UserError for a folder without the lists, and for a line of HMDB51 in another format.
    """
    return [_ucf101(folder, k) if official == "ucf101" else _hmdb51(folder, k) for k in (1, 2, 3)]


def _ucf101(folder, k):
    return {Path(fields[0]).stem for fields in _lines([Path(folder, f"testlist{k:02d}.txt")], folder)}


def _hmdb51(folder, k):
    files = sorted(Path(folder).glob(f"*_test_split{k}.txt")) or [Path(folder, f"CLASS_test_split{k}.txt")]
    videos = set()
    for fields in _lines(files, folder):
        if len(fields) != 2 or fields[1] not in ("0", "1", "2"):
            raise _error(folder, f"a file of the split {k} has the line {' '.join(fields)!r}")
        if fields[1] == "2":
            videos.add(Path(fields[0]).stem)
    if not videos:
        raise _error(folder, f"the split {k} tests no video")
    return videos


def _lines(files, folder):
    """The fields of each line of ``files``. Raises UserError if there are none."""
    try:
        lines = [line.split() for file in files for line in file.read_text().splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise _error(folder, f"{files[0].name} cannot be read ({reason})") from None
    if not lines:
        raise _error(folder, f"{files[0].name} is empty")
    return lines


def _error(folder, reason):
    return UserError(
        f"{folder} has no official splits ({reason}): expected the unpacked folder ucfTrainTestlist or "
        "testTrainMulti_7030_splits; see DATA.md."
    )
