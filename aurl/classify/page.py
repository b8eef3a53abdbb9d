"""A page in a notebook: drop videos, edit the class names, and see how a model ranks them."""

import tempfile
from pathlib import Path, PurePosixPath

import anywidget
import ipywidgets
import traitlets
from IPython.display import display

from aurl import UserError, figures
from aurl.classify.classifier import plain
from aurl.figures.classify import ranking


def show(classifier, path, classes, title, clips=1, top=5):
    """Display a video's film strip and its ``top`` classes, after notes on words without a vector.

    Names are shown as plain text, never as markup. Raises UserError as `classify` of the
    classifier does, and for a broken video.
    """
    table, notes, broken = classifier.classify([path], classes, clips, top)
    if broken:
        raise UserError(broken[0])
    for note in notes:
        _print(note)
    display(figures.picture(ranking(path, table.assign(**{"class": table["class"].map(plain)}), plain(title))))


class Drop(anywidget.AnyWidget):
    """A field to drop videos on or to choose them with a click; each of ``files`` has a ``name`` and ``content``."""

    _esm = Path(__file__).with_suffix(".js")
    _css = """
    .aurl-drop {display: block; max-width: 44em; padding: 1.2em; cursor: pointer; border: 2px dashed gray}
    .aurl-drop:focus-within, .aurl-over {border-style: solid; border-color: var(--jp-brand-color1, steelblue)}
    .aurl-drop input {width: 0; height: 0; opacity: 0}
    """
    files = traitlets.List().tag(sync=True)


def page(classifier, classes, clips=1, top=5):
    """Return the page as a widget; ``classes`` fill its list of names, and other arguments are as for `show`."""
    videos = Drop()
    names = ipywidgets.Textarea("\n".join(classes), rows=10, description="Classes", placeholder="one name a line")
    button, output = ipywidgets.Button(description="Classify"), ipywidgets.Output()

    def classify(_):
        output.outputs = ()
        with output, tempfile.TemporaryDirectory() as folder:
            wanted = [line.strip() for line in names.value.splitlines() if line.strip()]
            if not videos.files:
                _print("Choose a video first.")
            for number, file in enumerate(videos.files):
                # The name comes from a browser and may hold a path; the content decides what the file is.
                path = Path(folder, f"{number}.mp4")
                path.write_bytes(file["content"])
                name = PurePosixPath(file["name"]).name
                try:
                    show(classifier, path, wanted, name, clips, top)
                except UserError as error:
                    _print(str(error).replace(str(path), name))

    button.on_click(classify)
    return ipywidgets.VBox([videos, names, button, output])


def _print(sentence):
    """Display a sentence as plain text, which a browser does not interpret."""
    display({"text/plain": plain(sentence)}, raw=True)
