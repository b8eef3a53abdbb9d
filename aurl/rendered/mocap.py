"""The embedded benchmark of unseen pairs: real motion capture, rendered to video files without a GPU or a display.

A class is an action beside a companion object, such as "walk duck". Motions and meshes are those that the ``pybullet``
package carries (``DATA.md`` states their origin). There are two sets:

``mocap-seen``      training classes, with some videos of each held back for validation
``mocap-composed``  unseen pairs of a seen action and a seen companion
"""

import zlib
from dataclasses import dataclass

import numpy as np

from aurl.project.config import MOCAP as SETS
from aurl.rendered import rendering
from aurl.rendered.scene import Scene, load_motion, sample_motion

ACTIONS = {  # the action's words -> its motion clips
    "backflip": ["backflip"],
    "crawl": ["crawl"],
    "dance": ["dance_a", "dance_b"],
    "get up": ["getup_faceup", "getup_facedown"],
    "jump": ["jump"],
    "kick": ["kick"],
    "roll": ["roll"],
    "spin": ["spin"],
    "spin kick": ["spinkick"],
    "walk": ["walk"],
}
COMPANIONS = ["ball", "bear", "box", "duck", "pole", "rabbit", "ring", "table"]


@dataclass(frozen=True)
class Video:
    """One video of the benchmark; its pictures depend on ``name``, ``index`` and the seed, on nothing else."""

    set: str
    split: str  # "train", "val" or "test"
    name: str  # the class: action and companion
    action: str
    companion: str
    index: int

    @property
    def id(self):
        return f"{self.set}/{self.name.replace(' ', '_')}/{self.index:03d}"


def classes():
    """Every class as ``(set, action, companion)``: 56 seen, 24 composed."""
    rows = [  # each companion misses three actions, each action one to three companions
        ("mocap-composed" if (i - 3 * j) % 10 in (0, 4, 7) else "mocap-seen", action, companion)
        for j, companion in enumerate(COMPANIONS)
        for i, action in enumerate(ACTIONS)
    ]
    return sorted(rows, key=lambda row: (SETS.index(row[0]), row[1:]))


def parts():
    """Every class name with its parts, as a dict name -> (action, companion)."""
    return {f"{action} {companion}": (action, companion) for _, action, companion in classes()}


def videos(train, val, test):
    """All videos, if there are ``train`` and ``val`` videos per seen class and ``test`` videos per unseen one."""
    return [
        Video(
            set_,
            "test" if set_ != "mocap-seen" else "train" if i < train else "val",
            f"{action} {companion}",
            action,
            companion,
            i,
        )
        for set_, action, companion in classes()
        for i in range(train + val if set_ == "mocap-seen" else test)
    ]


def build(folder, params):
    """Render every video below ``folder`` in parallel and return their rows of the manifest.

    ``params`` is the ``mocap`` section of ``params.yaml``. The columns are `aurl.data.manifest.COLUMNS`; ``path``
    begins
    with ``folder``.
    """
    todo = videos(params.train_videos, params.val_videos, params.test_videos)
    todo.sort(key=lambda video: video.companion)  # a process loads a companion once, not for every video
    return rendering.build(folder, SETS, todo, _pictures, params, "pybullet")


def _pictures(*arguments):
    return render(*arguments)[1]


def render(video, seed, size, frames, fps):
    """The name of the motion clip and the pictures, uint8 ``(frames, size, size, 3)``, of one video."""
    rng = np.random.default_rng([seed, zlib.crc32(video.name.encode()), video.index])
    motion = rng.choice(ACTIONS[video.action])
    poses = sample_motion(load_motion(motion), frames, fps, rng)
    scene = Scene(video.companion, 2 * size, rng)
    pictures = rendering.smooth(np.stack([scene.picture(pose) for pose in poses]))
    return str(motion), pictures[:, :, ::-1] if rng.random() < 0.5 else pictures
