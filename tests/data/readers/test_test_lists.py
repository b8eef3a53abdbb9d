"""The official splits of UCF101 and HMDB51, as their archives have them."""

from pathlib import Path

import pytest

from aurl import UserError
from aurl.data.readers import test_lists


def test_ucf101(tmp_path):
    for k in (1, 2, 3):
        lines = [f"Archery/v_Archery_g0{k}_c01.avi", f"YoYo/v_YoYo_g0{k}_c02.avi"]
        (tmp_path / f"testlist0{k}.txt").write_text("\r\n".join(lines) + "\r\n")
    (tmp_path / "trainlist01.txt").write_text("Archery/v_Archery_g09_c01.avi 3\n")
    found = test_lists.read(tmp_path, "ucf101")
    assert found == [{f"v_Archery_g0{k}_c01", f"v_YoYo_g0{k}_c02"} for k in (1, 2, 3)]


def test_hmdb51(tmp_path):
    for k in (1, 2, 3):
        (tmp_path / f"wave_test_split{k}.txt").write_text(f"a{k}.avi 1 \nb{k}.avi 2 \nc.avi 0 \n")
        (tmp_path / f"hit_test_split{k}.txt").write_text("A#1&b.avi 2 \n")
    assert test_lists.read(tmp_path, "hmdb51") == [{f"b{k}", "A#1&b"} for k in (1, 2, 3)]


@pytest.mark.parametrize(
    "official, name, content, said",
    [
        ("ucf101", "other.txt", "x", r"testlist01.txt cannot be read \(No such file or directory\)"),
        ("ucf101", "testlist01.txt", "", "testlist01.txt is empty"),
        ("hmdb51", "other.txt", "x", r"CLASS_test_split1.txt cannot be read"),
        ("hmdb51", "wave_test_split1.txt", "a.avi 7", "a file of the split 1 has the line 'a.avi 7'"),
        ("hmdb51", "wave_test_split1.txt", "a.avi 1", "the split 1 tests no video"),
    ],
)
def test_a_folder_of_something_else(tmp_path, official, name, content, said):
    Path(tmp_path, name).write_text(content)
    with pytest.raises(UserError, match=rf"has no official splits \({said}.*expected the unpacked folder"):
        test_lists.read(tmp_path, official)
