"""Folds batch norms into their convolutions, for inference."""

import copy

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from SpineFractureSegLib.engine.network.slice_network import SliceNetwork


def fuse_for_inference(network: SliceNetwork) -> SliceNetwork:
    """A copy in eval mode with the same outputs and fewer layers; ``network`` itself stays as it is.

    A batch norm that directly follows a convolution, plain or transposed, in an ``nn.Sequential`` is folded into it.
    The one of ``LevelMerge``, which follows a sum, stays.
    """
    fused = copy.deepcopy(network).eval()
    for module in fused.modules():
        if isinstance(module, nn.Sequential):
            _fold(module)
    return fused.requires_grad_(False)


def _fold(layers: nn.Sequential) -> None:
    for index in range(len(layers) - 1):
        conv, norm = layers[index], layers[index + 1]
        if isinstance(conv, nn.Conv2d | nn.ConvTranspose2d) and isinstance(norm, nn.BatchNorm2d):
            layers[index] = fuse_conv_bn_eval(conv, norm, transpose=isinstance(conv, nn.ConvTranspose2d))
            layers[index + 1] = nn.Identity()
