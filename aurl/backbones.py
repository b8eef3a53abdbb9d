"""Video backbones by name: clips (N, 3, T, H, W) to features (N, F).

``r2plus1d`` is the paper's R(2+1)D-18, written out here so that its width and depth can shrink. It has torchvision's
parameter names and initial weights. The others are torchvision's video networks, without their classifier.
`aurl.training.checkpoints.load_backbone` loads weights from a file.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aurl import UserError

RESNETS = ("r3d_18", "mc3_18", "r2plus1d_18")
TRANSFORMERS = ("mvit_v1_b", "mvit_v2_s", "swin3d_t", "swin3d_s", "swin3d_b")
NAMES = ("r2plus1d", *RESNETS, "s3d", *TRANSFORMERS)
CLASSIFIERS = ("fc", "classifier", "head")  # names of the last module of torchvision's networks


def build(name: str, width: int, depth: int) -> tuple[nn.Module, int]:
    """Build a backbone with fresh weights from torch's global random numbers.

    Args:
        name: one of `NAMES`.
        width: channels of the first stage, 1 or more; only ``r2plus1d`` reads it.
        depth: residual blocks per stage, 1 or more; only ``r2plus1d`` reads it.

    Returns:
        The network and F, the dimension of its features.

    Raises:
        UserError: for an unknown name.

    >>> network, size = build("r2plus1d", width=4, depth=1)
    >>> network(torch.rand(2, 3, 4, 16, 16)).shape, size
    (torch.Size([2, 32]), 32)
    """
    if name == "r2plus1d":
        return R2Plus1D(width, depth), 8 * width
    if name == "r2plus1d_18":
        return R2Plus1D(64, 2), 512
    if name not in NAMES:
        raise UserError(f"The model's backbone must be {', '.join(NAMES[:-1])} or {NAMES[-1]}, not {name!r}.")
    from torchvision.models import get_model  # imports torch's compiler, which takes longer than all else here

    network = get_model(name, weights=None)
    classifier = next(part for part in CLASSIFIERS if hasattr(network, part))
    size = next(getattr(network, classifier).parameters()).shape[1]
    setattr(network, classifier, nn.Identity())
    for module in network.modules():
        if isinstance(module, nn.Conv3d):  # torchvision's subclasses add constructors only
            module.__class__ = _TemporalConv
    return network, size


def is_deterministic(backbone: nn.Module) -> bool:
    """Whether gradients of the backbone repeat exactly on an accelerator, too.

    PyTorch has no deterministic gradient of the 3D pooling in s3d and mvit. On a CPU all gradients repeat.
    """
    return not any(isinstance(module, nn.MaxPool3d | nn.AvgPool3d) for module in backbone.modules())


class R2Plus1D(nn.Module):
    """R(2+1)D of any width and depth: clips (N, 3, T, H, W) -> features (N, 8 * width).

    Width 64 and depth 2 give torchvision's ``r2plus1d_18`` without its classifier, name for name and, from the same
    random numbers, bit for bit.
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        middle = max(1, 45 * width // 64)  # torchvision's stem has 45 for 64
        self.stem = nn.Sequential(
            nn.Conv3d(3, middle, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False),
            nn.BatchNorm3d(middle),
            nn.ReLU(inplace=True),
            _TemporalConv(middle, width, (3, 1, 1), padding=(1, 0, 0), bias=False),
            nn.BatchNorm3d(width),
            nn.ReLU(inplace=True),
        )
        self.layer1 = self._stage(width, width, depth, stride=1)
        self.layer2 = self._stage(width, 2 * width, depth, stride=2)
        self.layer3 = self._stage(2 * width, 4 * width, depth, stride=2)
        self.layer4 = self._stage(4 * width, 8 * width, depth, stride=2)
        self.avgpool = nn.AdaptiveAvgPool3d(1)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @staticmethod
    def _stage(before: int, after: int, depth: int, stride: int) -> nn.Sequential:
        return nn.Sequential(_Block(before, after, stride), *(_Block(after, after, 1) for _ in range(depth - 1)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer4(self.layer3(self.layer2(self.layer1(self.stem(x)))))
        return torch.flatten(self.avgpool(x), 1)


class _Block(nn.Module):
    """A residual block of two factorized convolutions: (N, before, T, H, W) -> (N, after, T', H', W')."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        # Built first, so that random numbers are drawn in torchvision's order, and registered last, like its own.
        downsample = None
        if stride != 1:
            downsample = nn.Sequential(nn.Conv3d(before, after, 1, stride, bias=False), nn.BatchNorm3d(after))
        middle = 27 * before * after // (9 * before + 3 * after)  # the number of weights of a full 3x3x3 convolution
        self.conv1 = nn.Sequential(
            _factorized(before, middle, after, stride), nn.BatchNorm3d(after), nn.ReLU(inplace=True)
        )
        self.conv2 = nn.Sequential(_factorized(after, middle, after, 1), nn.BatchNorm3d(after))
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv2(self.conv1(x))
        out += x if self.downsample is None else self.downsample(x)
        activated: Tensor = self.relu(out)
        return activated


def _factorized(before: int, middle: int, after: int, stride: int) -> nn.Sequential:
    """A convolution over space, then one over time."""
    return nn.Sequential(
        nn.Conv3d(before, middle, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False),
        nn.BatchNorm3d(middle),
        nn.ReLU(inplace=True),
        _TemporalConv(middle, after, (3, 1, 1), (stride, 1, 1), (1, 0, 0), bias=False),
    )


class _TemporalConv(nn.Conv3d):
    """A 3D convolution that pads a clip beforehand where fewer frames are left than its kernel has.

    For these, oneDNN never writes the bfloat16 weight gradient of a padded convolution: torch 2.14 on the CPU gives a
    relative error of 1 and sometimes NaN. A kernel of three frames meets this case with two frames only.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not 1 < x.shape[2] < self.kernel_size[0]:
            return super().forward(x)
        time, height, width = map(int, self.padding)
        padded = F.pad(x, (0, 0, 0, 0, time, time))
        return F.conv3d(padded, self.weight, self.bias, self.stride, (0, height, width), self.dilation, self.groups)
