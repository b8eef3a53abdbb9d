"""The page of the last notebook: dropped videos and edited names give strips and rankings, and mistakes a sentence."""

from pathlib import Path

import browsing
import matplotlib.pyplot as plt
import pandas as pd
import pytest
import trees
from IPython.display import Image

from aurl import UserError, figures
from aurl.classify import page
from aurl.classify.classifier import COLUMNS, Answer
from aurl.figures.classify import ranking


class Fake:
    """Answers as a `aurl.classify.classifier.Classifier` does; ``asked`` keeps what it was asked."""

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
    figure = ranking(video, table, "what $1 shows")
    strip, chart = figure.subfigs
    pictures = strip.axes[0].images
    assert len(pictures) == 8 and len(chart.axes[0].patches) == 2
    assert [label.get_text() for label in chart.axes[0].get_yticklabels()] == ["$run$ <b>", "walk"]
    left = [picture.get_array()[0, 0, 0] for picture in pictures]
    assert left == sorted(left) and left[0] < left[-1]  # time runs to the right
    assert figures.picture(figure).data.startswith(b"\x89PNG")
    assert not plt.fignum_exists(figure.number)


@pytest.fixture
def shown(monkeypatch):
    """What is displayed."""
    found = []
    monkeypatch.setattr(page, "display", lambda what, raw=False: found.append(what))
    return found


def pressed(classifier, content, names, name="clip.mp4"):
    """The page after one video was dropped and the button was pressed."""
    widget = page.page(classifier, ["walk", "run"], clips=2, top=3)
    field, text, button, _ = widget.children
    assert text.value == "walk\nrun"
    if content is not None:
        field.files = [{"name": name, "content": memoryview(content)}]
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


PAGE = """<!DOCTYPE html><meta charset="utf-8"><div id="field"></div><script type="module">
const kept = {files: []}, heard = [];
window.model = {get: (name) => kept[name], set: (name, value) => { kept[name] = value; heard.forEach((f) => f()); },
                save_changes: () => { kept.saved = true; }, on: (_, f) => heard.push(f)};
window.kept = kept;
SOURCE
widget.render({model, el: document.getElementById("field")});
</script>"""


@pytest.mark.skipif(not browsing.chromium(), reason="there is no Chromium here")
def test_files_are_dropped_on_the_field_in_a_browser(tmp_path):
    """Whole, and with a name that is no markup. The browser does not open them instead."""
    video, html = tmp_path / "<b>clip.mp4", tmp_path / "page.html"
    video.write_bytes(bytes(range(256)) * 40)
    source = Path(page.__file__).with_suffix(".js").read_text()
    html.write_text(PAGE.replace("SOURCE", source.replace("export default", "const widget =")))
    with browsing.browser() as driven:
        assert driven.open(html) == []
        x, y = driven.show(".aurl-drop")
        for kind in ("dragEnter", "dragOver", "drop"):
            data = {"items": [], "files": [str(video)], "dragOperationsMask": 1}
            driven.do("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)
        wait = "(async () => { while (!kept.saved) await new Promise(requestAnimationFrame); })()"
        driven.evaluate(f"{wait}.then(() => 1)")
        found = driven.evaluate("kept.files.map((file) => [file.name, [...new Uint8Array(file.content.buffer)]])")
        assert found == [[video.name, list(video.read_bytes())]]
        assert driven.evaluate("document.querySelector('.aurl-drop').textContent") == video.name
        assert driven.evaluate("location.href") == html.as_uri() and driven.said == []
