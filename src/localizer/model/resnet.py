"""ResNet (He et al. 2015, arXiv:1512.03385, table 1), with torchvision's parameter names."""

from typing import Literal

from torch import Tensor, nn

WIDTHS = (64, 128, 256, 512)  # inner channels of layer1 to layer4


class Conv2d(nn.Conv2d):
    """A convolution without bias, 1x1 or 3x3 with padding 1, that is fast on a CPU also where the map is small.

    oneDNN takes up to five times as long as a matrix product for the gradients of such a convolution, if its map has
    fewer positions than channels, as in layer4; on a GPU and in evaluation mode nothing is changed.
    """

    def __init__(self, in_channels: int, out_channels: int, size: int, *, stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, size, stride=stride, padding=size // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] -> [N, out_channels, ceil(H/stride), ceil(W/stride)]."""
        if not self.training or x.is_cuda:
            return super().forward(x)
        height, width = (-(-side // self.stride[0]) for side in x.shape[2:])
        if len(x) * height * width > self.out_channels:
            return super().forward(x)
        return self._as_matrix_product(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def _as_matrix_product(self, x: Tensor) -> Tensor:
        """Convolve [N, H, W, in_channels] to [N, ceil(H/stride), ceil(W/stride), out_channels]."""
        size, stride, weight = self.kernel_size[0], self.stride[0], self.weight.permute(0, 2, 3, 1)
        if size == 1:
            return nn.functional.linear(x[:, ::stride, ::stride], weight.flatten(1), self.bias)
        windows = nn.functional.pad(x, (0, 0, 1, 1, 1, 1)).unfold(1, size, stride).unfold(2, size, stride)
        return nn.functional.linear(windows.permute(0, 1, 2, 4, 5, 3).flatten(3), weight.flatten(1), self.bias)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut: [N, in_channels, H, W] -> [N, width, H/stride, W/stride]."""

    EXPANSION = 1  # outer channels over inner ones

    def __init__(self, in_channels: int, width: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = Conv2d(in_channels, width, 3, stride=stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = Conv2d(width, width, 3)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _projection(in_channels, width, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        x += shortcut
        return self.relu(x)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions around a shortcut: [N, in_channels, H, W] -> [N, 4 width, H/stride, W/stride].

    Departs from the paper as torchvision's "v1.5" does: the stride is on the 3x3 convolution.
    """

    EXPANSION = 4

    def __init__(self, in_channels: int, width: int, *, stride: int = 1) -> None:
        super().__init__()
        out_channels = width * self.EXPANSION
        self.conv1 = Conv2d(in_channels, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = Conv2d(width, width, 3, stride=stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = Conv2d(width, out_channels, 1)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _projection(in_channels, out_channels, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x))
        x += shortcut
        return self.relu(x)


Block = type[BasicBlock] | type[Bottleneck]
Depth = Literal[18, 34, 50, 101, 152]
DEPTHS: dict[Depth, tuple[Block, tuple[int, int, int, int]]] = {  # the block, and how many in each layer
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}


class ResNet(nn.Module):
    """Stem, layer1 to layer4 and a head: images [N, 3, H, W] -> fc((layer2, layer3, layer4)).

    The three features are [N, C, ceil(H/s), ceil(W/s)] with strides s of 8, 16 and 32; the Cs are `channels(depth)`.
    """

    def __init__(self, fc: nn.Module, *, depth: Depth) -> None:
        super().__init__()
        block, blocks = DEPTHS[depth]
        ins = (64, *(width * block.EXPANSION for width in WIDTHS))
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _layer(block, ins[0], WIDTHS[0], blocks=blocks[0], stride=1)
        self.layer2 = _layer(block, ins[1], WIDTHS[1], blocks=blocks[1], stride=2)
        self.layer3 = _layer(block, ins[2], WIDTHS[2], blocks=blocks[2], stride=2)
        self.layer4 = _layer(block, ins[3], WIDTHS[3], blocks=blocks[3], stride=2)
        self.apply(_initialize)
        self.fc = fc

    def forward(self, images: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        layer2 = self.layer2(self.layer1(x))
        layer3 = self.layer3(layer2)
        return self.fc((layer2, layer3, self.layer4(layer3)))

    def body(self) -> list[nn.Module]:
        """Return all children except `fc`."""
        return [child for name, child in self.named_children() if name != "fc"]


def channels(depth: Depth) -> list[int]:
    """Return the numbers of output channels of layer2, layer3 and layer4."""
    return [width * DEPTHS[depth][0].EXPANSION for width in WIDTHS[1:]]


def _layer(block: Block, in_channels: int, width: int, *, blocks: int, stride: int) -> nn.Sequential:
    first = block(in_channels, width, stride=stride)
    return nn.Sequential(first, *(block(width * block.EXPANSION, width) for _ in range(blocks - 1)))


def _projection(in_channels: int, out_channels: int, *, stride: int) -> nn.Sequential | None:
    """Return the projection of a shortcut to the block's output shape; None if the shapes are equal."""
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(Conv2d(in_channels, out_channels, 1, stride=stride), nn.BatchNorm2d(out_channels))


def _initialize(module: nn.Module) -> None:
    """He initialization (arXiv:1502.01852, fan out); each block starts as the identity.

    Departs from the paper: the last gamma of a block is 0 (Goyal et al. 2017, arXiv:1706.02677, section 5.1).
    """
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, BasicBlock):
        nn.init.zeros_(module.bn2.weight)
    elif isinstance(module, Bottleneck):
        nn.init.zeros_(module.bn3.weight)
