"""A file appears whole or not at all."""

import errno
import os
import resource

import pytest

from aurl import UserError, files


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_writes_and_makes_folders(tmp_path):
    path = tmp_path / "a" / "b" / "c.bin"
    files.write_bytes(str(path), b"\0one\n")
    assert path.read_bytes() == b"\0one\n"
    files.write_bytes(path, b"")
    assert path.read_bytes() == b"" and names(path.parent) == ["c.bin"]


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
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))  # no file may grow beyond this: fails like a full disk
    try:
        with pytest.raises(UserError, match=r"a cannot be written \(File too large\): make room"):
            files.write_bytes(path, bytes(1000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
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
