"""What the verbs of the built-in benchmark look like: a line of kinematics each, for a thing with another beside it.

The verbs are members of classes of VerbNet 3.4 (Kipper Schuler 2005, after Levin 1993) whose motion one or two solid
things can show. The list and the motions were fixed before anything was trained on them. A class of the benchmark is
named by the verb's gerund. Space is in meters with z upward, ``t`` runs from 0 to 1, and every performance has an
amount, a direction and a phase of its own.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass
class Body:
    """A thing's states over F frames."""

    place: np.ndarray  # (F, 3) the middle of its underside while it stands upright
    turn: np.ndarray  # (F, 3, 3) rotation about its pivot
    size: np.ndarray  # (F, 3) factors of its own axes
    light: np.ndarray  # (F,) factor of its brightness
    alpha: np.ndarray  # (F,) opacity in [0, 1]
    pivot: float = 1.0  # height of the point it turns about: 0 underside, 1 middle, 2 top

    @classmethod
    def at(cls, place, frames, size=1.0):
        ones, turn = np.ones(frames), np.tile(np.eye(3), (frames, 1, 1))
        return cls(np.tile(np.asarray(place, float), (frames, 1)), turn, np.full((frames, 3), size), ones, ones.copy())


class Play:
    """One performance: ``thing`` does something, ``other`` stands by unless the verb is about both.

    ``away`` is the horizontal direction in which the camera looks. ``pieces`` are copies of the thing; if there are
    any, they are drawn in its stead. What is random is drawn from ``rng`` in the order in which the verb asks for it.
    """

    top = np.array([0, 0, 0.62])  # where something lies on the thing

    def __init__(self, frames, away, rng):
        self.rng, self.frames, self.away, self.pieces = rng, frames, away, []
        start, end = rng.uniform(0, 0.1), rng.uniform(0.9, 1)
        self.t = np.clip((np.arange(frames) / (frames - 1) - start) / (end - start), 0, 1)
        self.amount, angle, spot = rng.uniform(0.85, 1.15), *rng.uniform(0, 2 * np.pi, 2)
        self.u = np.array([np.cos(angle), np.sin(angle), 0])  # where it goes, and the axis it faces
        self.way = np.array([np.cos(spot), np.sin(spot), 0])  # from it to the other
        self.thing = Body.at((0, 0, 0), frames)
        self.other = Body.at(rng.uniform(0.85, 1.05) * self.way, frames, size=0.75)
        self.turned = rng.uniform(0, 2 * np.pi)
        self.yaw(np.full(frames, self.turned))
        self.yaw(np.full(frames, rng.uniform(0, 2 * np.pi)), self.other)

    # --- time ---

    @cached_property
    def ease(self):
        """From 0 to 1, gently at both ends."""
        return self.t**2 * (3 - 2 * self.t)

    def part(self, begin, end=1.0):
        """From 0 at ``begin`` to 1 at ``end``, linearly."""
        return np.clip((self.t - begin) / (end - begin), 0, 1)

    def wave(self, low, high):
        """A sine of between ``low`` and ``high`` periods, from a random phase."""
        cycles, phase = self.rng.uniform([low, 0], [high, 1])
        return np.sin(2 * np.pi * (cycles * self.t + phase))

    def hops(self, low, high):
        """Arcs from 0 over 1 to 0, between ``low`` and ``high`` of them."""
        return np.abs(np.sin(np.pi * self.rng.integers(low, high + 1) * self.t))

    def steps(self, count):
        """From 0 to 1 in ``count`` jerks with a rest after each."""
        whole, rest = np.divmod(self.t * count, 1)
        return (whole + np.clip(2 * rest, 0, 1)) / count

    def noise(self, knots):
        """(F, 3) a random smooth curve through ``knots`` points of [-1, 1]."""
        points = self.rng.uniform(-1, 1, (knots, 3))
        at = np.linspace(0, 1, knots)
        return np.stack([np.interp(self.ease if knots == 2 else self.t, at, points[:, i]) for i in range(3)], axis=1)

    def jitter(self, size):
        """(F, 3) a new random shift in every frame."""
        return self.rng.uniform(-size, size, (self.frames, 3))

    # --- what a body does ---

    def go(self, distance, along=None, body=None):
        (body or self.thing).place += np.multiply.outer(
            distance * self.amount, self.u if along is None else np.asarray(along)
        )

    def up(self, height, body=None):
        self.go(height, (0, 0, 1), body)

    def across(self):
        """The horizontal direction at a right angle to `u`."""
        return np.array([-self.u[1], self.u[0], 0])

    def yaw(self, angle, body=None):
        self._turn(angle, np.array([0.0, 0, 1]), body)

    def pitch(self, angle, along=None, body=None):
        """Lean over by ``angle``, forward along ``along``."""
        x, y, _ = self.u if along is None else along
        self._turn(angle, np.array([-y, x, 0]), body)

    def roll(self, angle):
        """Lean over sideways."""
        self._turn(angle, self.u, None)

    def _turn(self, angle, axis, body):
        body = body or self.thing
        x, y, z = axis
        cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        angle = np.broadcast_to(angle, self.frames)[:, None, None]
        body.turn = (np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross) @ body.turn

    def grow(self, x, y=None, z=None, body=None):
        factors = [x, x if y is None else y, x if z is None else z]
        body = body or self.thing
        body.size = body.size * np.stack([np.broadcast_to(f, self.frames) for f in factors], axis=1)

    def stand(self, pivot):
        self.thing.pivot = pivot

    def split(self, count, size, paths):
        """``count`` copies of the thing of a ``size``, each moved by ``paths(k)``, (F, 3)."""
        for k in range(count):
            piece = Body.at((0, 0, 0), self.frames, size)
            piece.place += paths(k)
            self.yaw(np.full(self.frames, self.rng.uniform(0, 2 * np.pi)), piece)
            self.pieces.append(piece)

    def outward(self, k, count):
        """The k-th of ``count`` directions all around."""
        angle = self.turned + 2 * np.pi * k / count
        return np.array([np.cos(angle), np.sin(angle), 0])

    def towards(self):
        """Face the other."""
        self.u = self.way

    @property
    def gap(self):
        """The way until the thing touches the other, for `go`."""
        return (np.linalg.norm(self.other.place[0]) - 0.5) / self.amount


def _approach(p, curve):
    p.towards()
    p.go(p.gap * curve)


def _push(p, curve, back=0.0):
    """Go to the other, then ``curve`` moves both."""
    p.towards()
    p.go(p.gap * p.part(0, 0.35) + curve * (1 - back))
    p.go(curve, body=p.other)


def _strike(p, after, hit=0.4, recoil=0.3):
    """Hit the other at time ``hit``; ``after(s)`` moves the other, ``s`` from 0 to 1."""
    p.towards()
    p.go(-0.5 * (1 - p.part(0, hit)) + p.gap * p.part(0, hit) - recoil * p.part(hit, min(1, hit + 0.3)))
    after(p.part(hit))


def _throw(p, height, distance, spin):
    """The other flies off from beside the thing."""
    p.towards()
    s = p.part(0.3)
    p.go(0.15 * p.part(0, 0.3))
    p.go(distance * s, body=p.other)
    p.up(height * 4 * s * (1 - s) + 0.3 * p.part(0, 0.3) * (1 - s), p.other)
    p.pitch(spin * s, body=p.other)


def _pair(p, behind, path):
    """Both go along ``path`` (F, 3), the thing ``behind`` as a share of time."""
    later = np.clip(p.t - behind, 0, 1)
    p.other.place = path(p.t)
    p.thing.place = path(later)


def _line(p):
    return lambda s: np.multiply.outer(2.6 * (s - 0.35), p.u)


def _bend(p):
    n = p.across()
    return lambda s: np.multiply.outer(2.2 * (s - 0.35), p.u) + np.multiply.outer(0.55 * np.sin(5 * s), n)


def _flee(p):
    return lambda s: np.multiply.outer(3.4 * (s - 0.4), p.u) + np.multiply.outer(0.5 * np.sin(9 * s), p.across())


VERBNET = {  # class -> gerund of its member -> motion
    "escape-51.1": {
        "rising": lambda p: p.up(1.3 * p.t),
        "ascending": lambda p: (p.up(1.2 * p.ease), p.go(0.7 * (p.t - 0.5))),
        "climbing": lambda p: (p.up(1.2 * p.steps(4)), p.go(0.8 * p.part(0.1) - 0.4)),
        "falling": lambda p: p.up(1.4 * (1 - np.clip(1.2 * p.t, 0, 1) ** 2)),
        "descending": lambda p: (p.up(1.2 * (1 - p.ease)), p.go(0.7 * (p.t - 0.5))),
        "plunging": lambda p: (p.up(1.5 - 2.4 * p.t**2), p.pitch(2.6 * p.ease)),
        "tumbling": lambda p: (p.up(1.1 * (1 - p.t**2)), p.go(p.t - 0.5), p.pitch(11 * p.t)),
        "advancing": lambda p: p.go(-1.5 * (p.t - 0.5), p.away),
        "receding": lambda p: p.go(2.6 * p.t - 0.5, p.away),
        "retreating": lambda p: (p.towards(), p.go(0.35 - 1.3 * p.t)),
        "approaching": lambda p: (p.go(np.full(p.frames, -0.6), p.way), _approach(p, p.t), p.go(0.6 * p.t)),
        "arriving": lambda p: (p.towards(), p.go(-2.2 * (1 - p.part(0, 0.7)) + 0.25)),
        "departing": lambda p: (p.towards(), p.go(0.3 - 2.4 * p.part(0.3))),
        "entering": lambda p: p.go(-2.4 * (1 - p.part(0, 0.8))),
        "exiting": lambda p: p.go(2.6 * p.part(0.2)),
        "returning": lambda p: p.go(1.3 * np.sin(np.pi * p.t)),
        "crossing": lambda p: p.go(2.4 * (p.t - 0.5), np.array([-p.away[1], p.away[0], 0])),
        "passing": lambda p: (p.towards(), p.go(np.full(p.frames, 0.45), p.across()), p.go(2.4 * (p.t - 0.1))),
        "fleeing": lambda p: _pair(p, -0.2, _flee(p)),
    },
    "roll-51.3.1": {
        "soaring": lambda p: (p.up(1.6 * p.t**2), p.go(1.4 * (p.t - 0.5)), p.pitch(-0.5 * p.ease)),
        "dropping": lambda p: p.up(1.1 * (1 - p.part(0.4, 0.75) ** 2)),
        "bouncing": lambda p: p.up(0.9 * (1 - 0.6 * p.t) * p.hops(3, 4)),
        "floating": lambda p: (p.up(0.7 + 0.08 * p.wave(1, 1.5)), p.go(0.4 * (p.t - 0.5))),
        "drifting": lambda p: (p.go(0.8 * (p.t - 0.5)), p.go(0.15 * p.wave(0.7, 1.2), p.across()), p.yaw(0.6 * p.t)),
        "gliding": lambda p: (p.up(0.9 * (1 - p.t)), p.go(1.8 * (p.t - 0.5)), p.pitch(np.full(p.frames, 0.25))),
        "spinning": lambda p: p.yaw(p.rng.choice([-1, 1]) * 13 * p.t),
        "rotating": lambda p: p.yaw(p.rng.choice([-1, 1]) * 5 * p.t),
        "turning": lambda p: p.yaw(p.rng.choice([-1, 1]) * 1.8 * p.part(0.2, 0.8)),
        "twirling": lambda p: (p.yaw(15 * p.t), p.up(0.3 * p.hops(2, 3))),
        "whirling": lambda p: (p.yaw(14 * p.t), p.go(0.3 * np.cos(11 * p.t)), p.go(0.3 * np.sin(11 * p.t), p.across())),
        "spiraling": lambda p: (
            p.go(0.5 * np.cos(11 * p.t)), p.go(0.5 * np.sin(11 * p.t), p.across()), p.up(1.3 * p.t),
        ),
        "revolving": lambda p: (
            p.go(0.55 * np.cos(6.3 * p.t)), p.go(0.55 * np.sin(6.3 * p.t), p.across()), p.yaw(6.3 * p.t),
        ),
        "twisting": lambda p: p.yaw(1.3 * p.wave(1.5, 2.5)),
        "swinging": lambda p: (p.stand(5), p.up(np.full(p.frames, 0.25)), p.pitch(0.55 * p.wave(1, 2))),
        "undulating": lambda p: (
            p.go(1.4 * (p.t - 0.5)), p.up(0.15 + 0.15 * p.wave(2, 3)), p.pitch(0.3 * p.wave(2, 3)),
        ),
        "moving": lambda p: p.go(1.4 * (p.t - 0.5)),
        "sliding": lambda p: p.go(1.7 * (1 - (1 - p.t) ** 2) - 0.9),
        "rolling": lambda p: (p.go(1.8 * (p.t - 0.5)), p.pitch(5.5 * p.t)),
    },
    "put_direction-9.4": {
        "lifting": lambda p: (p.up(0.7 * p.part(0.2, 0.8)), setattr(p.other, "place", p.thing.place + p.top)),
        "raising": lambda p: p.up(0.75 * p.part(0.1, 0.6)),
        "hoisting": lambda p: (p.up(1.1 * p.steps(6)), p.pitch(0.12 * p.wave(3, 4))),
        "lowering": lambda p: p.up(0.8 * (1 - p.part(0.1, 0.9))),
    },
    "throw-17.1": {
        "launching": lambda p: p.up(2.6 * p.part(0.35) ** 2),
        "tipping": lambda p: (p.stand(0), p.pitch(0.9 * p.part(0.2, 0.8) ** 2)),
        "flipping": lambda p: (p.up(0.9 * p.hops(1, 1)), p.pitch(2 * np.pi * p.ease)),
        "kicking": lambda p: _strike(
            p, lambda s: (p.go(1.6 * s, body=p.other), p.up(2.4 * s * (1 - s), p.other)), hit=0.3, recoil=0.1,
        ),
        "throwing": lambda p: _throw(p, 0.7, 1.2, 4),
        "tossing": lambda p: _throw(p, 0.9, 0.4, 3),
        "hurling": lambda p: _throw(p, 0.5, 2.4, 8),
    },
    "calibratable_cos-45.6.1": {
        "plummeting": lambda p: (p.up(1.9 * (1 - p.part(0.3, 0.7) ** 2))),
        "seesawing": lambda p: ((h := p.wave(1, 2)), p.up(0.4 + 0.35 * h), p.up(0.4 - 0.35 * h, p.other)),
        "growing": lambda p: p.grow(0.45 + 1.0 * p.t),
        "swelling": lambda p: p.grow(0.8 + 0.9 * p.ease, 0.8 + 0.9 * p.ease, 1 + 0.1 * p.t),
        "dwindling": lambda p: (p.grow(1.2 - 1.1 * p.t), setattr(p.thing, "alpha", 1 - 0.6 * p.t)),
        "multiplying": lambda p: p.split(
            5, 0.5, lambda k: np.multiply.outer(0.7 * np.clip(5 * p.t - k, 0, 1), p.outward(k, 5)),
        ),
    },
    "meander-47.7": {
        "diving": lambda p: (p.up(0.5 + 1.5 * p.t - 3.0 * p.t**2), p.go(1.2 * (p.t - 0.5)), p.pitch(2.4 * p.ease)),
    },
    "put_spatial-9.2": {
        "tilting": lambda p: (p.stand(0), p.pitch(0.5 * p.ease)),
        "leaning": lambda p: (p.stand(0), p.pitch(0.35 * p.part(0, 0.4))),
    },
    "run-51.3.2": {
        "jumping": lambda p: p.up(0.8 * p.hops(2, 2)),
        "hopping": lambda p: (p.up(0.35 * p.hops(4, 5)), p.go(1.2 * (p.t - 0.5))),
        "leaping": lambda p: (p.up(0.9 * p.hops(1, 1)), p.go(1.6 * (p.t - 0.5))),
        "skipping": lambda p: (p.up(0.25 * p.hops(3, 4)), p.go(1.5 * (p.t - 0.5)), p.yaw(0.4 * p.wave(2, 3))),
        "vaulting": lambda p: (
            p.towards(), p.go(2.0 * (p.t - 0.03)), p.up(1.1 * p.hops(1, 1)), p.go(np.full(p.frames, -0.1)),
        ),
        "flying": lambda p: (p.up(0.95 + 0.15 * p.wave(1, 2)), p.go(2.0 * (p.t - 0.5))),
        "somersaulting": lambda p: (p.go(1.4 * (p.t - 0.5)), p.pitch(4 * np.pi * p.t), p.up(0.3 * p.hops(2, 2))),
        "racing": lambda p: p.go(4.0 * (p.t - 0.5)),
        "rushing": lambda p: p.go(3.4 * (p.ease - 0.5)),
        "speeding": lambda p: p.go(3.8 * (p.t**2 - 0.35)),
        "dashing": lambda p: p.go(2.6 * (p.part(0.35, 0.65) - 0.5)),
        "darting": lambda p: p.thing.place.__iadd__(0.8 * p.noise(7) * (1, 1, 0)),
        "crawling": lambda p: (p.go(0.7 * (p.t - 0.5)), (s := p.wave(3, 4)), p.grow(1 + 0.15 * s, 1, 0.6 - 0.1 * s)),
        "creeping": lambda p: (p.go(0.35 * (p.t - 0.5)), p.grow(1.1, 1.1, 0.7)),
        "inching": lambda p: (p.go(0.5 * (p.steps(4) - 0.5)), p.grow(1 + 0.15 * p.wave(4, 4))),
        "marching": lambda p: (p.go(1.2 * (p.t - 0.5)), p.up(0.12 * p.hops(6, 7))),
        "strolling": lambda p: (p.go(0.9 * (p.t - 0.5)), p.up(0.06 * p.hops(4, 5)), p.roll(0.1 * p.wave(2, 2.5))),
        "wandering": lambda p: p.thing.place.__iadd__(0.75 * p.noise(4) * (1, 1, 0)),
        "meandering": lambda p: (p.go(1.4 * (p.t - 0.5)), p.go(0.4 * p.wave(1, 1.5), p.across())),
        "zigzagging": lambda p: (p.go(1.6 * (p.t - 0.5)), p.go(0.6 * np.arcsin(p.wave(2, 3)) / np.pi * 2, p.across())),
        "swerving": lambda p: (
            p.go(2.0 * (p.t - 0.5)), p.go(0.8 * p.rng.choice([-1, 1]) * p.part(0.4, 0.7), p.across()),
            p.yaw(0.8 * p.part(0.4, 0.6)),
        ),
        "staggering": lambda p: (
            p.go(0.9 * (p.t - 0.5)), p.thing.place.__iadd__(0.2 * p.noise(6) * (1, 1, 0)), p.stand(0),
            p.roll(0.35 * p.wave(2, 3)),
        ),
        "limping": lambda p: (p.go(1.0 * (p.steps(4) - 0.5)), p.stand(0), p.roll(0.3 * np.abs(p.wave(2, 2)))),
        "lurching": lambda p: (p.go(1.3 * (p.steps(3) - 0.5)), p.stand(0), p.pitch(0.4 * p.wave(3, 3))),
    },
    "modes_of_being_with_motion-47.3": {
        "bobbing": lambda p: p.up(0.25 + 0.16 * p.wave(2, 3)),
        "hovering": lambda p: (p.up(np.full(p.frames, 0.8)), p.go(0.03 * p.wave(2, 3))),
        "fluttering": lambda p: (p.up(1.2 * (1 - p.t)), p.go(0.3 * p.wave(2.5, 3.5)), p.pitch(0.7 * p.wave(2.5, 3.5))),
        "swirling": lambda p: (
            p.go(0.75 * (1 - p.t) * np.cos(13 * p.t)), p.go(0.75 * (1 - p.t) * np.sin(13 * p.t), p.across()),
        ),
        "bowing": lambda p: (p.stand(0), p.pitch(0.9 * np.sin(np.pi * p.ease))),
        "rocking": lambda p: (p.stand(0), p.pitch(0.4 * p.wave(2, 3))),
        "swaying": lambda p: (p.stand(0), p.roll(0.3 * p.wave(1, 1.5))),
        "teetering": lambda p: (
            p.stand(0), p.pitch(0.3 * p.wave(1, 2) + 0.25 * p.wave(3, 4)), p.go(0.05 * p.wave(1, 2)),
        ),
        "wobbling": lambda p: (p.stand(0), p.pitch(0.3 * p.wave(2, 3)), p.roll(0.3 * p.wave(2, 3))),
        "oscillating": lambda p: p.go(0.5 * p.wave(1.5, 2.5)),
        "waving": lambda p: (p.stand(0), p.roll(0.6 * p.wave(2.5, 3.5)), p.grow(0.8, 0.8, 1.2)),
        "shaking": lambda p: p.go(0.15 * p.wave(5, 8)),
        "trembling": lambda p: p.thing.place.__iadd__(p.jitter(0.04) * (1, 1, 0)),
        "vibrating": lambda p: (p.thing.place.__iadd__(p.jitter(0.05) * (1, 1, 0)), p.yaw(p.jitter(0.1)[:, 0])),
        "quivering": lambda p: p.grow(*(1 + p.jitter(0.08).T)),
        "wiggling": lambda p: (p.yaw(0.6 * p.wave(4, 5)), p.go(0.1 * p.wave(4, 5))),
        "pulsating": lambda p: p.grow(1 + 0.25 * p.wave(3, 4)),
    },
    "other_cos-45.4": {
        "sinking": lambda p: (p.up(0.1 - 0.9 * p.ease), p.roll(0.1 * p.wave(1, 2))),
        "accelerating": lambda p: p.go(2.2 * p.t**3 - 1.0),
        "expanding": lambda p: p.grow(0.7 + 1.1 * p.t**2),
        "lengthening": lambda p: p.grow(0.8 + 1.3 * p.t, 0.8, 0.8),
        "widening": lambda p: p.grow(1, 0.6 + 1.2 * p.t, 1),
        "flattening": lambda p: p.grow(1 + 0.4 * p.ease, 1 + 0.4 * p.ease, 1 - 0.85 * p.ease),
        "collapsing": lambda p: (
            (s := p.part(0.4, 0.65)), p.grow(1 + 0.4 * s, 1 + 0.4 * s, 1.3 - 1.1 * s), p.yaw(0.6 * s),
        ),
        "brightening": lambda p: setattr(p.thing, "light", 0.3 + 1.3 * p.t),
        "darkening": lambda p: setattr(p.thing, "light", 1.3 - 1.2 * p.t),
        "fading": lambda p: setattr(p.thing, "alpha", 1 - 0.9 * p.t),
        "exploding": lambda p: p.split(
            5, 0.45,
            lambda k: np.multiply.outer(0.1 + 1.7 * (s := p.part(0.35, 0.8)), p.outward(k, 5))
            + np.multiply.outer(2.4 * s * (1 - s) + 0.3 * (k % 2) * s, (0, 0, 1)),
        ),
    },
    "contiguous_location-47.8": {
        "circling": lambda p: (
            p.other.place.__imul__(0), p.go(0.85 * np.cos(6 * p.t)), p.go(0.85 * np.sin(6 * p.t), p.across()),
        ),
    },
    "stop-55.4": {
        "stopping": lambda p: p.go(2.0 * np.minimum(p.t, 0.5) - 1.0),
    },
    "chase-51.6": {
        "following": lambda p: _pair(p, 0.3, _line(p)),
        "chasing": lambda p: _pair(p, 0.2, _flee(p)),
        "trailing": lambda p: _pair(p, 0.35, _bend(p)),
    },
    "avoid-52": {
        "dodging": lambda p: (p.towards(), p.go(-2.2 * p.t, body=p.other), p.go(0.75 * p.part(0.3, 0.55), p.across())),
    },
    "push-12": {
        "pushing": lambda p: _push(p, 0.7 * p.part(0.35)),
        "shoving": lambda p: _push(p, 0.9 * p.part(0.35, 0.55), back=0.7),
        "nudging": lambda p: _push(p, 0.2 * p.part(0.4, 0.6)),
        "pulling": lambda p: (p.towards(), p.go(p.gap - 1.1 * p.part(0.25)), p.go(-1.1 * p.part(0.25), body=p.other)),
        "tugging": lambda p: (p.towards(), p.go(p.gap - 0.7 * p.steps(4)), p.go(-0.7 * p.steps(4), body=p.other)),
        "squeezing": lambda p: p.grow(1 - 0.5 * np.sin(np.pi * p.t), 1, 1 + 0.4 * np.sin(np.pi * p.t)),
    },
    "carry-11.4": {
        "carrying": lambda p: (p.go(1.4 * (p.t - 0.5)), setattr(p.other, "place", p.thing.place + p.top)),
    },
    "hit-18.1": {
        "hitting": lambda p: _strike(p, lambda s: p.go(0.5 * s * (2 - s), body=p.other)),
    },
    "bump-18.4": {
        "bumping": lambda p: _strike(p, lambda s: p.go(0.12 * s, body=p.other), hit=0.5),
        "crashing": lambda p: _strike(
            p, lambda s: (p.go(0.7 * s, body=p.other), p.pitch(4 * s, body=p.other), p.pitch(-2 * s)), hit=0.3,
            recoil=0.5,
        ),
        "colliding": lambda p: (
            p.towards(), (s := np.abs(p.t - 0.5) * 1.1), p.go(0.25 - s), p.go(s - 0.25, body=p.other),
        ),
        "knocking": lambda p: (
            setattr(p.other, "pivot", 0), _strike(p, lambda s: p.pitch(1.5 * np.clip(2 * s, 0, 1) ** 2, body=p.other)),
        ),
    },
    "bend-45.2": {
        "inflating": lambda p: p.grow(0.8 + 0.5 * p.ease, 0.8 + 0.5 * p.ease, 0.2 + 1.2 * p.ease),
        "shrinking": lambda p: p.grow(1.35 - 1.0 * p.t),
        "contracting": lambda p: p.grow(1.3 - 0.65 * p.ease),
        "deflating": lambda p: p.grow(1.2 + 0.2 * p.ease, 1.2 + 0.2 * p.ease, 1.3 - 1.1 * p.ease),
        "stretching": lambda p: p.grow(0.8 + 1.2 * p.ease, 0.9 - 0.2 * p.ease, 0.9 - 0.2 * p.ease),
        "compressing": lambda p: p.grow(1, 1, 1 - 0.6 * p.part(0.2, 0.8)),
    },
    "light_emission-43.1": {
        "blinking": lambda p: setattr(p.thing, "light", np.where(p.wave(3, 5) > 0, 1.5, 0.3)),
        "flashing": lambda p: setattr(p.thing, "light", 0.8 + 1.2 * (p.wave(2, 4) > 0.7)),
        "flickering": lambda p: setattr(p.thing, "light", 0.9 + p.jitter(0.6)[:, 0]),
        "glowing": lambda p: setattr(p.thing, "light", 1.3 + 0.3 * p.wave(0.5, 1)),
    },
    "appear-48.1.1": {
        "appearing": lambda p: setattr(p.thing, "alpha", p.part(0.3, 0.6)),
        "emerging": lambda p: p.up(0.9 * (p.ease - 1)),
    },
    "disappearance-48.2": {
        "vanishing": lambda p: setattr(p.thing, "alpha", 1.0 * (p.t < p.rng.uniform(0.4, 0.6))),
        "disappearing": lambda p: (setattr(p.thing, "alpha", 1 - p.part(0.4, 0.8)), p.grow(1 - 0.3 * p.part(0.4, 0.8))),
    },
    "split-23.2": {
        "splitting": lambda p: p.split(2, 0.6, lambda k: np.multiply.outer(0.2 + 0.6 * p.part(0.3), p.outward(k, 2))),
    },
    "separate-23.1": {
        "separating": lambda p: p.split(2, 0.8, lambda k: np.multiply.outer(0.3 + 0.7 * p.t, p.outward(k, 2))),
    },
    "spray-9.7": {
        "scattering": lambda p: p.split(
            5, 0.45, lambda k: np.multiply.outer(0.15 + 1.0 * p.rng.uniform(0.6, 1.1) * p.part(0.2), p.outward(k, 5)),
        ),
    },
    "break-45.1": {
        "shattering": lambda p: p.split(
            5, 0.45,
            lambda k: np.multiply.outer(0.12 + 0.4 * p.part(0.5, 0.7), p.outward(k, 5))
            + np.multiply.outer((1.0 if k else 1.2) * (1 - p.part(0.1, 0.5) ** 2), (0, 0, 1)),
        ),
    },
    "herd-47.5.2": {
        "gathering": lambda p: p.split(
            5, 0.45, lambda k: np.multiply.outer(0.25 + 0.8 * (1 - p.ease), p.outward(k, 5)),
        ),
        "assembling": lambda p: p.split(
            4, 0.5,
            lambda k: np.multiply.outer(1.1 * (1 - p.part(k / 5, k / 5 + 0.3)), p.outward(k, 4))
            + np.multiply.outer(0.42 * k * p.part(k / 5, k / 5 + 0.3), (0, 0, 1)),
        ),
    },
    "mix-22.1": {
        "joining": lambda p: p.split(
            2, 0.7, lambda k: np.multiply.outer(0.27 + 0.8 * (1 - p.part(0, 0.7)), p.outward(k, 2)),
        ),
        "mixing": lambda p: p.split(5, 0.45, lambda k: 0.6 * p.noise(6) * (1, 1, 0)),
    },
}  # fmt: skip
VERBS = {name: motion for members in VERBNET.values() for name, motion in members.items()}


def perform(verb, frames, away, rng):
    """The `Play` of a verb in ``frames`` frames, before a camera that looks along ``away``."""
    play = Play(frames, away, rng)
    VERBS[verb](play)
    return play
