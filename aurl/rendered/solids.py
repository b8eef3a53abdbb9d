"""Things made of a few solids, drawn by casting a ray through every pixel that they may cover.

Pictures and rays are planes, (3, H, W). A solid is cast in coordinates of its own, in which it has half sizes of 1.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

THINGS = {  # thing -> its solids (kind, half sizes, middle) in meters; it stands at the origin
    "ball": [("ball", (0.3, 0.3, 0.3), (0, 0, 0.3))],
    "box": [("box", (0.26, 0.26, 0.26), (0, 0, 0.26))],
    "duck": [
        ("ball", (0.34, 0.22, 0.22), (0, 0, 0.22)), ("ball", (0.16, 0.15, 0.15), (0.2, 0, 0.48)),
        ("box", (0.1, 0.06, 0.03), (0.4, 0, 0.46)),
    ],
    "table": [
        ("box", (0.38, 0.26, 0.04), (0, 0, 0.46)),
        *(("box", (0.04, 0.04, 0.21), (x, y, 0.21)) for x in (-0.32, 0.32) for y in (-0.2, 0.2)),
    ],
    "hammer": [("cylinder", (0.05, 0.05, 0.25), (0, 0, 0.25)), ("box", (0.26, 0.1, 0.1), (0, 0, 0.58))],
    "bottle": [("cylinder", (0.17, 0.17, 0.24), (0, 0, 0.24)), ("cylinder", (0.06, 0.06, 0.12), (0, 0, 0.6))],
}  # fmt: skip
SAME = 1e-9  # m; of surfaces closer than this, the one drawn first is seen, so that rounding does not decide
HEIGHTS = {name: max(middle[2] + half[2] for _, half, middle in solids) for name, solids in THINGS.items()}


class Solid(NamedTuple):
    """A kind of solid, as functions in its own coordinates."""

    distance: Callable  # eye (3,), rays (3, H, W) -> depth (H, W) at which each ray enters, infinite or NaN: never
    normal: Callable  # points on its surface (3, N) -> normals (3, N) of any length
    dark: Callable  # the same points -> bool (N,), a pattern, so that a turn can be seen
    radius: Callable  # half sizes (F, 3) -> radius (F,) of the smallest ball around its middle that holds it


class Fragment(NamedTuple):
    """The pixels of one frame whose rays meet one solid before the ground."""

    pixels: np.ndarray  # (N,) indices of a flat picture
    depth: np.ndarray  # (N,) distance along the camera's axis, meters
    color: np.ndarray  # (3, N) in [0, 255]
    alpha: float  # opacity in (0, 1]


def cast(camera, name, body, color, light):
    """Cast a thing's solids, frame by frame.

    Args:
        camera: an `aurl.rendered.camera.Camera`.
        name: a key of `THINGS`.
        body: an `aurl.rendered.motions.Body` of F frames.
        color: (3,) red, green and blue in [0, 1].
        light: (3,) direction toward the light, unit length.

    Returns:
        F lists of `Fragment`, to be painted in this order. They do not depend on the other things in the scene.
    """
    pivot = np.array([0, 0, body.pivot * HEIGHTS[name] / 2])
    turned = body.turn * body.size[:, None]  # (F, 3, 3) the thing's own axes, in the world
    origin = body.place + pivot * body.size - turned @ pivot
    lists = [[] for _ in body.place]
    for kind, half, middle in THINGS[name]:
        solid, sizes, centers = SOLIDS[kind], body.size * half, origin + turned @ np.array(middle, float)
        inverse = body.turn.transpose(0, 2, 1) / sizes[:, :, None]  # (F, 3, 3) from the world to the solid
        eyes = np.einsum("fij,fj->fi", inverse, camera.eye - centers)
        lights = np.einsum("fji,j->fi", body.turn, light)
        windows = camera.windows(centers, solid.radius(sizes))
        for frame in np.flatnonzero((body.alpha > 0) & ~body.is_repeated):
            top, bottom, left, right = windows[frame]
            rays = camera.rays(inverse[frame], slice(top, bottom), slice(left, right))
            if not rays.size:
                continue
            depth = solid.distance(eyes[frame], rays)
            found = np.flatnonzero((depth > 0) & (depth < camera.reach[top:bottom] - SAME))
            depth = depth.ravel()[found]
            at = eyes[frame][:, None] + depth * rays.reshape(3, -1)[:, found]
            nx, ny, nz = solid.normal(at) / sizes[frame][:, None]
            lx, ly, lz = lights[frame]
            facing = (nx * lx + ny * ly + nz * lz) / (np.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9)
            shade = np.where(solid.dark(at), 0.6, 1.0) * (0.45 + 0.6 * np.maximum(facing, 0)) * body.light[frame]
            painted = np.clip((255 * color)[:, None] * shade, 0, 255)
            row, column = np.divmod(found, right - left)
            pixels = (row + top) * camera.size + column + left
            lists[frame].append(Fragment(pixels, depth, painted, body.alpha[frame]))
    for frame in np.flatnonzero(body.is_repeated):
        lists[frame] = lists[frame - 1]
    return lists


def paint(picture, depth, fragment):
    """Paint a fragment where it is nearer than ``depth`` (H, W) into ``picture`` (3, H, W); both arrays change."""
    picture, depth = picture.reshape(3, -1), depth.reshape(-1)  # views
    near = np.flatnonzero(fragment.depth < depth[fragment.pixels] - SAME)
    pixels = fragment.pixels[near]
    depth[pixels] = fragment.depth[near]
    for plane, color in zip(picture, fragment.color, strict=True):
        behind = plane[pixels]
        plane[pixels] = behind + fragment.alpha * (color[near] - behind)


def _ball(eye, rays):
    x, y, z = rays
    a, b = x * x + y * y + z * z, eye[0] * x + eye[1] * y + eye[2] * z
    inside = b * b - a * (eye @ eye - 1)
    return np.where(inside > 0, (-b - np.sqrt(np.maximum(inside, 0))) / a, np.inf)


def _slabs(eye, rays):
    """Depths at which rays enter and leave the space between two planes at -1 and 1 of each axis."""
    pace = 1 / (rays + 1e-300)  # never infinite
    middle, half = -eye[:, None, None] * pace, np.abs(pace)
    return middle - half, middle + half


def _box(eye, rays):
    enter, leave = _slabs(eye, rays)
    enter = enter.max(0)
    return np.where(enter < leave.min(0), enter, np.inf)


def _cylinder(eye, rays):
    x, y, _ = rays
    a, b = x * x + y * y + 1e-12, eye[0] * x + eye[1] * y
    inside = b * b - a * (eye[0] ** 2 + eye[1] ** 2 - 1)
    root = np.sqrt(np.maximum(inside, 0))
    (low,), (high,) = _slabs(eye[2:], rays[2:])
    enter, leave = np.maximum((-b - root) / a, low), np.minimum((-b + root) / a, high)
    return np.where((inside > 0) & (enter < leave), enter, np.inf)


def _box_normal(at):
    far = np.abs(at)
    return np.where(far == far.max(0), np.sign(at), 0)


def _cylinder_normal(at):
    x, y, z = at
    on_cap = np.abs(z) > x * x + y * y
    return np.stack([np.where(on_cap, 0, x), np.where(on_cap, 0, y), np.where(on_cap, np.sign(z), 0)])


def _octants(at):
    x, y, z = at
    return x * y * z > 0


def _sectors(at):
    x, y, z = at
    return (y * (3 * x * x - y * y) > 0) ^ (z > 0)  # the first term changes its sign six times around z


def _diagonal(sizes):
    return np.sqrt((sizes * sizes).sum(1))


SOLIDS = {
    "ball": Solid(_ball, lambda at: at, _sectors, lambda sizes: sizes.max(1)),
    "box": Solid(_box, _box_normal, _octants, _diagonal),
    "cylinder": Solid(_cylinder, _cylinder_normal, _octants, _diagonal),
}
