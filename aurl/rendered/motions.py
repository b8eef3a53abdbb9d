"""The motions of the built-in benchmark's verbs: a line of kinematics for each, for a thing and another beside it.

The verbs are members of classes of VerbNet 3.4 (Kipper Schuler 2005, after Levin 1993) whose motion one or two solid
things can show. The list and the motions were fixed before anything was trained on them. Names of classes use
the verb's gerund. Space is in meters with z upward, time runs from 0 to 1 over F frames, and every performance
has an amount, a direction and a phase of its own.
"""

from dataclasses import dataclass

import numpy as np

UP = (0, 0, 1)


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

    @property
    def is_repeated(self):
        """bool (F,), True for a frame that is the same as the one before."""
        states = (self.place, self.turn, self.size, self.light, self.alpha)
        states = np.concatenate([np.reshape(state, (len(self.place), -1)) for state in states], axis=1)
        return np.append(False, (states[1:] == states[:-1]).all(1))


def along(distance, direction):
    """Shifts (F, 3) by ``distance`` (F,) in a direction (3,); a scalar gives one shift (3,)."""
    return np.multiply.outer(distance, direction)


class Performance:
    """One performance: ``thing`` performs the verb; ``other`` stands still unless the verb involves both.

    ``pieces`` are copies of the thing; if there are any, they are drawn in its place. Random values are drawn from
    ``rng`` in the order in which the verb asks for them.

    Args:
        verb: a key of `VERBS`.
        frames: F, two or more.
        view: (3,) the horizontal direction in which the camera looks.
        rng: a NumPy generator.
    """

    def __init__(self, verb, frames, view, rng):
        self.rng, self.frames, self.view, self.pieces = rng, frames, view, []
        start, end = rng.uniform(0, 0.1), rng.uniform(0.9, 1)
        self.t = np.clip((np.arange(frames) / (frames - 1) - start) / (end - start), 0, 1)
        self.ease = self.t**2 * (3 - 2 * self.t)  # from 0 to 1, gently at both ends
        self.amount, angle, spot = rng.uniform(0.85, 1.15), *rng.uniform(0, 2 * np.pi, 2)
        self.forward = np.array([np.cos(angle), np.sin(angle), 0])
        self.to_other = np.array([np.cos(spot), np.sin(spot), 0])
        self.thing = Body.at((0, 0, 0), frames)
        self.other = Body.at(rng.uniform(0.85, 1.05) * self.to_other, frames, size=0.75)
        self.turned = rng.uniform(0, 2 * np.pi)
        self.yaw(self.turned)
        self.yaw(rng.uniform(0, 2 * np.pi), self.other)
        VERBS[verb](self)

    # --- curves (F,) over time, from 0 to 1 unless stated otherwise ---

    def ramp(self, begin, end=1.0):
        """Linear between the times ``begin`` and ``end``, constant before and after."""
        return np.clip((self.t - begin) / (end - begin), 0, 1)

    def wave(self, low, high):
        """A sine in [-1, 1] of between ``low`` and ``high`` periods, from a random phase."""
        cycles, phase = self.rng.uniform([low, 0], [high, 1])
        return np.sin(2 * np.pi * (cycles * self.t + phase))

    def hops(self, low, high):
        """Between ``low`` and ``high`` arcs, each from 0 to 1 and back."""
        return np.abs(np.sin(np.pi * self.rng.integers(low, high + 1) * self.t))

    def steps(self, count):
        """``count`` equal steps with a rest after each."""
        done, rest = np.divmod(self.t * count, 1)
        return (done + np.clip(2 * rest, 0, 1)) / count

    def noise(self, knots):
        """(F, 3) a random curve through ``knots`` points of [-1, 1]."""
        points = self.rng.uniform(-1, 1, (knots, 3))
        return np.stack([np.interp(self.t, np.linspace(0, 1, knots), column) for column in points.T], axis=1)

    def jitter(self, size):
        """(F, 3) a new random value in [-size, size] in every frame."""
        return self.rng.uniform(-size, size, (self.frames, 3))

    # --- actions of the thing, or of ``body`` where it is given ---

    def go(self, distance, direction=None, body=None):
        """Move, forward or in another direction, by ``distance`` times the performance's amount."""
        (body or self.thing).place += along(distance * self.amount, self.forward if direction is None else direction)

    def travel(self, distance):
        """Go a distance at constant speed, with its middle at the starting place."""
        self.go(distance * (self.t - 0.5))

    def up(self, height, body=None):
        self.go(height, UP, body)

    def aside(self, distance, body=None):
        """Move to the left of `forward`."""
        self.go(distance, self.left, body)

    def circle(self, radius, angle):
        """Move to a place on a circle around the present one."""
        self.go(radius * np.cos(angle))
        self.aside(radius * np.sin(angle))

    def shift(self, path):
        """Move along the horizontal part of ``path`` (F, 3)."""
        self.thing.place += path * (1, 1, 0)

    def shine(self, light):
        self.thing.light = light

    def fade(self, alpha):
        self.thing.alpha = alpha

    def yaw(self, angle, body=None):
        self._turn(angle, UP, body)

    def pitch(self, angle, body=None):
        """Lean forward by ``angle``."""
        self._turn(angle, self.left, body)

    def roll(self, angle):
        """Lean to the side by ``angle``."""
        self._turn(angle, self.forward)

    def _turn(self, angle, axis, body=None):
        body, (x, y, z) = body or self.thing, axis
        cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        angle = np.broadcast_to(angle, self.frames)[:, None, None]
        body.turn = (np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross) @ body.turn

    def grow(self, x, y=None, z=None):
        """Scale the thing's own axes; ``y`` and ``z`` are ``x`` unless given."""
        factors = [x, x if y is None else y, x if z is None else z]
        self.thing.size = self.thing.size * np.stack([np.broadcast_to(f, self.frames) for f in factors], axis=1)

    def pivot(self, height, body=None):
        """Turn about another point than the middle, see `Body`."""
        (body or self.thing).pivot = height

    def split(self, count, size, path):
        """Replace the thing by ``count`` copies, scaled by ``size``; the k-th moves along ``path(k)``, (F, 3)."""
        for k in range(count):
            piece = Body.at((0, 0, 0), self.frames, size)
            piece.place += path(k)
            self.yaw(self.rng.uniform(0, 2 * np.pi), piece)
            self.pieces.append(piece)

    def outward(self, k, count, distance, height=0.0):
        """Shifts (F, 3) by ``distance`` in the k-th of ``count`` directions all around, and by ``height`` upward."""
        angle = self.turned + 2 * np.pi * k / count
        return along(distance, (np.cos(angle), np.sin(angle), 0)) + along(height, UP)

    @property
    def left(self):
        return np.array([-self.forward[1], self.forward[0], 0])

    def face_other(self):
        self.forward = self.to_other

    @property
    def gap(self):
        """The distance to `go` until the thing touches the other."""
        return (np.linalg.norm(self.other.place[0]) - 0.5) / self.amount

    # --- what several verbs do with both ---

    def carry(self):
        """Put the other on the thing in every frame."""
        self.other.place = self.thing.place + np.array([0, 0, 0.62])

    def push(self, curve, back=0.0):
        """Go to the other, then move it by ``curve`` (F,), and the thing by 1 - ``back`` times as much."""
        self.face_other()
        self.go(self.gap * self.ramp(0, 0.35) + curve * (1 - back))
        self.go(curve, body=self.other)

    def strike(self, after, hit=0.4, recoil=0.3):
        """Hit the other at time ``hit``; ``after(s)`` moves the other, ``s`` from 0 to 1."""
        self.face_other()
        s = self.ramp(0, hit)
        self.go(-0.5 * (1 - s) + self.gap * s - recoil * self.ramp(hit, min(1, hit + 0.3)))
        after(self.ramp(hit))

    def throw(self, height, distance, spin):
        """Let the other fly from its place beside the thing; ``spin`` is in radians."""
        self.face_other()
        begun, s = self.ramp(0, 0.3), self.ramp(0.3)
        self.go(0.15 * begun)
        self.go(distance * s, body=self.other)
        self.up(height * 4 * s * (1 - s) + 0.3 * begun * (1 - s), self.other)
        self.pitch(spin * s, self.other)

    def pair(self, delay, length, begin, bends=0.0, width=0.0):
        """Both go along a bending path of ``length``, the thing with a ``delay`` (a share of time, negative: ahead)."""
        for body, s in ((self.other, self.t), (self.thing, np.clip(self.t - delay, 0, 1))):
            body.place = along(length * (s - begin), self.forward) + along(width * np.sin(bends * s), self.left)


VERBS = {  # gerund -> motion; comments name VerbNet classes, above several verbs or after a single one
    # escape-51.1
    "rising": lambda p: p.up(1.3 * p.t),
    "ascending": lambda p: (p.up(1.2 * p.ease), p.travel(0.7)),
    "climbing": lambda p: (p.up(1.2 * p.steps(4)), p.go(0.8 * p.ramp(0.1) - 0.4)),
    "falling": lambda p: p.up(1.4 * (1 - np.clip(1.2 * p.t, 0, 1) ** 2)),
    "descending": lambda p: (p.up(1.2 * (1 - p.ease)), p.travel(0.7)),
    "plunging": lambda p: (p.up(1.5 - 2.4 * p.t**2), p.pitch(2.6 * p.ease)),
    "tumbling": lambda p: (p.up(1.1 * (1 - p.t**2)), p.travel(1.0), p.pitch(11 * p.t)),
    "advancing": lambda p: p.go(-1.5 * (p.t - 0.5), p.view),
    "receding": lambda p: p.go(2.6 * p.t - 0.5, p.view),
    "retreating": lambda p: (p.face_other(), p.go(0.35 - 1.3 * p.t)),
    "approaching": lambda p: (p.go(-0.6, p.to_other), p.face_other(), p.go(p.gap * p.t), p.go(0.6 * p.t)),
    "arriving": lambda p: (p.face_other(), p.go(-2.2 * (1 - p.ramp(0, 0.7)) + 0.25)),
    "departing": lambda p: (p.face_other(), p.go(0.3 - 2.4 * p.ramp(0.3))),
    "entering": lambda p: p.go(-2.4 * (1 - p.ramp(0, 0.8))),
    "exiting": lambda p: p.go(2.6 * p.ramp(0.2)),
    "returning": lambda p: p.go(1.3 * np.sin(np.pi * p.t)),
    "crossing": lambda p: p.go(2.4 * (p.t - 0.5), np.array([-p.view[1], p.view[0], 0])),
    "passing": lambda p: (p.face_other(), p.aside(0.45), p.go(2.4 * (p.t - 0.1))),
    "fleeing": lambda p: p.pair(-0.2, 3.4, 0.4, 9, 0.5),
    # roll-51.3.1
    "soaring": lambda p: (p.up(1.6 * p.t**2), p.travel(1.4), p.pitch(-0.5 * p.ease)),
    "dropping": lambda p: p.up(1.1 * (1 - p.ramp(0.4, 0.75) ** 2)),
    "bouncing": lambda p: p.up(0.9 * (1 - 0.6 * p.t) * p.hops(3, 4)),
    "floating": lambda p: (p.up(0.7 + 0.08 * p.wave(1, 1.5)), p.travel(0.4)),
    "drifting": lambda p: (p.travel(0.8), p.aside(0.15 * p.wave(0.7, 1.2)), p.yaw(0.6 * p.t)),
    "gliding": lambda p: (p.up(0.9 * (1 - p.t)), p.travel(1.8), p.pitch(0.25)),
    "spinning": lambda p: p.yaw(p.rng.choice([-1, 1]) * 13 * p.t),
    "rotating": lambda p: p.yaw(p.rng.choice([-1, 1]) * 5 * p.t),
    "turning": lambda p: p.yaw(p.rng.choice([-1, 1]) * 1.8 * p.ramp(0.2, 0.8)),
    "twirling": lambda p: (p.yaw(15 * p.t), p.up(0.3 * p.hops(2, 3))),
    "whirling": lambda p: (p.yaw(14 * p.t), p.circle(0.3, 11 * p.t)),
    "spiraling": lambda p: (p.circle(0.5, 11 * p.t), p.up(1.3 * p.t)),
    "revolving": lambda p: (p.circle(0.55, 6.3 * p.t), p.yaw(6.3 * p.t)),
    "twisting": lambda p: p.yaw(1.3 * p.wave(1.5, 2.5)),
    "swinging": lambda p: (p.pivot(5), p.up(0.25), p.pitch(0.55 * p.wave(1, 2))),
    "undulating": lambda p: (p.travel(1.4), p.up(0.15 + 0.15 * p.wave(2, 3)), p.pitch(0.3 * p.wave(2, 3))),
    "moving": lambda p: p.travel(1.4),
    "sliding": lambda p: p.go(1.7 * (1 - (1 - p.t) ** 2) - 0.9),
    "rolling": lambda p: (p.travel(1.8), p.pitch(5.5 * p.t)),
    # put_direction-9.4
    "lifting": lambda p: (p.up(0.7 * p.ramp(0.2, 0.8)), p.carry()),
    "raising": lambda p: p.up(0.75 * p.ramp(0.1, 0.6)),
    "hoisting": lambda p: (p.up(1.1 * p.steps(6)), p.pitch(0.12 * p.wave(3, 4))),
    "lowering": lambda p: p.up(0.8 * (1 - p.ramp(0.1, 0.9))),
    # throw-17.1
    "launching": lambda p: p.up(2.6 * p.ramp(0.35) ** 2),
    "tipping": lambda p: (p.pivot(0), p.pitch(0.9 * p.ramp(0.2, 0.8) ** 2)),
    "flipping": lambda p: (p.up(0.9 * p.hops(1, 1)), p.pitch(2 * np.pi * p.ease)),
    "kicking": lambda p: p.strike(lambda s: (p.go(1.6 * s, body=p.other), p.up(2.4 * s * (1 - s), p.other)), hit=0.3,
        recoil=0.1),
    "throwing": lambda p: p.throw(0.7, 1.2, 4),
    "tossing": lambda p: p.throw(0.9, 0.4, 3),
    "hurling": lambda p: p.throw(0.5, 2.4, 8),
    # calibratable_cos-45.6.1
    "plummeting": lambda p: p.up(1.9 * (1 - p.ramp(0.3, 0.7) ** 2)),
    "seesawing": lambda p: ((h := p.wave(1, 2)), p.up(0.4 + 0.35 * h), p.up(0.4 - 0.35 * h, p.other)),
    "growing": lambda p: p.grow(0.45 + 1.0 * p.t),
    "swelling": lambda p: p.grow(0.8 + 0.9 * p.ease, 0.8 + 0.9 * p.ease, 1 + 0.1 * p.t),
    "dwindling": lambda p: (p.grow(1.2 - 1.1 * p.t), p.fade(1 - 0.6 * p.t)),
    "multiplying": lambda p: p.split(5, 0.5, lambda k: p.outward(k, 5, 0.7 * np.clip(5 * p.t - k, 0, 1))),
    "diving": lambda p: (p.up(0.5 + 1.5 * p.t - 3.0 * p.t**2), p.travel(1.2), p.pitch(2.4 * p.ease)),  # meander-47.7
    # put_spatial-9.2
    "tilting": lambda p: (p.pivot(0), p.pitch(0.5 * p.ease)),
    "leaning": lambda p: (p.pivot(0), p.pitch(0.35 * p.ramp(0, 0.4))),
    # run-51.3.2
    "jumping": lambda p: p.up(0.8 * p.hops(2, 2)),
    "hopping": lambda p: (p.up(0.35 * p.hops(4, 5)), p.travel(1.2)),
    "leaping": lambda p: (p.up(0.9 * p.hops(1, 1)), p.travel(1.6)),
    "skipping": lambda p: (p.up(0.25 * p.hops(3, 4)), p.travel(1.5), p.yaw(0.4 * p.wave(2, 3))),
    "vaulting": lambda p: (p.face_other(), p.go(2.0 * (p.t - 0.03)), p.up(1.1 * p.hops(1, 1)), p.go(-0.1)),
    "flying": lambda p: (p.up(0.95 + 0.15 * p.wave(1, 2)), p.travel(2.0)),
    "somersaulting": lambda p: (p.travel(1.4), p.pitch(4 * np.pi * p.t), p.up(0.3 * p.hops(2, 2))),
    "racing": lambda p: p.travel(4.0),
    "rushing": lambda p: p.go(3.4 * (p.ease - 0.5)),
    "speeding": lambda p: p.go(3.8 * (p.t**2 - 0.35)),
    "dashing": lambda p: p.go(2.6 * (p.ramp(0.35, 0.65) - 0.5)),
    "darting": lambda p: p.shift(0.8 * p.noise(7)),
    "crawling": lambda p: (p.travel(0.7), (s := p.wave(3, 4)), p.grow(1 + 0.15 * s, 1, 0.6 - 0.1 * s)),
    "creeping": lambda p: (p.travel(0.35), p.grow(1.1, 1.1, 0.7)),
    "inching": lambda p: (p.go(0.5 * (p.steps(4) - 0.5)), p.grow(1 + 0.15 * p.wave(4, 4))),
    "marching": lambda p: (p.travel(1.2), p.up(0.12 * p.hops(6, 7))),
    "strolling": lambda p: (p.travel(0.9), p.up(0.06 * p.hops(4, 5)), p.roll(0.1 * p.wave(2, 2.5))),
    "wandering": lambda p: p.shift(0.75 * p.noise(4)),
    "meandering": lambda p: (p.travel(1.4), p.aside(0.4 * p.wave(1, 1.5))),
    "zigzagging": lambda p: (p.travel(1.6), p.aside(0.6 * np.arcsin(p.wave(2, 3)) / np.pi * 2)),
    "swerving": lambda p: (p.travel(2.0), p.aside(0.8 * p.rng.choice([-1, 1]) * p.ramp(0.4, 0.7)),
        p.yaw(0.8 * p.ramp(0.4, 0.6))),
    "staggering": lambda p: (p.travel(0.9), p.shift(0.2 * p.noise(6)), p.pivot(0), p.roll(0.35 * p.wave(2, 3))),
    "limping": lambda p: (p.go(1.0 * (p.steps(4) - 0.5)), p.pivot(0), p.roll(0.3 * np.abs(p.wave(2, 2)))),
    "lurching": lambda p: (p.go(1.3 * (p.steps(3) - 0.5)), p.pivot(0), p.pitch(0.4 * p.wave(3, 3))),
    # modes_of_being_with_motion-47.3
    "bobbing": lambda p: p.up(0.25 + 0.16 * p.wave(2, 3)),
    "hovering": lambda p: (p.up(0.8), p.go(0.03 * p.wave(2, 3))),
    "fluttering": lambda p: (p.up(1.2 * (1 - p.t)), p.go(0.3 * p.wave(2.5, 3.5)), p.pitch(0.7 * p.wave(2.5, 3.5))),
    "swirling": lambda p: p.circle(0.75 * (1 - p.t), 13 * p.t),
    "bowing": lambda p: (p.pivot(0), p.pitch(0.9 * np.sin(np.pi * p.ease))),
    "rocking": lambda p: (p.pivot(0), p.pitch(0.4 * p.wave(2, 3))),
    "swaying": lambda p: (p.pivot(0), p.roll(0.3 * p.wave(1, 1.5))),
    "teetering": lambda p: (p.pivot(0), p.pitch(0.3 * p.wave(1, 2) + 0.25 * p.wave(3, 4)), p.go(0.05 * p.wave(1, 2))),
    "wobbling": lambda p: (p.pivot(0), p.pitch(0.3 * p.wave(2, 3)), p.roll(0.3 * p.wave(2, 3))),
    "oscillating": lambda p: p.go(0.5 * p.wave(1.5, 2.5)),
    "waving": lambda p: (p.pivot(0), p.roll(0.6 * p.wave(2.5, 3.5)), p.grow(0.8, 0.8, 1.2)),
    "shaking": lambda p: p.go(0.15 * p.wave(5, 8)),
    "trembling": lambda p: p.shift(p.jitter(0.04)),
    "vibrating": lambda p: (p.shift(p.jitter(0.05)), p.yaw(p.jitter(0.1)[:, 0])),
    "quivering": lambda p: p.grow(*(1 + p.jitter(0.08).T)),
    "wiggling": lambda p: (p.yaw(0.6 * p.wave(4, 5)), p.go(0.1 * p.wave(4, 5))),
    "pulsating": lambda p: p.grow(1 + 0.25 * p.wave(3, 4)),
    # other_cos-45.4
    "sinking": lambda p: (p.up(0.1 - 0.9 * p.ease), p.roll(0.1 * p.wave(1, 2))),
    "accelerating": lambda p: p.go(2.2 * p.t**3 - 1.0),
    "expanding": lambda p: p.grow(0.7 + 1.1 * p.t**2),
    "lengthening": lambda p: p.grow(0.8 + 1.3 * p.t, 0.8, 0.8),
    "widening": lambda p: p.grow(1, 0.6 + 1.2 * p.t, 1),
    "flattening": lambda p: p.grow(1 + 0.4 * p.ease, 1 + 0.4 * p.ease, 1 - 0.85 * p.ease),
    "collapsing": lambda p: ((s := p.ramp(0.4, 0.65)), p.grow(1 + 0.4 * s, 1 + 0.4 * s, 1.3 - 1.1 * s), p.yaw(0.6 * s)),
    "brightening": lambda p: p.shine(0.3 + 1.3 * p.t),
    "darkening": lambda p: p.shine(1.3 - 1.2 * p.t),
    "fading": lambda p: p.fade(1 - 0.9 * p.t),
    "exploding": lambda p: p.split(5, 0.45, lambda k: p.outward(k, 5, 0.1 + 1.7 * (s := p.ramp(0.35, 0.8)),
        2.4 * s * (1 - s) + 0.3 * (k % 2) * s)),
    "circling": lambda p: (p.other.place.__imul__(0), p.circle(0.85, 6 * p.t)),  # contiguous_location-47.8
    "stopping": lambda p: p.go(2.0 * np.minimum(p.t, 0.5) - 1.0),  # stop-55.4
    # chase-51.6
    "following": lambda p: p.pair(0.3, 2.6, 0.35),
    "chasing": lambda p: p.pair(0.2, 3.4, 0.4, 9, 0.5),
    "trailing": lambda p: p.pair(0.35, 2.2, 0.35, 5, 0.55),
    # avoid-52
    "dodging": lambda p: (p.face_other(), p.go(-2.2 * p.t, body=p.other), p.aside(0.75 * p.ramp(0.3, 0.55))),
    # push-12
    "pushing": lambda p: p.push(0.7 * p.ramp(0.35)),
    "shoving": lambda p: p.push(0.9 * p.ramp(0.35, 0.55), back=0.7),
    "nudging": lambda p: p.push(0.2 * p.ramp(0.4, 0.6)),
    "pulling": lambda p: (p.face_other(), p.go(p.gap - 1.1 * p.ramp(0.25)), p.go(-1.1 * p.ramp(0.25), body=p.other)),
    "tugging": lambda p: (p.face_other(), p.go(p.gap - 0.7 * p.steps(4)), p.go(-0.7 * p.steps(4), body=p.other)),
    "squeezing": lambda p: p.grow(1 - 0.5 * np.sin(np.pi * p.t), 1, 1 + 0.4 * np.sin(np.pi * p.t)),
    "carrying": lambda p: (p.travel(1.4), p.carry()),  # carry-11.4
    "hitting": lambda p: p.strike(lambda s: p.go(0.5 * s * (2 - s), body=p.other)),  # hit-18.1
    # bump-18.4
    "bumping": lambda p: p.strike(lambda s: p.go(0.12 * s, body=p.other), hit=0.5),
    "crashing": lambda p: p.strike(lambda s: (p.go(0.7 * s, body=p.other), p.pitch(4 * s, body=p.other),
        p.pitch(-2 * s)), hit=0.3, recoil=0.5),
    "colliding": lambda p: (p.face_other(), (s := np.abs(p.t - 0.5) * 1.1), p.go(0.25 - s), p.go(s - 0.25,
        body=p.other)),
    "knocking": lambda p: (p.pivot(0, p.other), p.strike(lambda s: p.pitch(1.5 * np.clip(2 * s, 0, 1) ** 2, p.other))),
    # bend-45.2
    "inflating": lambda p: p.grow(0.8 + 0.5 * p.ease, 0.8 + 0.5 * p.ease, 0.2 + 1.2 * p.ease),
    "shrinking": lambda p: p.grow(1.35 - 1.0 * p.t),
    "contracting": lambda p: p.grow(1.3 - 0.65 * p.ease),
    "deflating": lambda p: p.grow(1.2 + 0.2 * p.ease, 1.2 + 0.2 * p.ease, 1.3 - 1.1 * p.ease),
    "stretching": lambda p: p.grow(0.8 + 1.2 * p.ease, 0.9 - 0.2 * p.ease, 0.9 - 0.2 * p.ease),
    "compressing": lambda p: p.grow(1, 1, 1 - 0.6 * p.ramp(0.2, 0.8)),
    # light_emission-43.1
    "blinking": lambda p: p.shine(np.where(p.wave(3, 5) > 0, 1.5, 0.3)),
    "flashing": lambda p: p.shine(0.8 + 1.2 * (p.wave(2, 4) > 0.7)),
    "flickering": lambda p: p.shine(0.9 + p.jitter(0.6)[:, 0]),
    "glowing": lambda p: p.shine(1.3 + 0.3 * p.wave(0.5, 1)),
    # appear-48.1.1
    "appearing": lambda p: p.fade(p.ramp(0.3, 0.6)),
    "emerging": lambda p: p.up(0.9 * (p.ease - 1)),
    # disappearance-48.2
    "vanishing": lambda p: p.fade(1.0 * (p.t < p.rng.uniform(0.4, 0.6))),
    "disappearing": lambda p: (p.fade(1 - p.ramp(0.4, 0.8)), p.grow(1 - 0.3 * p.ramp(0.4, 0.8))),
    "splitting": lambda p: p.split(2, 0.6, lambda k: p.outward(k, 2, 0.2 + 0.6 * p.ramp(0.3))),  # split-23.2
    "separating": lambda p: p.split(2, 0.8, lambda k: p.outward(k, 2, 0.3 + 0.7 * p.t)),  # separate-23.1
    # spray-9.7
    "scattering": lambda p: p.split(5, 0.45, lambda k: p.outward(k, 5, 0.15 + 1.0 * p.rng.uniform(0.6,
        1.1) * p.ramp(0.2))),
    # break-45.1
    "shattering": lambda p: p.split(5, 0.45, lambda k: p.outward(k, 5, 0.12 + 0.4 * p.ramp(0.5, 0.7),
        (1.0 if k else 1.2) * (1 - p.ramp(0.1, 0.5) ** 2))),
    # herd-47.5.2
    "gathering": lambda p: p.split(5, 0.45, lambda k: p.outward(k, 5, 0.25 + 0.8 * (1 - p.ease))),
    "assembling": lambda p: p.split(4, 0.5, lambda k: p.outward(k, 4, 1.1 * (1 - p.ramp(k / 5, k / 5 + 0.3)),
        0.42 * k * p.ramp(k / 5, k / 5 + 0.3))),
    # mix-22.1
    "joining": lambda p: p.split(2, 0.7, lambda k: p.outward(k, 2, 0.27 + 0.8 * (1 - p.ramp(0, 0.7)))),
    "mixing": lambda p: p.split(5, 0.45, lambda k: 0.6 * p.noise(6) * (1, 1, 0)),
}  # fmt: skip
