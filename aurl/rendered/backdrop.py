"""Where the built-in benchmark's scenes stand: a tiled ground under a sky, and the shadows on it."""

import numpy as np

VIEW = 50  # degrees, vertical and horizontal field of view


class Backdrop:
    """Ground and sky before a camera, ``size`` pixels wide and high.

    ``view`` (4, 4) takes a point of the world, z upward, to camera coordinates: x to the right, y up, z backward.
    """

    def __init__(self, view, size):
        across = (np.arange(size) + 0.5) / size * 2 - 1
        x, y = np.meshgrid(across, -across)
        half = np.tan(np.radians(VIEW) / 2)
        self.rays = np.stack([x * half, y * half, -np.ones_like(x)], -1) @ view[:3, :3]  # each is 1 long in depth
        self.eye = -view[:3, :3].T @ view[:3, 3]
        self.sky = self.rays[..., 2] > -1e-3
        self.reach = self.eye[2] / np.where(self.sky, 1, -self.rays[..., 2])  # depth of the ground
        self.ground = np.where(
            self.sky[..., None], 1e3, self.eye[:2] + self.reach[..., None] * self.rays[..., :2]
        ).astype(np.float32)  # where each pixel's ray meets it, in meters

    def picture(self, floor, air):
        """Tiles of the color ``floor`` that fade into ``air``, both in [0, 1]: (size, size, 3) in [0, 255]."""
        tiles = (np.floor(self.ground).sum(-1) % 2)[..., None]
        fade = np.clip(np.linalg.norm(self.ground, axis=-1, keepdims=True) / 9, 0, 1)
        return 255 * np.where(self.sky[..., None], air, floor * (0.85 + 0.15 * tiles) * (1 - fade) + air * fade)

    def shadow(self, at, depth):
        """How much of its light the ground keeps around ``at``, ``(size, size, 1)``."""
        across = self.ground - np.asarray(at, np.float32)
        return 1 - depth * np.exp(np.einsum("ijk,ijk->ij", across, across) / -0.25)[..., None]
