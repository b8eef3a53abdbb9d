"""Pictures of videos span the segment that the manifest names."""

import numpy as np
import pandas as pd

from aurl.data.video import write_video
from aurl.figures.data import contact_sheet


def test_contact_sheet_of_features_says_that_there_are_no_pictures():
    figure = contact_sheet(pd.DataFrame({"path": [], "class": [], "first": [], "frames": []}))
    (text,) = figure.axes[0].texts
    assert text.get_text() == "No pictures: these sets are features."


def test_contact_sheet_spans_its_segment(tmp_path):
    frames = (25 * np.arange(8, dtype=np.uint8))[:, None, None, None] * np.ones((16, 16, 3), np.uint8)
    write_video(tmp_path / "v.mp4", frames, fps=8)
    row = {"path": [str(tmp_path / "v.mp4")], "class": ["x"], "first": [3], "frames": [5]}
    figure = contact_sheet(pd.DataFrame(row), columns=3)
    shown = [image.get_array().mean() for image in figure.axes[0].images]
    np.testing.assert_allclose(shown, [75, 125, 175], atol=6)
