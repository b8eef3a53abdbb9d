"""The authors' network and checkpoints, written here from their layout alone, for comparison with ours.

Attribute names and their order are those of the released code, as a state dict's keys come from them. Every weight is
registered twice there: in a part, and in the sequence of a backbone and its projection.
"""

import argparse
from collections import OrderedDict

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy, linear, normalize

from aurl.backbones import R2Plus1D


class Video(nn.Module):
    """R(2+1)D without its classifier, as a nameless sequence, and a regressor that nothing uses."""

    def __init__(self, network, features, word_dim, dropout):
        super().__init__()
        self.model = nn.Sequential(*list(network.children())[:5], nn.AdaptiveAvgPool3d(1))
        self.regressor = nn.Linear(features, word_dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, clips):  # (N, K, 3, T, H, W) -> (N * K, features)
        return self.dropout(self.model(clips.flatten(0, 1)).flatten(1))


class Words(nn.Module):
    def __init__(self, word_dim, features):
        super().__init__()
        self.regressor = nn.Linear(word_dim, features)

    def forward(self, word_vectors):
        return self.regressor(word_vectors)


class Projection(nn.Module):
    def __init__(self, before, hidden, after):
        super().__init__()
        self.l1 = nn.Sequential(nn.Linear(before, hidden), nn.BatchNorm1d(hidden), nn.ReLU())
        self.l2 = nn.Sequential(nn.Linear(hidden, hidden), nn.BatchNorm1d(hidden), nn.ReLU())
        self.l3 = nn.Sequential(nn.Linear(hidden, after), nn.BatchNorm1d(after))

    def forward(self, features):
        return self.l3(self.l2(self.l1(features)))


class Centers(nn.Module):
    def __init__(self, classes, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(classes, dim))


class Released(nn.Module):
    """The released network at any size."""

    def __init__(self, classes=5, width=4, word_dim=7, word_hidden=6, hidden=12, dim=10, dropout=0.05):
        super().__init__()
        network = R2Plus1D(width, 1)
        self.backbone = Video(network, 8 * width, word_dim, dropout)
        self.backbone_words = Words(word_dim, word_hidden)
        self.projection = Projection(8 * width, hidden, dim)
        self.projection_words = Projection(word_hidden, hidden, dim)
        self.encode = nn.Sequential(self.backbone, self.projection)
        self.encode_words = nn.Sequential(self.backbone_words, self.projection_words)
        self.classifier = Centers(classes, dim)
        self.classifier_txts = Centers(classes, dim)

    def forward(self, clips, word_vectors):
        """Clips (N, K, 3, T, H, W) and word vectors (C, W) -> features (N, D) and (C, D) of any length."""
        video = self.encode(clips)
        return video.view(len(clips), -1, video.shape[1]).mean(dim=1), self.encode_words(word_vectors)

    def loss(self, clips, word_vectors, labels, mix):
        """L_S + L_C + L_US, with the class generator's weights ``mix`` (C, C)."""
        video, names = self(clips, word_vectors)
        synthetic = mix @ normalize(names, dim=1), mix @ normalize(self.classifier.weight, dim=1)
        every = torch.arange(len(names))
        return sum(
            cross_entropy(10 * linear(normalize(a, dim=1), normalize(b, dim=1)), target)
            for a, b, target in ((video, names, labels), (video, self.classifier.weight, labels), (*synthetic, every))
        )

    def parts(self):
        """Every weight once, in the order in which `aurl.models.AURL` has them."""
        used = (self.backbone.model, self.projection, self.backbone_words, self.projection_words)
        return [weight for part in used for weight in part.state_dict().values()]


def clips(*batch, seed=0, contrast=5):
    """Noise with another brightness in every clip, as random networks hardly tell plain noise apart."""
    rng = torch.Generator().manual_seed(seed)
    noise = torch.randn(*batch, 3, 4, 16, 16, generator=rng)
    return noise + contrast * torch.randn(*batch, 1, 1, 1, 1, generator=rng)


def words(count=5, seed=1):
    """Word vectors of ``count`` classes."""
    return torch.randn(count, 7, generator=torch.Generator().manual_seed(seed))


def shake(network, video=None, word_vectors=None):
    """A network as after some training: BatchNorm's weights differ, and its statistics are those of what has passed."""
    video = clips(6, 1, seed=5) if video is None else video
    word_vectors = words(6, seed=6) if word_vectors is None else word_vectors
    rng = torch.Generator().manual_seed(3)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = 0.9
            for tensor in (module.weight.data, module.bias.data):
                tensor.copy_(torch.rand(tensor.shape, generator=rng) + 0.5)
    with torch.no_grad():
        network.train()(video, word_vectors)
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.momentum = 0.1  # torch's own, for further training
    return network


def save(path, network, prefix="", twins=True, accuracy=44.39, zipped=True):
    """``checkpoint.pth.tar`` of the released training script, which is what was published; returns ``path``.

    ``prefix`` is what DistributedDataParallel puts before names. Without ``twins`` every weight is saved once.
    """
    options = argparse.Namespace(lr=np.float64(0.05), network="r2plus1d_18", resume=1, progressbar=False, weights=None)
    content = {"state_dict": _weights(network, prefix, twins), "opt": options, "accuracy": accuracy}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def save_last(path, network, prefix="", twins=True, zipped=True):
    """``last_checkpoint.pth.tar``, from which that script resumes, with momentum and NumPy learning rates."""
    used = [weight for weight in network.parameters() if weight.requires_grad]
    groups = [{"name": "base", "params": used, "lr": 0.05}, {"name": "prediction", "params": [], "lr": 0.05}]
    optimizer = torch.optim.SGD(groups, lr=0.05, momentum=0.9, weight_decay=1e-4)
    for weight in used[::2]:  # unused parameters never get a momentum
        weight.grad = torch.ones_like(weight)
    for group in optimizer.param_groups:
        group["lr"] = np.float64(0)  # so that the step changes no weight
    optimizer.step()
    optimizer.zero_grad()
    content = {"state_dict": _weights(network, prefix, twins), "epoch": 3}
    content |= {"optim_state_dict": optimizer.state_dict(), "schedular_step": 1560}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def _weights(network, prefix, twins):
    saved = network.state_dict().items()
    return OrderedDict((prefix + name, weight) for name, weight in saved if twins or not name.startswith("encode"))
