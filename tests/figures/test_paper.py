"""Figure 1 names every class and marks errors; its page holds every point, and needs no network."""

import json
import re

import numpy as np
import pytest
from drawn import boxes

from aurl.figures import paper

NAMES = ["</script><b>", "$x$ & é", "PAGE DATA"]


@pytest.fixture
def panels():
    rng = np.random.default_rng(0)
    features = {"video": rng.normal(size=(7, 3)), "classes": np.eye(3), "labels": np.arange(7) % 3}
    features["video"] /= np.linalg.norm(features["video"], axis=1, keepdims=True)
    return {"e2e": features, "aurl\n<i>": features}


def test_videos_by_another_star_are_crosses_and_all_classes_are_named():
    features = {"video": np.eye(3)[[0, 1, 1]], "classes": np.eye(3), "labels": np.array([0, 1, 2])}
    figure = paper.spheres({"a": features}, ["x", "y", "z"])
    dots, crosses, stars = (figure.axes[0].collections[place : place + 2] for place in (1, 3, 5))
    assert [sum(len(points.get_offsets()) for points in kind) for kind in (dots, crosses, stars)] == [2, 1, 3]
    ((_, texts),) = boxes(figure)
    assert set(texts) == {"x", "y", "z"}
    legend = [text.get_text() for text in figure.legends[0].texts]
    assert len(legend) == 4 and legend[-1] == "pale: behind the sphere" in paper.sphere_page({}, [])


def test_every_point_and_name_is_in_the_page(panels):
    text = paper.sphere_page(panels, NAMES)
    (data,) = re.findall(r'<script id="data" type="application/json">(.*?)</script>', text, re.S)
    found = json.loads(data)
    assert found["names"] == NAMES and [panel["title"] for panel in found["panels"]] == list(panels)
    for panel, features in zip(found["panels"], panels.values()):
        np.testing.assert_allclose(panel["video"], features["video"], atol=1e-4)
        np.testing.assert_allclose(panel["classes"], features["classes"])
        assert panel["labels"] == features["labels"].tolist()
        assert panel["nearest"] == features["video"].argmax(axis=1).tolist()
    assert text == paper.sphere_page(panels, NAMES)


def test_names_are_no_markup_and_nothing_is_loaded(panels):
    text = paper.sphere_page(panels, NAMES)
    assert text.count("</script>") == 2 and "<b>" not in text and "<i>" not in text
    assert not re.search(r"https?:|//|src=|@import|url\(|innerHTML", text)
    assert "default-src 'none'" in text
