"""The command `aurl classify`: what it prints, and where, and its exit code."""

import csv
import io
import json
import os
from functools import partial
from pathlib import Path

import hub
import numpy as np
import project
import pytest
import torch
import trees
import untrained

import aurl
from aurl.classify import command as classify
from aurl.project import paths

command = partial(project.ended, "classify")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A project's folder with a model, and a folder of two videos."""
    monkeypatch.chdir(tmp_path)
    project.write(tmp_path, {"text": {"vectors": str(project.GLOVE)}})
    untrained.save(paths.run("aurl", 0), word_dim=100, clip=untrained.CLIP)
    for color, name in enumerate("ab"):
        trees.video(f"videos/{name}.mp4", color)
    return tmp_path


def test_a_table_for_every_video(here, capsys):
    assert command("videos", "--classes", "walking a dog, jugling ,running", "--top", "2") == 0
    output, errors = capsys.readouterr()
    blocks = output.strip().split("\n\n")
    assert [block.splitlines()[0] for block in blocks] == ["videos/a.mp4", "videos/b.mp4"]
    assert all(len(block.splitlines()) == 4 for block in blocks) and "\x1b" not in output
    assert blocks[0].splitlines()[1].split() == ["class", "score", "margin"]
    assert 'aurl: jugling: no vector, "juggling" used instead\n' in errors and "classifying" in errors


def test_csv_and_json_have_the_same_columns(here, capsys):
    arguments = ["videos", "--classes", "=dog,juggling,run"]
    assert command(*arguments, "--csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert command(*arguments, "--json") == 0
    records = json.loads(capsys.readouterr().out)
    assert len(rows) == len(records) == 6
    for row, record in zip(rows, records, strict=True):
        assert list(row) == list(record) == ["video", "rank", "class", "score", "margin"]
        assert row["class"] == record["class"].replace("=dog", "'=dog")  # or a spreadsheet would compute it
        assert (row["video"], int(row["rank"]), float(row["score"])) == (
            record["video"],
            record["rank"],
            record["score"],
        )
        assert (record["margin"] is None) == (row["margin"] == "") == (record["rank"] == 3)


def test_a_broken_video_fails_the_command_after_the_others(here, capsys):
    Path("videos/aa.mp4").write_text("no video")
    assert command("videos", "--classes", "dog,run") == 1
    output, errors = capsys.readouterr()
    assert "videos/a.mp4" in output and "videos/b.mp4" in output and "aa.mp4" not in output
    assert "aurl: cannot read the video videos/aa.mp4" in errors
    assert command("videos/aa.mp4", "--classes", "dog,run") == 1 and capsys.readouterr().out == ""


def test_a_model_from_an_address(here, capsys, monkeypatch):
    monkeypatch.setattr(torch.hub, "_hub_dir", str(here / "hub"))
    digest = aurl.save_pretrained(paths.run("aurl", 0), "site")
    assert command("videos", "--classes", "dog,run", "--csv") == 0
    local = capsys.readouterr().out
    with hub.serving(hub.files_of(here / "site")) as address:
        assert command("videos", "--classes", "dog,run", "--csv", "--model", f"{address}#sha256={digest}") == 0
        assert capsys.readouterr().out == local
        assert "needs a digest" in command("videos", "--classes", "dog,run", "--model", address)


def test_files_of_a_folder_are_classified_or_named(here, capsys):
    """Whatever their extension, if the decoder reads it, and even where their names are not UTF-8."""
    Path("videos/b.mp4").rename(os.fsdecode(b"videos/b\xe9.mp4"))
    trees.timed("videos/c.ts", np.zeros((4, 32, 32, 3), np.uint8), range(0, 400, 100))
    Path("videos/notes.txt").touch()
    Path("videos/up").symlink_to(".")
    assert command("videos", "--classes", "dog,run", "--csv") == 0
    output, errors = capsys.readouterr()
    found = [row["video"] for row in csv.DictReader(io.StringIO(output)) if row["rank"] == "1"]
    assert found == ["videos/a.mp4", "videos/b\\udce9.mp4", "videos/c.ts"]
    assert "aurl: videos: 1 other file (1 .txt) skipped\n" in errors
    assert "aurl: videos/up: it leads back to a folder above it, skipped\n" in errors
    assert command("videos/c.ts", "videos/a.mp4", "--classes", "dog,run", "--json") == 0
    assert not capsys.readouterr().err.count("skipped")


def test_names_that_a_terminal_would_obey(here, capsys):
    path = Path("videos/\x1b[2Jx\n.mp4")
    Path("videos/a.mp4").rename(path)
    for form in ([], ["--csv"], ["--json"]):
        assert command(str(path), "--classes", "dog \x1b]0;title\x07,run", *form) == 0
        output, errors = capsys.readouterr()
        assert "\x1b" not in output + errors and "\x07" not in output + errors
    assert command(str(path) + "\x1b", "--classes", "dog") == (
        "aurl: there is no video videos/\\x1b[2Jx\\n.mp4\\x1b: correct the path."
    )


def test_classes_from_a_file(here, capsys):
    Path("classes.txt").write_text("\ufeffwalking, slowly\n\n  juggling \n", encoding="utf-8")
    assert classify.read_classes("@classes.txt") == ["walking, slowly", "juggling"]
    assert command("videos", "--classes", "@gone.txt") == (
        "aurl: the class list gone.txt cannot be read (No such file or directory): give a file with one name a line."
    )
    assert command("videos", "--classes", " , ").startswith("aurl: --classes names no class: give names separated")


def test_mistakes_are_one_sentence(here, capsys):
    assert command("gone.mp4", "--classes", "dog") == "aurl: there is no video gone.mp4: correct the path."
    assert "run `make reproduce`, which trains runs/aurl-0" in command(
        "videos", "--classes", "dog", "--model", "runs/aurl-7"
    )
    assert command("videos", "--classes", "dog,xqzw") == (
        'aurl: the class "xqzw" cannot be embedded, as no word of it has a vector: write it with other words.'
    )
    Path("params.yaml").unlink()
    assert "params.yaml cannot be read" in command("videos", "--classes", "dog")
    # These need no parameters.
    assert command("videos", "--classes", "dog", "--vectors", str(project.GLOVE), "--clips", "2") == 0


def test_options_that_are_refused(here, capsys):
    for wrong in (["--top", "0"], ["--clips", "many"], ["--csv", "--json"]):
        assert command("videos", "--classes", "dog", *wrong) == 2
    assert command("videos") == 2
    assert "--classes" in capsys.readouterr().err
