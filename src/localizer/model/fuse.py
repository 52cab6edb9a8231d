"""BatchNorm folded into the convolutions before it: in evaluation mode both are one linear map."""

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fuse_batch_norm(module: nn.Module) -> None:
    """Replace each convolution and the BatchNorm after it by one convolution, in place; the module is in eval mode.

    A BatchNorm is after the convolution whose name it bears (`bn2` after `conv2`), or that stands before it in a
    Sequential. Outputs change by rounding alone.
    """
    parts = dict(module.named_children())
    names = list(parts)
    for before, name in zip([None, *names], names, strict=False):
        follows = before if isinstance(module, nn.Sequential) else name.replace("bn", "conv")
        convolution, norm = parts.get(follows or ""), parts[name]
        if isinstance(norm, nn.BatchNorm2d) and isinstance(convolution, nn.Conv2d):
            setattr(module, str(follows), fuse_conv_bn_eval(convolution, norm))
            setattr(module, name, nn.Identity())
        fuse_batch_norm(parts[name])
