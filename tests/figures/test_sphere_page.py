"""The page of Figure 1 holds every point and name, asks nothing of a network, and no name is read as markup."""

import json
import re

import numpy as np
import pytest

from aurl.figures import sphere_page

NAMES = ["</script><b>", "$x$ & é", "PAGE DATA"]


@pytest.fixture
def panels():
    rng = np.random.default_rng(0)
    features = {"video": rng.normal(size=(7, 3)), "classes": np.eye(3), "labels": np.arange(7) % 3}
    features["video"] /= np.linalg.norm(features["video"], axis=1, keepdims=True)
    return {"e2e": features, "aurl\n<i>": features}


def test_every_point_and_name_is_in_the_page(panels):
    text = sphere_page.page(panels, NAMES)
    (data,) = re.findall(r'<script id="data" type="application/json">(.*?)</script>', text, re.S)
    found = json.loads(data)
    assert found["names"] == NAMES and [panel["title"] for panel in found["panels"]] == list(panels)
    for panel, features in zip(found["panels"], panels.values()):
        np.testing.assert_allclose(panel["video"], features["video"], atol=1e-4)
        np.testing.assert_allclose(panel["classes"], features["classes"])
        assert panel["labels"] == features["labels"].tolist()
        assert panel["nearest"] == features["video"].argmax(axis=1).tolist()
    assert text == sphere_page.page(panels, NAMES)


def test_names_are_no_markup_and_nothing_is_loaded(panels):
    text = sphere_page.page(panels, NAMES)
    assert text.count("</script>") == 2 and "<b>" not in text and "<i>" not in text
    assert not re.search(r"https?:|//|src=|@import|url\(|innerHTML", text)
    assert "default-src 'none'" in text
