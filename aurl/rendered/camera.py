"""The camera of a rendered video, and the empty scene that it sees: a tiled ground under a sky."""

import numpy as np

FIELD = np.tan(np.radians(50) / 2)  # half the picture's width, and half its height, at a distance of 1


class Camera:
    """A camera that looks at a point and is not tilted sideways, so that the horizon is a row of pixels.

    Space is in meters with z upward. Rays are scaled to depth 1, so a point on a ray at depth d is ``eye + d * ray``.

    Args:
        target: (3,) the point in the middle of the picture.
        azimuth: direction from the target to the camera around z, radians.
        elevation: angle of the camera above the target, radians.
        distance: from the target to the camera, meters.
        size: width and height of the pictures, pixels.
    """

    def __init__(self, target, azimuth, elevation, distance, size):
        back = np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])
        right = np.array([-np.sin(azimuth), np.cos(azimuth), 0])
        self.size, self.eye = size, np.asarray(target) + distance * back
        self.axes = np.stack([right, np.cross(back, right), -back])  # right, up, forward
        self.across = ((np.arange(size) + 0.5) / size * 2 - 1) * FIELD  # of the pixels' centers, left to right
        down = -self.rays(columns=slice(1))[2]  # constant along a row of pixels
        self.horizon = int((down < 1e-3).sum())  # the number of rows that show the sky
        self.reach = np.full((size, 1), np.inf)  # depth of the ground in each row
        self.reach[self.horizon :] = self.eye[2] / down[self.horizon :]
        x, y, _ = self.reach[self.horizon :] * self.rays(rows=slice(self.horizon, None))
        self.ground = np.stack([self.eye[0] + x, self.eye[1] + y]).astype(np.float32)  # where rays meet it, in meters

    def rays(self, turn=None, rows=slice(None), columns=slice(None)):
        """The rays (3, rows, columns) of a window of pixels, multiplied by ``turn`` (3, 3)."""
        right, up, forward = self.axes if turn is None else self.axes @ turn.T
        down = np.multiply.outer(up, -self.across[rows]) + forward[:, None]
        return down[:, :, None] + np.multiply.outer(right, self.across[columns])[:, None, :]

    def picture(self, floor, air):
        """The empty scene (3, size, size) in [0, 255]: tiles of the color ``floor`` that fade into ``air``.

        Both colors are (3,) in [0, 1].
        """
        picture = np.empty((3, self.size, self.size))
        x, y = self.ground
        tiles, fade = (np.floor(x) + np.floor(y)) % 2, np.clip(np.sqrt(x * x + y * y) / 9, 0, 1)
        for plane, own, far in zip(picture, floor, air, strict=True):
            plane[: self.horizon] = 255 * far
            plane[self.horizon :] = 255 * (own * (0.85 + 0.15 * tiles) * (1 - fade) + far * fade)
        return picture

    def shadow(self, x, y, depth):
        """The share of its light that the ground keeps around a point, (rows below the horizon, size).

        ``x`` and ``y`` are the point's place in meters, ``depth`` in [0, 1] is the share lost at the point.
        """
        x, y = self.ground[0] - np.float32(x), self.ground[1] - np.float32(y)
        return 1 - depth * np.exp((x * x + y * y) / -0.25)

    def windows(self, centers, radius):
        """The pixels that balls of ``radius`` (F,) around ``centers`` (F, 3), both in meters, may cover.

        Returns int (F, 4): first row, row after the last, first column and column after the last. A ball around or
        behind the camera gets all pixels.
        """
        right, up, forward = ((centers - self.eye) @ axis for axis in self.axes)
        aside = np.stack([-up, right])
        middle = np.arctan2(aside, forward)
        half = np.arcsin(np.minimum(1, radius / np.hypot(aside, forward)))
        bounds = np.tan(np.stack([middle - half, middle + half])) / FIELD  # -1 and 1 are the picture's edges
        bounds = np.where(forward <= radius, np.array([-1, 1])[:, None, None], bounds)
        pixels = (bounds + 1) / 2 * self.size + np.array([-1, 1])[:, None, None]  # one more, against rounding
        return np.clip(pixels, 0, self.size).astype(int).transpose(2, 1, 0).reshape(-1, 4)
