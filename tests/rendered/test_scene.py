"""Motions are loaded whole, cover a video smoothly, and repeat only if they loop; test_mocap tests the pictures."""

import numpy as np
import pytest

from aurl.rendered import mocap, scene

pybullet = pytest.importorskip("pybullet", reason="pybullet, which draws the motion capture, is not installed")

CLIPS = [name for names in mocap.ACTIONS.values() for name in names]


def turns(poses):
    """(frames - 1, 9) angles between the joints' rotations in one frame and the next, degrees."""
    columns = [slice(i, i + 4) for i in (3, 7, 11, 15, 20, 24, 29, 34, 38)]
    cosines = np.stack([(poses[1:, q] * poses[:-1, q]).sum(1) for q in columns], 1)
    return np.degrees(2 * np.arccos(np.clip(abs(cosines), 0, 1)))


@pytest.mark.parametrize("name", CLIPS)
def test_motions_are_loaded_whole(name):
    motion = scene.load_motion(name)
    assert motion.poses.shape == (len(motion.times), 43) and motion.times[0] == 0 and (np.diff(motion.times) > 0).all()
    assert 0.5 < motion.times[-1] < 5 and np.isfinite(motion.poses).all()
    assert 0 < motion.poses[:, 1].max() < 2  # the height of the hips, meters


@pytest.mark.parametrize("name", CLIPS)
def test_sampled_motions(name):
    motion = scene.load_motion(name)
    for seed in range(5):
        poses = scene.sample_motion(motion, 24, 12, np.random.default_rng(seed))
        assert poses.shape == (24, 43) and np.isfinite(poses).all()
        np.testing.assert_allclose(poses[:, [0, 2]].mean(0), 0, atol=1e-12)
        for first in (3, 7, 11, 15, 20, 24, 29, 34, 38):
            np.testing.assert_allclose(np.linalg.norm(poses[:, first : first + 4], axis=1), 1, atol=1e-12)
        np.testing.assert_array_equal(poses, scene.sample_motion(motion, 24, 12, np.random.default_rng(seed)))
    assert not np.array_equal(poses, scene.sample_motion(motion, 24, 12, np.random.default_rng(0)))


@pytest.mark.parametrize("name", CLIPS)
def test_sampled_motions_are_continuous(name):
    """Steps are small at 240 frames per second. The body may turn at once only where a motion begins again."""
    motion = scene.load_motion(name)
    for seed in range(3):
        poses = scene.sample_motion(motion, 480, 240, np.random.default_rng(seed))
        assert np.linalg.norm(np.diff(poses[:, :3], axis=0), axis=1).max() < 0.05
        jumps = (turns(poses).max(axis=1) > 12).sum()
        assert jumps <= (1.2 * max(2 / motion.times[-1], 1) + 1 if motion.loops else 0)


def line(loops):
    """A motion that walks one meter per second for two seconds, while its knee bends."""
    poses = np.zeros((5, 43))
    poses[:, [3, 7, 11, 15, 20, 24, 29, 34, 38]] = 1
    poses[:, 2] = poses[:, 19] = np.linspace(0, 2, 5)
    return scene.Motion(np.linspace(0, 2, 5), poses, loops)


def test_only_motions_that_loop_begin_again():
    for seed in range(20):
        once = scene.sample_motion(line(False), 24, 12, np.random.default_rng(seed))[:, 19]
        assert (np.diff(once) >= 0).all() and once[0] == 0 and once[-1] > 1.3
        again = scene.sample_motion(line(True), 24, 12, np.random.default_rng(seed))
        assert (np.diff(again[:, 19]) < 0).sum() in (1, 2) and (np.diff(again[:, 2]) > 0).all()  # the walk goes on


def test_a_motion_is_covered_and_little_of_its_travel_is_kept():
    speeds = []
    for seed in range(50):
        poses = scene.sample_motion(line(False), 24, 12, np.random.default_rng(seed))
        speeds.append(np.diff(poses[:, 19]).max() * 12)
        traveled, bent = np.ptp(poses[:, 2]), np.ptp(poses[:, 19])
        assert traveled < 0.5 * bent
    assert 0.85 <= min(speeds) < 0.92 and 1.12 < max(speeds) <= 1.2
    long = scene.sample_motion(line(False), 6, 12, np.random.default_rng(0))[:, 19]  # two seconds in half a second
    assert np.ptp(long) > 1.2


def test_actor_and_companion_drawn_apart_are_as_if_drawn_together(monkeypatch):
    """The pixels are equal, also where one hides a part of the other."""
    one = scene._Simulation(pybullet)
    monkeypatch.setattr(scene, "_Simulation", lambda _: one)
    together = scene._World()
    monkeypatch.undo()
    hidden = 0
    for seed, (action, companion) in enumerate(zip(["spin", "getup_faceup", "walk"], ["ball", "table", "duck"])):
        poses = scene.sample_motion(scene.load_motion(action), 8, 6, np.random.default_rng(seed))
        apart = scene.Scene(companion, 64, np.random.default_rng(seed))
        monkeypatch.setattr(scene, "_world", lambda: together)
        both = scene.Scene(companion, 64, np.random.default_rng(seed))
        monkeypatch.undo()
        both.thing_depth = np.full_like(both.thing_depth, np.inf)  # the simulation with both draws both in every frame
        for pose in poses:
            picture = apart.picture(pose)
            np.testing.assert_array_equal(picture, both.picture(pose))
            _, depth = apart._shoot(apart.world.actor)
            hidden += (np.isfinite(depth) & np.isfinite(apart.thing_depth)).sum()
    assert hidden > 100
