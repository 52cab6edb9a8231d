"""BatchNorm fusion: in evaluation mode a convolution and the BatchNorm after it are one linear map."""

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fuse_batch_norm(module: nn.Module) -> None:
    """Fuse each BatchNorm into the convolution before it, in place; the module must be in evaluation mode.

    That is the convolution of the same number (`bn2` follows `conv2`), or the one before it in a Sequential. Outputs
    change by rounding only.
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
