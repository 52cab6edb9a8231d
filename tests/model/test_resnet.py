"""ResNet against torchvision's own."""

import pytest
import torch
import torchvision
from torch import Tensor, nn

from localizer.model.resnet import DEPTHS, Bottleneck, Conv2d, Depth, ResNet, channels


class Pooled(nn.Linear):
    """torchvision's head: global average pooling and one layer."""

    def forward(self, features: tuple[Tensor, Tensor, Tensor]) -> Tensor:  # type: ignore[override]
        return super().forward(features[2].mean(dim=(2, 3)))


def with_statistics(model: nn.Module) -> nn.Module:
    """Return the model with statistics as after training: none is 0 or 1."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.get_buffer("running_mean").uniform_(-0.1, 0.1)
            module.get_buffer("running_var").uniform_(0.5, 1.5)
    return model.eval()


@pytest.fixture(scope="module", params=sorted(DEPTHS))
def depth(request: pytest.FixtureRequest) -> Depth:
    return request.param


@pytest.fixture(scope="module")
def ours(depth: Depth) -> ResNet:
    torch.manual_seed(0)
    return ResNet(Pooled(channels(depth)[2], 1000), depth=depth).eval()


@pytest.fixture(scope="module")
def reference(depth: int) -> nn.Module:
    torch.manual_seed(1)
    return with_statistics(torchvision.models.get_model(f"resnet{depth}", weights=None))


def test_it_has_torchvisions_names_and_shapes(ours: ResNet, reference: nn.Module) -> None:
    shapes = {name: tensor.shape for name, tensor in ours.state_dict().items()}
    assert shapes == {name: tensor.shape for name, tensor in reference.state_dict().items()}


def test_it_has_torchvisions_parameter_count(ours: ResNet, depth: int) -> None:
    counts = {18: 11_689_512, 34: 21_797_672, 50: 25_557_032, 101: 44_549_160, 152: 60_192_808}  # as it documents
    assert sum(parameter.numel() for parameter in ours.parameters()) == counts[depth]


@pytest.mark.parametrize("side", [64, 97])
def test_it_agrees_with_torchvision_under_the_same_weights(ours: ResNet, reference: nn.Module, side: int) -> None:
    images = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        before = ours(images)
        ours.load_state_dict(reference.state_dict())
        after, expected = ours(images), reference(images)
    torch.testing.assert_close(after, expected, atol=1e-5, rtol=1e-5)
    assert side == 97 or not torch.allclose(before, expected, atol=1e-2)  # the control: other weights differ


def test_every_block_starts_as_its_shortcut() -> None:
    block = ResNet(nn.Identity(), depth=50).layer1[1].eval()
    features = torch.rand(1, 256, 8, 8)  # not negative, so that the last ReLU changes nothing
    torch.testing.assert_close(block(features), features)


def test_convolutions_start_with_hes_spread() -> None:
    # A 3x3 convolution with 512 outputs: the standard deviation is sqrt(2 / (9 * 512)).
    torch.manual_seed(0)
    weight = ResNet(nn.Identity(), depth=50).get_parameter("layer4.1.conv2.weight")
    assert weight.std().item() == pytest.approx((2 / (9 * 512)) ** 0.5, rel=0.01)


@pytest.mark.parametrize(("in_channels", "stride", "projected"), [(256, 1, False), (64, 1, True), (256, 2, True)])
def test_only_a_block_that_changes_the_shape_projects(in_channels: int, stride: int, projected: bool) -> None:
    assert (Bottleneck(in_channels, 64, stride=stride).downsample is not None) == projected


@pytest.mark.parametrize(("size", "stride"), [(1, 1), (1, 2), (3, 1), (3, 2)])
@pytest.mark.parametrize("shape", [(2, 2), (3, 5), (1, 1)])
def test_a_convolution_of_a_small_map_is_the_same_as_a_matrix_product(
    size: int, stride: int, shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    convolution = Conv2d(6, 128, size, stride=stride)
    plain = nn.Conv2d(6, 128, size, stride=stride, padding=size // 2)
    convolution.bias = nn.Parameter(torch.rand(128))  # as fusing BatchNorm adds one
    plain.load_state_dict(convolution.state_dict())
    images = [torch.rand(4, 6, *shape, generator=torch.Generator().manual_seed(1)).requires_grad_() for _ in range(2)]
    outputs = plain(images[0]), convolution(images[1])
    torch.testing.assert_close(outputs[1], outputs[0])
    for output in outputs:
        output.square().sum().backward()
    torch.testing.assert_close(images[1].grad, images[0].grad)
    torch.testing.assert_close(convolution.weight.grad, plain.weight.grad)
    monkeypatch.setattr(nn.functional, "linear", None)
    convolution.eval()(images[1])  # the plain convolution, as in every library that reads the model
    with pytest.raises(TypeError):
        convolution.train()(images[1])  # the control: in training it isn't
