"""SegNet, whose decoder puts every value back where the encoder's pooling had found it."""

import torch
from torch import nn
from torch.nn import functional as F

from SpineFractureSegLib.engine.network.baselines.vgg16 import CONVS, FACTORS, vgg16_blocks
from SpineFractureSegLib.engine.network.config import NetworkConfig
from SpineFractureSegLib.engine.network.layers import conv_norm_relu
from SpineFractureSegLib.engine.network.slice_network import SliceNetwork


class SegNet(SliceNetwork):
    """(B, input_channels, H, W) -> (B, outputs, H, W), logits.

    Source: Badrinarayanan, Kendall, Cipolla, "SegNet: A Deep Convolutional Encoder-Decoder Architecture for Image
    Segmentation", PAMI 2017: VGG-16 with batch norm, its mirror image as the decoder, unpooling with the stored
    indices: original. The last convolution is a 3x3 that answers: original. 29.4 million parameters at width 64.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self.encoder = vgg16_blocks(config.input_channels, config.width)
        self.decoder = nn.ModuleList()
        for block in range(4, -1, -1):
            channels = FACTORS[block] * config.width
            layers = nn.Sequential(*(conv_norm_relu(channels, channels) for _ in range(CONVS[block] - 1)))
            if block:  # the last convolution of a block leaves what the next one unpools
                layers.append(conv_norm_relu(channels, FACTORS[block - 1] * config.width))
            self.decoder.append(layers)
        self.output = nn.Conv2d(config.width, len(config.outputs), 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self._check(x)
        found = []  # size before each pooling, and the indices of the maxima
        for block in self.encoder:
            x = block(x)
            size = x.shape[2:]
            x, indices = F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)  # the fifth may meet an odd length
            found.append((size, indices))
        for block in self.decoder:
            x = block(_unpooled(x, *found.pop()))
        return self.output(x)


def _unpooled(x: torch.Tensor, size: torch.Size, indices: torch.Tensor) -> torch.Tensor:
    """As ``torch.nn.functional.max_unpool2d``, in every number format."""
    flat = x.new_zeros(*x.shape[:2], size.numel())
    return flat.scatter(2, indices.flatten(2), x.flatten(2)).unflatten(2, size)
