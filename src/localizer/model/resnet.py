"""ResNet-50 (He et al. 2015, arXiv:1512.03385, table 1), with torchvision's parameter names."""

import torch
from torch import Tensor, nn

WIDTHS = (64, 128, 256, 512)  # inner channels of layer1 to layer4
BLOCKS = (3, 4, 6, 3)  # bottlenecks in each
EXPANSION = 4  # a bottleneck's outer channels over its inner ones
CHANNELS = WIDTHS[-1] * EXPANSION  # of layer4's output


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions around a shortcut: [N, in_channels, H, W] -> [N, 4 width, H/stride, W/stride].

    Departs from the paper as torchvision's "v1.5" does: the stride is on the 3x3 convolution.
    """

    def __init__(self, in_channels: int, width: int, *, stride: int = 1) -> None:
        super().__init__()
        out_channels = width * EXPANSION
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != out_channels:
            projection = nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x))
        x += shortcut
        return self.relu(x)


class ResNet50(nn.Module):
    """Stem, layer1 to layer4 and a last part `fc`: images [N, 3, H, W] -> fc([N, 2048, ceil(H/32), ceil(W/32)])."""

    def __init__(self, fc: nn.Module) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _layer(64, WIDTHS[0], blocks=BLOCKS[0], stride=1)
        self.layer2 = _layer(WIDTHS[0] * EXPANSION, WIDTHS[1], blocks=BLOCKS[1], stride=2)
        self.layer3 = _layer(WIDTHS[1] * EXPANSION, WIDTHS[2], blocks=BLOCKS[2], stride=2)
        self.layer4 = _layer(WIDTHS[2] * EXPANSION, WIDTHS[3], blocks=BLOCKS[3], stride=2)
        self.fc = fc
        self.apply(_initialise)

    def forward(self, images: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x)


def _layer(in_channels: int, width: int, *, blocks: int, stride: int) -> nn.Sequential:
    first = Bottleneck(in_channels, width, stride=stride)
    return nn.Sequential(first, *(Bottleneck(width * EXPANSION, width) for _ in range(blocks - 1)))


def _initialise(module: nn.Module) -> None:
    """He initialisation (arXiv:1502.01852, fan out); each block starts as its shortcut.

    The last gamma of a bottleneck is 0, which the paper lacks (Goyal et al. 2017, arXiv:1706.02677, 5.1).
    """
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, Bottleneck):
        torch.nn.init.zeros_(module.bn3.weight)
