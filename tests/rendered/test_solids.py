"""The solids of the benchmark of verbs: size and place in the picture as perspective says, what hides what."""

import numpy as np
import pytest

from aurl.rendered import verbs
from aurl.rendered.backdrop import VIEW, Backdrop
from aurl.rendered.motions import Body
from aurl.rendered.solids import HEIGHTS, THINGS, draw

SIZE, DISTANCE = 128, 4.0
LIGHT = np.array([0, 0, 1.0])


def scene(height=1.0, elevation=0.0):
    return Backdrop(verbs._view((0, 0, height), 0.0, elevation, DISTANCE), SIZE)


def drawn(*bodies, name="ball", backdrop=None, color=(1, 1, 1)):
    """Which pixels are covered, after drawing on black."""
    picture, depth = np.zeros((SIZE, SIZE, 3)), np.full((SIZE, SIZE), np.inf)
    for body in bodies:
        draw(picture, depth, backdrop or scene(), name, body, 0, np.array(color), LIGHT)
    return np.isfinite(depth), picture, depth


@pytest.mark.parametrize("size", [0.5, 1.0, 1.5])
def test_a_ball_covers_what_perspective_says(size):
    body = Body.at((0, 0, 1 - 0.3 * size), 1, size)
    covered, _, depth = drawn(body)
    radius = 0.3 * size
    across = 2 * np.tan(np.arcsin(radius / DISTANCE)) / (2 * np.tan(np.radians(VIEW) / 2)) * SIZE
    assert abs(covered.any(0).sum() - across) <= 2 and abs(covered.any(1).sum() - across) <= 2
    assert depth.min() == pytest.approx(DISTANCE - radius, abs=0.01)
    rows, columns = np.nonzero(covered)
    assert abs(rows.mean() - (SIZE - 1) / 2) < 1 and abs(columns.mean() - (SIZE - 1) / 2) < 1


@pytest.mark.parametrize("name", THINGS)
def test_the_window_cuts_nothing_off(name):
    """A thing drawn whole and drawn through a window of the picture are the same, wherever it is."""
    from aurl.rendered import solids

    rng = np.random.default_rng(0)
    for _ in range(20):
        body = Body.at(rng.uniform([-1.5, -1.5, 0], [1.5, 1.5, 1.5]), 1, rng.uniform(0.4, 1.6))
        backdrop = Backdrop(verbs._view((0, 0, 0.5), *rng.uniform([0, 0.2, 2.5], [6.3, 0.6, 3.5])), SIZE)
        covered, *_ = drawn(body, name=name, backdrop=backdrop)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(solids, "_window", lambda *_: (slice(None), slice(None)))
            whole, *_ = drawn(body, name=name, backdrop=backdrop)
        np.testing.assert_array_equal(covered, whole)


def test_of_coinciding_surfaces_the_first_is_seen_whatever_rounding_says():
    for nearer in (0, 1e-12, -1e-12):
        first, second = Body.at((0, 0, 0.7), 1), Body.at((nearer, 0, 0.7), 1)
        second.light = second.light * 0.0
        _, alone, _ = drawn(first, name="box")
        _, both, _ = drawn(first, second, name="box")
        assert alone.any()
        np.testing.assert_allclose(both, alone)


def test_the_nearer_one_hides_the_other_in_any_order():
    near, far = Body.at((1, 0, 0.7), 1), Body.at((-1, 0, 0.7), 1)
    near.light = near.light * 0.0
    for order in ((near, far), (far, near)):
        _, picture, _ = drawn(*order)
        assert not picture[SIZE // 2, SIZE // 2].any()


def test_what_is_under_the_ground_is_hidden():
    backdrop = scene(height=0.3, elevation=0.5)
    for name, height in HEIGHTS.items():
        assert not drawn(Body.at((0, 0, -height - 0.01), 1), name=name, backdrop=backdrop)[0].any()
        half = drawn(Body.at((0, 0, -height / 2), 1), name=name, backdrop=backdrop)[0].sum()
        assert 0 < half < drawn(Body.at((0, 0, 0), 1), name=name, backdrop=backdrop)[0].sum()


def test_opacity_mixes_with_what_is_behind():
    body = Body.at((0, 0, 0.7), 1)
    _, full, _ = drawn(body)
    body.alpha = np.array([0.5])
    _, half, _ = drawn(body)
    np.testing.assert_allclose(half, full / 2)
    body.alpha = np.array([0.0])
    assert not drawn(body)[0].any()


def test_stretching_is_along_the_things_own_axis():
    body = Body.at((0, 0, 0.7), 1)
    body.size = np.array([[1.0, 2.0, 1.0]])  # to the right, for a camera on the x axis
    covered, *_ = drawn(body)
    assert covered.any(0).sum() == pytest.approx(2 * covered.any(1).sum(), rel=0.1)
