"""FCN-8s, a classification network made fully convolutional, with answers at three resolutions."""

import torch
from torch import nn
from torch.nn import functional as F

from SpineFractureSegLib.engine.network.baselines.vgg16 import FACTORS, vgg16_blocks
from SpineFractureSegLib.engine.network.config import NetworkConfig
from SpineFractureSegLib.engine.network.layers import conv_norm_relu
from SpineFractureSegLib.engine.network.slice_network import SliceNetwork

_DROPOUT = 0.5


class FCN8s(SliceNetwork):
    """(B, input_channels, H, W) -> (B, outputs, H, W), logits; the finest answer has H/8.

    Source: Shelhamer, Long, Darrell, "Fully Convolutional Networks for Semantic Segmentation", PAMI 2017. VGG-16, its
    two fully connected layers as 7x7 and 1x1 convolutions of 64 w channels with dropout, 1x1 answers from blocks 3, 4
    and 5, learned enlargement between them that begins as bilinear, bilinear enlargement by 8 at last: original.
    Padding 3 of the 7x7 convolution instead of 100 pixels around the slice, batch norm, and no factors on the answers
    of blocks 3 and 4, which fit VGG-16 without it: ours. 134 million parameters at width 64.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        width, outputs = config.width, len(config.outputs)
        channels = [factor * width for factor in FACTORS]
        self.blocks = vgg16_blocks(config.input_channels, width)
        self.fully_connected = nn.Sequential(
            conv_norm_relu(channels[4], 64 * width, 7),
            nn.Dropout2d(_DROPOUT),
            conv_norm_relu(64 * width, 64 * width, 1),
            nn.Dropout2d(_DROPOUT),
        )
        self.answer_32 = nn.Conv2d(64 * width, outputs, 1)
        self.answer_16 = nn.Conv2d(channels[3], outputs, 1)
        self.answer_8 = nn.Conv2d(channels[2], outputs, 1)
        self.enlarge_32 = _bilinear_enlargement(outputs)
        self.enlarge_16 = _bilinear_enlargement(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self._check(x)
        size, pooled = x.shape[2:], []
        for block in self.blocks:
            x = F.max_pool2d(block(x), 2, ceil_mode=True)  # the fifth pooling may meet an odd length
            pooled.append(x)
        x = self.answer_32(self.fully_connected(x))
        x = _cropped(self.enlarge_32(x), pooled[3]) + self.answer_16(pooled[3])
        x = self.enlarge_16(x) + self.answer_8(pooled[2])
        return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def _bilinear_enlargement(channels: int) -> nn.ConvTranspose2d:
    """Twice the size, each channel by itself at first."""
    conv = nn.ConvTranspose2d(channels, channels, 4, 2, padding=1, bias=False)
    line = torch.tensor([0.25, 0.75, 0.75, 0.25])
    with torch.no_grad():
        conv.weight.copy_(torch.eye(channels)[:, :, None, None] * torch.outer(line, line))
    return conv


def _cropped(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return x[:, :, : like.shape[2], : like.shape[3]]
