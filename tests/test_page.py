"""The page of the last notebook: dropped videos and edited names give strips and rankings, and mistakes a sentence."""

import ipywidgets
import matplotlib.pyplot as plt
import pandas as pd
import pytest
import trees
from IPython.display import Image

from aurl import UserError, figures, page
from aurl.classify import COLUMNS, Answer


class Fake:
    """Answers as a `aurl.classify.Classifier` does; ``asked`` keeps what it was asked."""

    def __init__(self, broken=()):
        self.broken, self.asked = list(broken), []

    def classify(self, paths, classes, clips, top):
        if not classes:
            raise UserError("there is no class to choose from: name at least one.")
        self.asked.append((paths[0].read_bytes(), classes, clips, top))
        rows = [(str(paths[0]), place, name, 0.5, 0.1) for place, name in enumerate(classes[:top], 1)]
        return Answer(pd.DataFrame(rows, columns=COLUMNS), ["qwx: no vector, left out"], self.broken)


@pytest.fixture
def video(tmp_path):
    trees.video(tmp_path / "a.mp4")
    return tmp_path / "a.mp4"


def test_ranking_draws_a_strip_and_a_bar_for_each_class(video):
    table = pd.DataFrame({"class": ["$run$ <b>", "walk"], "score": [0.4, -0.1]})
    figure = figures.ranking(video, table, "what $1 shows")
    strip, chart = figure.subfigs
    assert len(strip.axes) == 8 and len(chart.axes[0].patches) == 2
    assert [label.get_text() for label in chart.axes[0].get_yticklabels()] == ["$run$ <b>", "walk"]
    left = [ax.images[0].get_array()[0, 0, 0] for ax in strip.axes]
    assert left == sorted(left) and left[0] < left[-1]  # time runs to the right
    assert figures.picture(figure).data.startswith(b"\x89PNG") and not plt.get_fignums()


@pytest.fixture
def shown(monkeypatch):
    """What is displayed."""
    found = []
    monkeypatch.setattr(page, "display", lambda what, raw=False: found.append(what))
    return found


def pressed(classifier, content, names, name="clip.mp4"):
    """The page after one video was dropped and the button was pressed."""
    widget = page.page(classifier, ["walk", "run"], clips=2, top=3)
    (upload, button), text = widget.children[0].children, widget.children[1]
    assert text.value == "walk\nrun" and isinstance(upload, ipywidgets.FileUpload)
    if content is not None:
        about = {"name": name, "type": "video/mp4", "size": len(content), "last_modified": pd.Timestamp(0, tz="UTC")}
        upload.set_trait("value", (about | {"content": memoryview(content)},))
    text.value = names
    button.click()


def said(shown):
    """The sentences that were displayed, and nothing but text."""
    assert all(found.keys() == {"text/plain"} for found in shown)
    sentences = [found["text/plain"] for found in shown]
    shown.clear()
    return sentences


def test_a_dropped_video_is_classified(video, shown):
    fake = Fake()
    pressed(fake, video.read_bytes(), " juggle\n\nfly\n", name="../../etc/<b>x.mp4")
    assert fake.asked == [(video.read_bytes(), ["juggle", "fly"], 2, 3)]
    assert isinstance(shown.pop(), Image) and said(shown) == ["qwx: no vector, left out"]


def test_mistakes_are_shown(video, shown):
    pressed(Fake(), None, "fly")
    assert said(shown) == ["Choose a video first."]
    pressed(Fake(), video.read_bytes(), "")
    assert said(shown) == ["there is no class to choose from: name at least one."]
    pressed(Fake(["cannot read the video\x1b[2J: it is empty"]), video.read_bytes(), "fly")
    assert said(shown) == ["cannot read the video\\x1b[2J: it is empty"]
