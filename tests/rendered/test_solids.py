"""Solids have the size and place in the picture that perspective demands, and hide each other as they should."""

import numpy as np
import pytest

from aurl.rendered.camera import FIELD, Camera
from aurl.rendered.motions import Body
from aurl.rendered.solids import HEIGHTS, THINGS, cast, paint

SIZE, DISTANCE = 128, 4.0
LIGHT = np.array([0, 0, 1.0])


def looking(height=1.0, elevation=0.0):
    return Camera((0, 0, height), 0.0, elevation, DISTANCE, SIZE)


def draw(*bodies, name="ball", camera=None):
    """Draw white things on black; returns which pixels are covered, the picture and the depth."""
    camera = camera or looking()
    picture, depth = np.zeros((3, SIZE, SIZE)), np.full((SIZE, SIZE), np.inf)
    for body in bodies:
        for fragment in cast(camera, name, body, np.ones(3), LIGHT)[0]:
            paint(picture, depth, fragment)
    return np.isfinite(depth), picture, depth


@pytest.mark.parametrize("size", [0.5, 1.0, 1.5])
def test_a_ball_covers_what_perspective_says(size):
    radius = 0.3 * size
    covered, _, depth = draw(Body.at((0, 0, 1 - radius), 1, size))
    across = np.tan(np.arcsin(radius / DISTANCE)) / FIELD * SIZE
    assert abs(covered.any(0).sum() - across) <= 2 and abs(covered.any(1).sum() - across) <= 2
    assert depth.min() == pytest.approx(DISTANCE - radius, abs=0.01)
    rows, columns = np.nonzero(covered)
    assert abs(rows.mean() - (SIZE - 1) / 2) < 1 and abs(columns.mean() - (SIZE - 1) / 2) < 1


@pytest.mark.parametrize("name", THINGS)
def test_the_window_cuts_nothing_off(name, monkeypatch):
    rng = np.random.default_rng(0)
    for _ in range(20):
        body = Body.at(rng.uniform([-1.5, -1.5, 0], [1.5, 1.5, 1.5]), 1, rng.uniform(0.4, 1.6))
        camera = Camera((0, 0, 0.5), *rng.uniform([0, 0.2, 2.5], [6.3, 0.6, 3.5]), SIZE)
        covered, *_ = draw(body, name=name, camera=camera)
        monkeypatch.setattr(camera, "windows", lambda *_: np.array([[0, SIZE, 0, SIZE]]))
        np.testing.assert_array_equal(covered, draw(body, name=name, camera=camera)[0])


@pytest.mark.parametrize("ahead", [-0.1, 0.1, -5.0])  # around the camera, and behind it
def test_a_thing_that_the_camera_is_in_or_that_is_behind_it_is_not_seen(ahead):
    body = Body.at((DISTANCE - ahead, 0, 0.7), 1)
    for name in ("ball", "box"):
        assert not draw(body, name=name)[0].any()


def test_of_coinciding_surfaces_the_first_is_seen_whatever_rounding_says():
    for nearer in (0, 1e-12, -1e-12):
        first, second = Body.at((0, 0, 0.7), 1), Body.at((nearer, 0, 0.7), 1)
        second.light = second.light * 0.0
        _, only, _ = draw(first, name="box")
        _, both, _ = draw(first, second, name="box")
        assert only.any()
        np.testing.assert_allclose(both, only)


def test_the_nearer_one_hides_the_other_in_any_order():
    near, far = Body.at((1, 0, 0.7), 1), Body.at((-1, 0, 0.7), 1)
    near.light = near.light * 0.0
    for order in ((near, far), (far, near)):
        _, picture, _ = draw(*order)
        assert not picture[:, SIZE // 2, SIZE // 2].any()


def test_what_is_under_the_ground_is_hidden():
    camera = looking(height=0.3, elevation=0.5)
    for name, height in HEIGHTS.items():
        hidden, half, full = (
            draw(Body.at((0, 0, -depth), 1), name=name, camera=camera)[0].sum()
            for depth in (height + 0.01, height / 2, 0)
        )
        assert hidden == 0 < half < full


def test_opacity_mixes_with_what_is_behind():
    body = Body.at((0, 0, 0.7), 1)
    _, full, _ = draw(body)
    body.alpha = np.array([0.5])
    _, half, _ = draw(body)
    np.testing.assert_allclose(half, full / 2)
    body.alpha = np.array([0.0])
    assert not draw(body)[0].any()


def test_stretching_is_along_the_things_own_axis():
    body = Body.at((0, 0, 0.7), 1)
    body.size = np.array([[1.0, 2.0, 1.0]])  # to the right, for a camera on the x axis
    covered, *_ = draw(body)
    assert covered.any(0).sum() == pytest.approx(2 * covered.any(1).sum(), rel=0.1)


@pytest.mark.parametrize("state", ["place", "turn", "size", "light", "alpha"])
def test_frames_are_cast_again_unless_nothing_differs(state):
    body = Body.at((0, 0, 0.7), 3)
    setattr(body, state, getattr(body, state) * 1.0)
    getattr(body, state)[2] *= 0.9
    first, second, third = cast(looking(), "box", body, np.ones(3), LIGHT)
    assert second is first and third is not first
    last = Body(*(states[2:] for states in (body.place, body.turn, body.size, body.light, body.alpha)))
    (alone,) = cast(looking(), "box", last, np.ones(3), LIGHT)[0]
    assert all(np.array_equal(a, b) for a, b in zip(third[0], alone, strict=True))
