"""What the network sees and says, as one picture."""

import torch
from torch import Tensor
from torchvision.utils import draw_bounding_boxes, make_grid

from localizer.boxes import Array
from localizer.model.localizer import Localizer
from localizer.predictor import predict_boxes
from localizer.training.engine import Samples

SHOWN, SIDE = 8, 192  # images, and pixels a side of each
TRUE, PREDICTED = "white", "red"


def draw_boxes(model: Localizer, samples: Samples) -> Array:
    """Return RGB uint8 [H, W, 3]: the first few samples side by side, with true boxes white and predicted ones red."""
    pixels = samples.pixels[:SHOWN]
    pred = torch.from_numpy(predict_boxes(model, pixels.to(samples.boxes.device)))
    large = torch.nn.functional.interpolate(pixels.cpu(), (SIDE, SIDE))
    pairs = torch.stack([samples.boxes[:SHOWN].cpu().double(), pred], dim=1) * SIDE
    drawn = [_draw(image, pair) for image, pair in zip(large, pairs, strict=True)]
    return make_grid(drawn, nrow=SHOWN // 2).permute(1, 2, 0).numpy()


def _draw(image: Tensor, pair: Tensor) -> Tensor:
    corners = torch.cat([pair[:, :2], torch.maximum(pair[:, 2:], pair[:, :2] + 1)], dim=1)  # a box without area, too
    return draw_bounding_boxes(image, corners, colors=[TRUE, PREDICTED], width=2)
