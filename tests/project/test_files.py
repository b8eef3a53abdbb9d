"""A file appears whole or not at all."""

import errno
import io
import os
import re
import subprocess
import sys
import zipfile

import disk
import numpy as np
import pandas as pd
import pytest

from aurl import UserError
from aurl.project import files


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_writes_and_makes_folders(tmp_path):
    path = tmp_path / "a" / "b" / "c.bin"
    files.write_bytes(str(path), b"\0one\n")
    assert path.read_bytes() == b"\0one\n"
    files.write_bytes(path, b"")
    assert path.read_bytes() == b"" and names(path.parent) == ["c.bin"]


def test_arrays_have_the_same_bytes_on_every_computer(tmp_path):
    arrays = {"a/names": np.array(["x", "yy"]), "vectors": np.arange(6, dtype=np.float32).reshape(2, 3).T}
    path = tmp_path / "a.npz"
    path.write_bytes(files.npz(arrays))
    with np.load(path) as found:
        assert list(found) == list(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)
    entries = zipfile.ZipFile(path).infolist()  # savez leaves the first to the release of Python
    assert {(entry.extract_version, entry.date_time) for entry in entries} == {(20, (1980, 1, 1, 0, 0, 0))}
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        files.npz({"a": np.array([{}])})


def test_the_file_is_whole_before_it_gets_its_name(tmp_path, monkeypatch):
    path, replace, seen = tmp_path / "a", os.replace, []
    path.write_bytes(b"old")

    def watching(source, target):
        seen.append((source.parent, source.read_bytes(), target.read_bytes()))
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", watching)
    files.write_bytes(path, b"new")
    assert seen == [(tmp_path, b"new", b"old")] and path.read_bytes() == b"new"


def test_a_full_disk_is_an_error_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "a"
    files.write_bytes(path, b"old")
    with disk.full_at(500), pytest.raises(UserError, match=r"a cannot be written \(File too large\): make room"):
        files.write_bytes(path, bytes(1000))
    assert names(tmp_path) == ["a"] and path.read_bytes() == b"old"


def test_targets_that_cannot_be_written(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"old")
    for target, reason in {
        "folder": os.strerror(errno.EISDIR),
        "file/below": os.strerror(errno.EEXIST) + "|" + os.strerror(errno.ENOTDIR),
        "file/far/below": os.strerror(errno.ENOTDIR),
        "x" * 300: os.strerror(errno.ENAMETOOLONG),
    }.items():
        with pytest.raises(UserError, match=f"{target} cannot be written .*({reason})"):
            files.write_bytes(tmp_path / target, b"new")
    assert names(tmp_path) == ["file", "folder"] and not names(tmp_path / "folder")
    assert (tmp_path / "file").read_bytes() == b"old"


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    def interrupted(source, target):
        raise KeyboardInterrupt

    files.write_bytes(tmp_path / "a", b"old")
    monkeypatch.setattr(files.os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        files.write_bytes(tmp_path / "a", b"new")
    assert names(tmp_path) == ["a"] and (tmp_path / "a").read_bytes() == b"old"


def test_a_lock_lets_one_process_in_at_a_time(tmp_path):
    script = (
        "import sys, time; from aurl.project.files import locked\n"
        "with locked(sys.argv[1]):\n"
        "    with open(sys.argv[1] + '/log', 'a') as log:\n"
        "        print('in', file=log, flush=True); time.sleep(0.1); print('out', file=log, flush=True)"
    )
    runs = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "made")]) for _ in range(3)]
    assert [run.wait() for run in runs] == [0, 0, 0]
    assert (tmp_path / "made/log").read_text().split() == ["in", "out"] * 3
    assert names(tmp_path / "made") == ["log"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match=r"file/below cannot be written \(.*\): make room"),
        files.locked(tmp_path / "file/below"),
    ):
        pass


def test_a_spreadsheet_computes_no_name():
    """Not even one that takes semicolons or tabs for the ends of cells."""
    names = {
        "=1": "'=1", "+1": "'+1", "-1": "'-1", "@sum": "'@sum", "\t=1": "'\t'=1", "＝1": "'＝1", "jump;=1": "jump;'=1",
        "jump\t@a": "jump\t'@a", "a\n=1": "a\n'=1", "jump - run": "jump - run", "a;b": "a;b", "null": "null",
    }  # fmt: skip
    table = pd.DataFrame({"class": list(names), "videos": range(12), "top1": [-0.25] * 12, "kept": [True] * 12})
    text = files.to_csv(table, float_format="%.3f")
    found = pd.read_csv(io.StringIO(text), keep_default_na=False)
    assert found["class"].tolist() == list(names.values())
    for cell in re.split(r"[,;\t\n\"]", text):
        assert not re.match(r"[=+@＝]|-(?!0\.250$)", cell), cell
    assert found["top1"].tolist() == [-0.25] * 12 and files.to_csv(table[:0]) == "class,videos,top1,kept\n"
