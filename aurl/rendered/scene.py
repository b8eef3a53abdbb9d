"""The scenes of the embedded benchmark: motion capture clips, a humanoid beside a companion, camera and light.

Motions and meshes are those that the ``pybullet`` package carries; its software renderer draws them without a display.
"""

import json
import os
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

from aurl.rendered.backdrop import VIEW, Backdrop


def _data_folder():
    import pybullet_data

    return pybullet_data.getDataPath()


# --- motion ---------------------------------------------------------------------------------------------

_ROOT, _ROOT_TURN = slice(0, 3), slice(3, 7)
_JOINTS = {  # joint of the humanoid model -> its columns in a frame; four are a quaternion (w x y z), one an angle
    "chest": slice(7, 11), "neck": slice(11, 15),
    "right_hip": slice(15, 19), "right_knee": slice(19, 20), "right_ankle": slice(20, 24),
    "right_shoulder": slice(24, 28), "right_elbow": slice(28, 29),
    "left_hip": slice(29, 33), "left_knee": slice(33, 34), "left_ankle": slice(34, 38),
    "left_shoulder": slice(38, 42), "left_elbow": slice(42, 43),
}  # fmt: skip
_QUATERNIONS = [_ROOT_TURN, *(columns for columns in _JOINTS.values() if columns.stop - columns.start == 4)]
_KEPT_TRAVEL = 0.3  # share of a motion's travel over the ground that is kept, so that actor and companion stay in view


@dataclass(frozen=True)
class Motion:
    times: np.ndarray  # (F,) seconds from the start
    poses: np.ndarray  # (F, 43) root position, root quaternion, joints
    loops: bool


@cache
def load_motion(name):
    """A DeepMimic motion clip of the ``pybullet_data`` package."""
    clip = json.loads(Path(_data_folder(), f"data/motions/humanoid3d_{name}.txt").read_text())
    table = np.array(clip["Frames"])
    return Motion(np.concatenate([[0], np.cumsum(table[:-1, 0])]), table[:, 1:], clip["Loop"] == "wrap")


def sample_motion(motion, frames, fps, rng):
    """``(frames, 43)`` poses that cover the motion at about its own speed, from a random phase if it loops."""
    length = motion.times[-1]
    speed = max(1.0, length / (frames / fps)) * rng.uniform(0.85, 1.2)
    times = np.arange(frames) / fps * speed
    if motion.loops:
        times += rng.uniform(0, length)
        rounds, times = np.divmod(times, length)
    else:
        rounds, times = np.zeros(frames), np.clip(times - rng.uniform(0, 0.1) * length, 0, length)
    after = np.clip(np.searchsorted(motion.times, times, side="right"), 1, len(motion.times) - 1)
    share = ((times - motion.times[after - 1]) / (motion.times[after] - motion.times[after - 1]))[:, None]
    a, b = motion.poses[after - 1], motion.poses[after].copy()
    for q in _QUATERNIONS:  # q and -q are the same turn: take the nearer one before mixing
        b[:, q] *= np.where((a[:, q] * b[:, q]).sum(1, keepdims=True) < 0, -1, 1)
    poses = (1 - share) * a + share * b
    for q in _QUATERNIONS:
        poses[:, q] /= np.linalg.norm(poses[:, q], axis=1, keepdims=True)
    ground = [0, 2]  # the clips' y axis points up
    step = motion.poses[-1, ground] - motion.poses[0, ground]
    place = poses[:, ground] + rounds[:, None] * step
    trend = np.linspace(0, 1, frames)[:, None] * (place[-1] - place[0])
    place -= (1 - _KEPT_TRAVEL) * trend
    poses[:, ground] = place - place.mean(0)
    return poses


# --- pictures -------------------------------------------------------------------------------------------

_COLORS = {  # companion -> its usual red, green and blue; a video's own differs a little
    "ball": (0.85, 0.85, 0.85), "bear": (0.5, 0.3, 0.15), "box": (0.8, 0.6, 0.35), "duck": (0.95, 0.85, 0.15),
    "pole": (0.85, 0.2, 0.2), "rabbit": (0.75, 0.75, 0.85), "ring": (0.2, 0.6, 0.85), "table": (0.35, 0.65, 0.3),
}  # fmt: skip
_MESHES = {  # companion -> mesh file of pybullet_data, turn (Euler angles) that stands it up, longest side in meters
    "ball": ("soccerball.obj", (0, 0, 0), 0.6),
    "bear": ("teddy2_VHACD_CHs.obj", (np.pi / 2, 0, 0), 1.1),
    "duck": ("duck.obj", (np.pi / 2, 0, 0), 0.95),
    "rabbit": ("bunny.obj", (np.pi / 2, 0, 0), 0.95),
    "ring": ("torus/torus_textured.obj", (0, 0, 0), 1.1),
}
_BOXES = {  # companion -> boxes as (half extents, middle) in meters, standing on the ground
    "box": [((0.3, 0.3, 0.3), (0, 0, 0.3))],
    "pole": [((0.05, 0.05, 1.0), (0, 0, 1.0))],
    "table": [
        ((0.5, 0.35, 0.03), (0, 0, 0.62)),
        *(((0.03, 0.03, 0.3), (x, y, 0.3)) for x in (-0.45, 0.45) for y in (-0.3, 0.3)),
    ],
}
_SKIN = {"neck", "right_wrist", "left_wrist"}
_SHIRT = {"root", "chest", "right_shoulder", "left_shoulder"}  # all other joints: trousers


class _Simulation:
    """pybullet's functions, bound to a simulation of their own."""

    def __init__(self, bullet):
        self.bullet, self.client, self.shots = bullet, bullet.connect(bullet.DIRECT), 0
        self.setAdditionalSearchPath(_data_folder())

    def __getattr__(self, name):
        return partial(getattr(self.bullet, name), physicsClientId=self.client)


class _World:
    """Two pybullet simulations: one of the humanoid, one of a companion at a time. There is one world per process.

    A companion stands still, so that it is drawn once per video, while the humanoid is drawn in every frame.
    """

    def __init__(self):
        with _quiet():
            import pybullet

            self.actor, self.beside = _Simulation(pybullet), _Simulation(pybullet)
            self.body = self.actor.loadURDF("humanoid/humanoid.urdf", globalScaling=0.25, useFixedBase=True)
        self.bullet, self.companion, self.parts = pybullet, None, []
        joints = range(self.actor.getNumJoints(self.body))
        self.joints = {self.actor.getJointInfo(self.body, joint)[1].decode(): joint for joint in joints}

    def parts_of(self, companion):
        """The companion's bodies as ``(id, turn, offset)``, which together stand on the ground at the origin."""
        if companion != self.companion:
            for part, *_ in self.parts:
                self.beside.removeBody(part)
            with _quiet():
                shapes = self._boxes(companion) if companion in _BOXES else self._mesh(companion)
                self.parts = [
                    (self.beside.createMultiBody(0, -1, shape), turn, offset) for shape, turn, offset in shapes
                ]
            self.companion = companion
        return self.parts

    def _boxes(self, companion):
        for half, middle in _BOXES[companion]:
            yield self.beside.createVisualShape(self.bullet.GEOM_BOX, halfExtents=half), (0, 0, 0, 1), middle

    def _mesh(self, companion):
        file, euler, side = _MESHES[companion]
        lines = Path(_data_folder(), file).read_text().splitlines()
        points = np.array([line.split()[1:4] for line in lines if line.startswith("v ")], float)
        turn = self.bullet.getQuaternionFromEuler(euler)
        points = points @ np.reshape(self.bullet.getMatrixFromQuaternion(turn), (3, 3)).T
        scale = side / np.ptp(points, axis=0).max()
        middle = scale * (points.min(0) + points.max(0)) / 2
        shape = self.beside.createVisualShape(self.bullet.GEOM_MESH, fileName=file, meshScale=[scale] * 3)
        yield shape, turn, (-middle[0], -middle[1], -scale * points[:, 2].min())


_world = cache(_World)


@contextmanager
def _quiet():
    """pybullet writes loader warnings straight to the process's output; keep them off the terminal."""
    saved, nowhere = [os.dup(fd) for fd in (1, 2)], os.open(os.devnull, os.O_WRONLY)
    try:
        for fd in (1, 2):
            os.dup2(nowhere, fd)
        yield
    finally:
        for fd, copy in zip((1, 2), saved, strict=True):
            os.dup2(copy, fd)
            os.close(copy)
        os.close(nowhere)


class Scene:
    """Camera, light, colors and companion of one video, drawn from ``rng``; it turns poses into pictures."""

    def __init__(self, companion, size, rng):
        self.world, self.size = _world(), size
        bullet = self.world.bullet
        self.facing = bullet.getQuaternionFromEuler([np.pi / 2, 0, rng.uniform(0, 2 * np.pi)])
        shirt, trousers, skin = (
            rng.uniform(0.15, 0.95, 3),
            rng.uniform(0.15, 0.95, 3),
            rng.uniform([0.5, 0.35, 0.25], [0.95, 0.75, 0.6]),
        )
        for joint, link in self.world.joints.items():
            color = skin if joint in _SKIN else shirt if joint in _SHIRT else trousers
            self.world.actor.changeVisualShape(self.world.body, link, rgbaColor=[*color, 1])

        angle, spin = rng.uniform(0, 2 * np.pi, 2)
        self.thing_at = rng.uniform(0.75, 1.1) * np.array([np.cos(angle), np.sin(angle)])
        spin = bullet.getQuaternionFromEuler([0, 0, spin])
        color, beside = np.clip(_COLORS[companion] + rng.uniform(-0.15, 0.15, 3), 0, 1), self.world.beside
        for part, turn, offset in self.world.parts_of(companion):
            place, turn = bullet.multiplyTransforms([*self.thing_at, 0], spin, offset, turn)
            beside.resetBasePositionAndOrientation(part, place, turn)
            beside.changeVisualShape(part, -1, rgbaColor=[*color, 1])

        distance, azimuth, elevation = rng.uniform(2.4, 2.9), rng.uniform(0, 360), rng.uniform(10, 28)
        self.view = bullet.computeViewMatrixFromYawPitchRoll(
            [*(0.35 * self.thing_at), 0.75], distance, azimuth, -elevation, 0, 2
        )
        self.projection = bullet.computeProjectionMatrixFOV(VIEW, 1, 0.1, 30)
        self.light = [*rng.uniform(-3, 3, 2), rng.uniform(3, 6)]
        # The renderer rounds every second picture otherwise, so a video begins with an even number of them behind it.
        for simulation in (self.world.actor, beside):
            if simulation.shots % 2:
                self._shoot(simulation)
        self.thing, self.thing_depth = self._shoot(beside)
        self.backdrop = Backdrop(np.reshape(self.view, (4, 4), order="F"), size)
        floor, air = 0.35 + 0.4 * rng.uniform(0, 1, 3), rng.uniform(0.65, 1, 3)
        shadow = self.backdrop.shadow(self.thing_at, 0.35)
        self.background = (self.backdrop.picture(floor, air) * shadow).astype(np.float32)

    def picture(self, pose):
        """float32 ``(size, size, 3)`` in [0, 255]."""
        actor, body = self.world.actor, self.world.body
        w, *xyz = pose[_ROOT_TURN]
        place, turn = self.world.bullet.multiplyTransforms([0, 0, 0], self.facing, pose[_ROOT], [*xyz, w])
        actor.resetBasePositionAndOrientation(body, place, turn)
        for joint, columns in _JOINTS.items():
            value = pose[columns]
            turned = value if len(value) == 1 else [*value[1:], value[0]]
            actor.resetJointStateMultiDof(body, self.world.joints[joint], turned)
        person, depth = self._shoot(actor)
        picture = self.background * self.backdrop.shadow(place[:2], 0.45)
        np.copyto(picture, self.thing, where=np.isfinite(self.thing_depth))
        np.copyto(picture, person, where=depth < self.thing_depth)
        return picture

    def _shoot(self, simulation):
        """A simulation's bodies, uint8 ``(size, size, 3)``, and their depth ``(size, size, 1)``, infinite elsewhere."""
        simulation.shots += 1
        _, _, rgba, depth, bodies = simulation.getCameraImage(
            self.size, self.size, self.view, self.projection, shadow=0, lightDirection=self.light,
            renderer=self.world.bullet.ER_TINY_RENDERER,
        )  # fmt: skip
        rgba, depth, bodies = (np.reshape(part, (self.size, self.size, -1)) for part in (rgba, depth, bodies))
        return rgba[..., :3], np.where(bodies < 0, np.inf, depth)
