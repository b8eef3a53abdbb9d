"""A model of random weights in a folder, for tests of what classifies with one."""

import torch

from aurl import models
from aurl.project import config
from aurl.training import checkpoints

MODEL = config.Model(
    **checkpoints.OLD_DEFAULTS,
    width=4, depth=1, projection="mlp", semantic="learned", hidden=8, word_hidden=6, dim=5, dropout=0.0,
)  # fmt: skip
CLIP = {"frames": 4, "segments": 1, "stride": 2, "size": 16, "crop": "squash"}


def save(folder, word_dim=3, model=MODEL, **about):
    """Save a model of two classes with the facts ``about`` it, and return its folder."""
    torch.manual_seed(0)
    network = models.build(model, 2, word_dim)
    checkpoints.save(folder, network.state_dict(), model, ["one", "two"], word_dim, **about)
    return folder
