"""The count of damaged videos, on a few kinds; the committed table refuses no sound file."""

import pandas as pd
from project import ROOT


def test_sound_files_pass_and_damaged_ones_are_counted(benchmark):
    damage = benchmark("damage")
    table = damage.measure(24, ["h264.mp4", "h264-open.ts", "xvid.avi", "vp9.mp4"])
    assert len(table) == 28 and not table.loc[table["how"] == "", "refused"].any()
    assert set(table["how"]) == {"", "overwritten", "zeros", "cut", "packets lost"}
    assert table["unlike"].sum() <= 4 < 12 < table["unlike_without_check"].sum()
    found = damage.summary(table).loc["**all**"]
    assert found["corrupted"] == 24 and found["rejected "] == table["refused"].sum() > 12
    pd.testing.assert_frame_equal(damage.measure(4, ["xvid.avi"]), damage.measure(4, ["xvid.avi"]))


def test_the_committed_table_is_that_of_its_rows(benchmark):
    damage = benchmark("damage")
    table = pd.read_csv(ROOT / damage.TABLE, keep_default_na=False)
    sound = table["how"] == ""
    assert list(table.loc[sound, "file"]) == list(damage.KINDS) and not table.loc[sound, "refused"].any()
    assert (~sound).sum() == damage.MUTILATED
    text = (ROOT / damage.TABLE).with_suffix(".md").read_text()
    assert text == damage.markdown(table)
