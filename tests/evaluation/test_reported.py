"""The table of our accuracies beside those of others."""

import pandas as pd

from aurl.classify import released
from aurl.evaluation import reported


def cells(table):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_reported_numbers_have_sources_and_are_those_of_the_released_logs():
    rows = pd.read_csv(reported.REPORTED, keep_default_na=False)
    assert rows["source"].str.len().min() > 0 and rows["pretraining"].str.len().min() > 0
    own = rows[rows["method"] == "AURL"].set_index(["set", "figure"])["value"]
    logs = pd.read_csv(released.EXPECTED).set_index(["set", "figure"])["expected"]
    assert own.to_dict() == logs.to_dict()
    figures = {figure for figure in rows["figure"] if figure}
    assert {figure.rpartition(".")[2] for figure in figures} <= reported.OURS.keys()


def test_ours_stand_below_where_they_were_run():
    figures = {"top1": 0.5, "half_top1": 0.6123, "half_top1_std": 0.01, "gzsl_harmonic": float("nan")}
    figures |= {"clips25": {"top1": 0.55}, "pretraining": "kinetics400 (39 of 101 test classes in it)"}
    rows = cells(reported.table({"ucf101": {"aurl": figures}, "hmdb51": {}}, 1))
    ours = [row for row in rows if "ours" in row[2]]
    before = figures["pretraining"]
    assert [row[:2] + row[3:] for row in ours] == [
        ["ucf101", "all classes, 1 clip", "50.0", before, "this project"],
        ["ucf101", "half of the classes, 10 draws, 1 clip", "61.2 ± 1.0", before, "this project"],
        ["ucf101", "all classes, 25 clips", "55.0", before, "this project"],
    ]
    assert ["hmdb51", "half of the classes", "E2E", "32.7", "not stated", "its results page"] in rows
    assert {row[0] for row in rows} == {"ucf101", "hmdb51"}


def test_a_set_of_which_nobody_reports():
    assert reported.table({"activitynet": {"aurl": {"top1": 0.5}}}, 1) == reported.table({}, 1) == ""
