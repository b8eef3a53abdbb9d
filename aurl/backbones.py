"""Video backbones by name: clips (N, 3, T, H, W) to features (N, F).

``r2plus1d`` is the paper's R(2+1)D-18, built here from torchvision's own blocks so that its width and depth can shrink.
The others are torchvision's video networks as they are, without their classifier.
`aurl.training.checkpoints.load_backbone`
starts one from a file of weights.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import get_model
from torchvision.models.video.resnet import BasicBlock, Conv2Plus1D

from aurl import UserError

RESNETS = ("r3d_18", "mc3_18", "r2plus1d_18")
TRANSFORMERS = ("mvit_v1_b", "mvit_v2_s", "swin3d_t", "swin3d_s", "swin3d_b")
NAMES = ("r2plus1d", *RESNETS, "s3d", *TRANSFORMERS)
CLASSIFIERS = ("fc", "classifier", "head")  # what the last part of torchvision's networks is called


def build(name: str, width: int, depth: int) -> tuple[nn.Module, int]:
    """The backbone ``name`` with fresh weights from torch's global random numbers, and F, the length of its features.

    ``width``, channels of the first stage, and ``depth``, residual blocks per stage, are of ``r2plus1d`` alone. Raises
    UserError for a name that is not one of `NAMES`.

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
    network = get_model(name, weights=None)
    classifier = next(part for part in CLASSIFIERS if hasattr(network, part))
    size = next(getattr(network, classifier).parameters()).shape[1]
    setattr(network, classifier, nn.Identity())
    for module in network.modules():
        if isinstance(module, nn.Conv3d):  # torchvision's subclasses add constructors only
            module.__class__ = _TemporalConv
    return network, size


def is_deterministic(backbone: nn.Module) -> bool:
    """Whether every gradient of the backbone is the same in every run on an accelerator, too.

    PyTorch has no such gradient of the 3D pooling in s3d and mvit; on a processor all are.
    """
    return not any(isinstance(module, nn.MaxPool3d | nn.AvgPool3d) for module in backbone.modules())


class R2Plus1D(nn.Module):
    """R(2+1)D of any width and depth: clips (N, 3, T, H, W) -> features (N, 8 * width).

    Width 64 and depth 2 are torchvision's ``r2plus1d_18`` without its classifier, name for name.
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
        shortcut = (
            None
            if stride == 1
            else nn.Sequential(nn.Conv3d(before, after, 1, stride, bias=False), nn.BatchNorm3d(after))
        )
        first = BasicBlock(before, after, _Conv2Plus1D, stride, shortcut)
        return nn.Sequential(first, *(BasicBlock(after, after, _Conv2Plus1D) for _ in range(depth - 1)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer4(self.layer3(self.layer2(self.layer1(self.stem(x)))))
        return torch.flatten(self.avgpool(x), 1)


class _TemporalConv(nn.Conv3d):
    """torchvision's convolution over time, padded beforehand where a clip has fewer frames left than the kernel.

    There, oneDNN never writes the bfloat16 weight gradient of the padded convolution: torch 2.14 on the
    CPU gives a relative error of 1 and sometimes NaN. For kernels of three frames, two are the only such case.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not 1 < x.shape[2] < self.kernel_size[0]:
            return super().forward(x)
        time, height, width = map(int, self.padding)
        padded = F.pad(x, (0, 0, 0, 0, time, time))
        return F.conv3d(padded, self.weight, self.bias, self.stride, (0, height, width), self.dilation, self.groups)


class _Conv2Plus1D(Conv2Plus1D):  # type: ignore[misc]  # torchvision has no types
    def __init__(self, *sizes: int) -> None:
        super().__init__(*sizes)
        self[3].__class__ = _TemporalConv  # same parameters under the same names
