"""Things made of a few solids, drawn by casting a ray through every pixel."""

import numpy as np

THINGS = {  # thing -> its solids (kind, half sizes, middle) in meters; it stands at the origin
    "ball": [("ball", (0.3, 0.3, 0.3), (0, 0, 0.3))],
    "box": [("box", (0.26, 0.26, 0.26), (0, 0, 0.26))],
    "barrel": [("barrel", (0.24, 0.24, 0.32), (0, 0, 0.32))],
    "duck": [
        ("ball", (0.34, 0.22, 0.22), (0, 0, 0.22)), ("ball", (0.16, 0.15, 0.15), (0.2, 0, 0.48)),
        ("box", (0.1, 0.06, 0.03), (0.4, 0, 0.46)),
    ],
}  # fmt: skip
SAME = 1e-9  # m; of surfaces as close as this the one drawn first is seen, where rounding would otherwise decide
HEIGHTS = {name: max(middle[2] + half[2] for _, half, middle in solids) for name, solids in THINGS.items()}


def draw(picture, depth, backdrop, name, body, frame, color, light):
    """Draw one frame of a thing into ``picture`` (H, W, 3) in [0, 255], where it is nearer than ``depth`` (H, W).

    ``body`` is an `aurl.rendered.motions.Body`, ``color`` its red, green and blue in [0, 1], ``light`` the direction
    toward the light, unit length. Both arrays are changed.
    """
    if body.alpha[frame] <= 0:
        return
    pivot = np.array([0, 0, body.pivot * HEIGHTS[name] / 2])
    turned = body.turn[frame] * body.size[frame]  # the thing's own axes, in the world
    origin = body.place[frame] + pivot * body.size[frame] - turned @ pivot
    for kind, half, middle in THINGS[name]:
        axes = turned * half
        center = origin + turned @ middle
        rows, columns = _window(backdrop, center, np.linalg.norm(axes))
        rays = backdrop.rays[rows, columns]
        if not rays.size:
            continue
        back = np.linalg.inv(axes)
        away, normal, at = _CAST[kind](back @ (backdrop.eye - center), rays @ back.T)
        hidden = np.minimum(depth[rows, columns], np.where(backdrop.sky, np.inf, backdrop.reach)[rows, columns])
        near = away < hidden - SAME
        normal = normal @ back
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True) + 1e-9
        shade = 0.45 + 0.6 * np.clip(normal @ light, 0, None)
        painted = 255 * color * (_pattern(kind, at) * shade * body.light[frame])[..., None]
        part = picture[rows, columns]
        mixed = part + body.alpha[frame] * (np.clip(painted, 0, 255) - part)
        np.copyto(part, mixed, where=near[..., None])
        np.copyto(depth[rows, columns], away, where=near)


def _window(backdrop, center, radius):
    """The rows and columns of pixels that a ball around ``center`` may cover."""
    size = len(backdrop.rays)
    forward = backdrop.rays[size // 2 - 1 : size // 2 + 1, size // 2 - 1 : size // 2 + 1].mean((0, 1))
    right = backdrop.rays[0, -1] - backdrop.rays[0, 0]
    up = backdrop.rays[0, 0] - backdrop.rays[-1, 0]
    offset = center - backdrop.eye
    distance = offset @ forward
    if distance <= radius:
        return (slice(0, size), slice(0, size)) if distance > -radius else (slice(0), slice(0))
    places = []
    for axis, sign in ((up, -1), (right, 1)):
        span = np.linalg.norm(axis) * size / (size - 1)  # of the picture, at a distance of 1
        middle = sign * (offset @ axis) / np.linalg.norm(axis)
        low, high = ((middle + side * radius * 1.2) / (distance - radius) for side in (-1, 1))
        low, high = (
            min(low, (middle - radius) / (distance + radius)),
            max(high, (middle + radius) / (distance + radius)),
        )
        places.append(
            slice(*(int(np.clip((x / span + 0.5) * size + add, 0, size)) for x, add in ((low, -1), (high, 2))))
        )
    return tuple(places)


def _cast_ball(eye, rays):
    b, a = rays @ eye, (rays**2).sum(-1)
    inside = b**2 - a * (eye @ eye - 1)
    away = np.where(inside > 0, (-b - np.sqrt(np.clip(inside, 0, None))) / a, np.inf)
    return _hit(eye, rays, away, lambda at: at)


def _cast_box(eye, rays):
    safe = np.where(np.abs(rays) < 1e-9, 1e-9, rays)
    enter, leave = np.sort(np.stack([(-1 - eye) / safe, (1 - eye) / safe]), axis=0)
    away, gone = enter.max(-1), leave.min(-1)
    away = np.where((away < gone) & (away > 0), away, np.inf)
    return _hit(eye, rays, away, lambda at: np.where(np.abs(at) == np.abs(at).max(-1, keepdims=True), np.sign(at), 0))


def _cast_barrel(eye, rays):
    flat, across = rays[..., :2], eye[:2]
    a, b = (flat**2).sum(-1) + 1e-12, flat @ across
    inside = b**2 - a * (across @ across - 1)
    root = np.sqrt(np.clip(inside, 0, None))
    upright = np.where(np.abs(rays[..., 2]) < 1e-9, 1e-9, rays[..., 2])
    low, high = np.sort(np.stack([(-1 - eye[2]) / upright, (1 - eye[2]) / upright]), axis=0)
    wall, cap = (-b - root) / a, low
    away, gone = np.maximum(wall, cap), np.minimum((-b + root) / a, high)
    away = np.where((inside > 0) & (away < gone) & (away > 0), away, np.inf)
    on_cap = (cap > wall)[..., None]
    return _hit(eye, rays, away, lambda at: np.where(on_cap, np.sign(at) * (0, 0, 1), at * (1, 1, 0)))


def _hit(eye, rays, away, normal):
    """How far along its ray each pixel meets the solid, the normal there and the place, in the solid's own axes."""
    at = eye + np.where(np.isfinite(away), away, 0)[..., None] * rays
    return np.where(away > 0, away, np.inf), normal(at), at


_CAST = {"ball": _cast_ball, "box": _cast_box, "barrel": _cast_barrel}


def _pattern(kind, at):
    """Light and dark parts, so that a turn can be seen."""
    x, y, z = np.moveaxis(at, -1, 0)
    dark = (np.sin(3 * np.arctan2(y, x)) > 0) ^ (z > 0) if kind == "ball" else (x * y * z > 0)
    return np.where(dark, 0.6, 1.0)
