"""The U-Net encoder that feeds the fusion."""

import torch
from torch import nn
from torch.nn import functional as F

from SpineFractureSegLib.engine.network.layers import conv_norm_relu


class Encoder(nn.Module):
    """Five blocks of two 3x3 convolutions with 2x2 max pooling between them.

    ``(B, inputs, H, W) -> E2 (B, 2w, H/2, W/2), E3 (B, 4w, H/4, W/4), E4 (B, 8w, H/8, W/8), E5 (B, 16w, H/16, W/16)``

    Source: a standard U-Net encoder whose blocks 2-5 feed the fusion: stated; 64 channels in the first block: inferred
    (Ronneberger et al. 2015); padding 1 and batch norm: ours.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.channels = tuple(width * 2**level for level in range(1, 5))  # of E2..E5
        blocks, previous = [], inputs
        for channels in (width, *self.channels):
            blocks.append(nn.Sequential(conv_norm_relu(previous, channels), conv_norm_relu(channels, channels)))
            previous = channels
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        x = self.blocks[0](x)
        levels = []
        for block in self.blocks[1:]:
            x = block(F.max_pool2d(x, 2))
            levels.append(x)
        return levels
