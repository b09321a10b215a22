"""U-Net, the encoder and decoder that all others are held against."""

import torch
from torch import nn
from torch.nn import functional as F

from SpineFractureSegLib.engine.network.config import NetworkConfig
from SpineFractureSegLib.engine.network.layers import concat_conv_norm_relu, conv_norm_relu
from SpineFractureSegLib.engine.network.slice_network import SliceNetwork


class UNet(SliceNetwork):
    """(B, input_channels, H, W) -> (B, outputs, H, W), logits; w to 16 w channels, w at full resolution.

    Source: Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015.
    Two 3x3 convolutions per level, 2x2 max pooling, transposed 2x2 convolutions that halve the channels, concatenation,
    a last 1x1: original. Padding 1, so that the answer has the slice's size, and batch norm: ours. 31.0 million
    parameters at width 64.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        widths = [config.width * 2**level for level in range(5)]
        inputs = [config.input_channels, *widths[:-1]]
        self.down = nn.ModuleList(two_convs(i, w) for i, w in zip(inputs, widths, strict=True))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, 2) for w in reversed(widths[:-1]))
        self.merge = nn.ModuleList(concat_two_convs(2 * w, w) for w in reversed(widths[:-1]))
        self.output = nn.Conv2d(config.width, len(config.outputs), 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self._check(x)
        levels = []
        for down in self.down:
            x = down(F.max_pool2d(x, 2) if levels else x)
            levels.append(x)  # 16w @ H/16 at last
        levels.pop()
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge([levels.pop(), up(x)])
        return self.output(x)


def two_convs(inputs: int, outputs: int) -> nn.Sequential:
    """Two 3x3 convolutions: (B, inputs, H, W) -> (B, outputs, H, W)."""
    return nn.Sequential(conv_norm_relu(inputs, outputs), conv_norm_relu(outputs, outputs))


def concat_two_convs(inputs: int, outputs: int) -> nn.Sequential:
    """As ``two_convs`` for a concatenation of parts with ``inputs`` channels together."""
    return nn.Sequential(concat_conv_norm_relu(inputs, outputs, 3), conv_norm_relu(outputs, outputs))
