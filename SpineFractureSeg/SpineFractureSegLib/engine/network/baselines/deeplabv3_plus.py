"""DeepLabv3+, atrous convolutions at several rates with a small decoder."""

import torch
from torch import nn
from torch.nn import functional as F

from SpineFractureSegLib.engine.network.baselines.resnet50 import ResNet50
from SpineFractureSegLib.engine.network.config import NetworkConfig
from SpineFractureSegLib.engine.network.layers import (
    GlobalAverage,
    concat_conv_norm_relu,
    conv_norm_relu,
)
from SpineFractureSegLib.engine.network.slice_network import SliceNetwork

_RATES = (6, 12, 18)
_DROPOUT = 0.1


class DeepLabV3Plus(SliceNetwork):
    """(B, input_channels, H, W) -> (B, outputs, H, W), logits; the finest answer has H/4.

    Source: Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation", ECCV 2018.
    Output stride 16, ASPP at rates 6, 12 and 18 with image pooling, low-level 1x1 to 48 channels, two 3x3 convolutions
    of 256, bilinear enlargement by 4 twice: original. ResNet-50 instead of Xception or ResNet-101, plain 3x3
    convolutions, dropout 0.1 behind ASPP as in its code, and no batch norm after image pooling, whose map has a single
    pixel: ours. 40.3 million parameters at width 64.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        width = config.width
        self.encoder = ResNet50(config.input_channels, width)
        self.pyramid = _Pyramid(32 * width, 4 * width)
        self.low = conv_norm_relu(4 * width, 3 * width // 4, 1)  # 48 channels at width 64
        self.mix = nn.Sequential(
            concat_conv_norm_relu(4 * width + 3 * width // 4, 4 * width, 3), conv_norm_relu(4 * width, 4 * width)
        )
        self.output = nn.Conv2d(4 * width, len(config.outputs), 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self._check(x)
        low, high = self.encoder(x)
        x = _enlarged(self.pyramid(high), low.shape[2:])
        x = self.output(self.mix([self.low(low), x]))
        return F.interpolate(x, scale_factor=4, mode="bilinear", align_corners=False)


class _Pyramid(nn.Module):
    """(B, inputs, H, W) -> (B, channels, H, W)."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.point = conv_norm_relu(inputs, channels, 1)
        self.atrous = nn.ModuleList(conv_norm_relu(inputs, channels, 3, dilation=rate) for rate in _RATES)
        self.pooled = nn.Sequential(GlobalAverage(), nn.Conv2d(inputs, channels, 1), nn.ReLU(inplace=True))
        self.project = concat_conv_norm_relu((len(_RATES) + 2) * channels, channels)
        self.dropout = nn.Dropout(_DROPOUT)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = [self.point(x), *(atrous(x) for atrous in self.atrous), self.pooled(x)]
        return self.dropout(self.project(parts))


def _enlarged(x: torch.Tensor, size: torch.Size) -> torch.Tensor:
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)
