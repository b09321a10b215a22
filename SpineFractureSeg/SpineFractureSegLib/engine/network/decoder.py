"""Part 2 of the network: initial block, bottleneck encoder, bottleneck decoder, head.

Two decoders of one idea: ``Decoder`` is the paper's, ``SkipDecoder`` ours. A *step* halves or doubles the grid.
"""

import torch
from torch import nn
from torch.nn import functional as F

from SpineFractureSegLib.engine.network.layers import concat_conv_norm_relu, conv_norm_relu


class Decoder(nn.Module):
    """As the paper tells it, without a skip: (B, w, H, W) -> (B, outputs, H, W), logits.

    Source: two 3x3 convolutions with batch norm, three separable convolutions, two upsamplings with 1x1 convolutions, a
    transposed convolution, batch norm and a 1x1 convolution, in this order: stated; stride 2 of the separable and the
    transposed ones, ReLU: inferred; channels 2w, 4w, 8w and the reading of the upsampling's "3x3 kernel" as a
    depthwise 3x3 smoothing: ours.
    """

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        w = width
        self.initial = nn.Sequential(conv_norm_relu(w, w), conv_norm_relu(w, w))
        self.down = nn.Sequential(_down(w, 2 * w), _down(2 * w, 4 * w), _down(4 * w, 8 * w))  # 8w @ H/8
        self.up = nn.Sequential(_up(8 * w, 4 * w), _up(4 * w, 2 * w))  # 2w @ H/2
        self.transposed = _transposed(2 * w, w)  # w @ H
        self.output = nn.Conv2d(w, outputs, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.output(self.transposed(self.up(self.down(self.initial(x)))))


class SkipDecoder(nn.Module):
    """The same layers with skips and bilinear upsampling: (B, w, H, W) -> (B, outputs, H, W), logits.

    Each map on the way down is concatenated with the one of its size on the way up, before the pointwise convolution;
    the last one, of full size, before a 3x3 convolution that precedes the output.

    Source: ours: without skips every outline has passed a grid of H/8 and is blocky.
    """

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        w = width
        self.initial = nn.Sequential(conv_norm_relu(w, w), conv_norm_relu(w, w))
        self.down = nn.ModuleList([_down(w, 2 * w), _down(2 * w, 4 * w), _down(4 * w, 8 * w)])
        self.smooth = nn.ModuleList([_depthwise(8 * w), _depthwise(4 * w)])
        self.up = nn.ModuleList(
            [concat_conv_norm_relu(8 * w + 4 * w, 4 * w), concat_conv_norm_relu(4 * w + 2 * w, 2 * w)]
        )
        self.transposed = _transposed(2 * w, w)
        self.mix = concat_conv_norm_relu(2 * w, w, 3)
        self.output = nn.Conv2d(w, outputs, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = full = self.initial(x)  # w @ H
        skips = []
        for down in self.down:
            skips.append(x)
            x = down(x)  # 8w @ H/8 at last
        for smooth, up in zip(self.smooth, self.up, strict=True):
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = up([smooth(x), skips.pop()])
        return self.output(self.mix([self.transposed(x), full]))


def _depthwise(channels: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, stride, padding=1, groups=channels, bias=False)


def _down(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(_depthwise(inputs, 2), *conv_norm_relu(inputs, outputs, 1))


def _up(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Upsample(scale_factor=2), _depthwise(inputs), *conv_norm_relu(inputs, outputs, 1))


def _transposed(inputs: int, outputs: int) -> nn.Sequential:
    conv = nn.ConvTranspose2d(inputs, outputs, 2, 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))
