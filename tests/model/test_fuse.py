"""BatchNorm folded into convolutions: nothing is left over, and nothing but rounding changes."""

import copy

import pytest
import torch
from torch import nn

from localizer.model.fuse import fuse_batch_norm
from localizer.model.localizer import Architecture, Localizer
from localizer.predictor import predict_boxes


def trained(depth: int) -> Localizer:
    """Return a network whose BatchNorms are far from the identity."""
    torch.manual_seed(0)
    model = Localizer(Architecture(depth))  # type: ignore[arg-type]
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    model.train()(torch.randint(0, 256, (8, 3, 64, 64)))  # gives the running mean and variance, in part
    nn.init.normal_(model.get_parameter("backbone.fc.cell.weight"), std=0.01)
    return model.eval()


@pytest.mark.parametrize("depth", [18, 50])
def test_a_folded_network_answers_as_before_and_has_no_batchnorm(depth: int) -> None:
    model = trained(depth)
    folded = copy.deepcopy(model)
    fuse_batch_norm(folded)
    pixels = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    assert not [module for module in folded.modules() if isinstance(module, nn.BatchNorm2d)]
    assert predict_boxes(folded, pixels) == pytest.approx(predict_boxes(model, pixels), abs=1e-5)
    assert predict_boxes(folded, pixels).std(axis=0).max() > 1e-4  # a control: boxes do differ from image to image


def test_a_batchnorm_without_a_convolution_stays() -> None:
    module = nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3)).eval()
    fuse_batch_norm(module)
    assert isinstance(module[1], nn.BatchNorm2d)
