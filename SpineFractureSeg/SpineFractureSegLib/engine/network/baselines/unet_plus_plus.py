"""U-Net++, a U-Net whose skips are nested decoders."""

import torch
from torch import nn
from torch.nn import functional as F

from SpineFractureSegLib.engine.network.baselines.unet import concat_two_convs, two_convs
from SpineFractureSegLib.engine.network.config import NetworkConfig
from SpineFractureSegLib.engine.network.slice_network import SliceNetwork

_LEVELS = 5


class UNetPlusPlus(SliceNetwork):
    """(B, input_channels, H, W) -> (B, outputs, H, W), logits; w to 16 w channels.

    Node j of level i hears all earlier nodes of its level and node j - 1 of the level below, enlarged. The
    answer is the mean of those of the four nodes of full resolution, each with its own 1x1 convolution.

    Source: Zhou et al., "UNet++: A Nested U-Net Architecture for Medical Image Segmentation", DLMIA 2018: nodes,
    transposed 2x2 convolutions to the level's channels, the mean of four answers ("accurate mode"): original. One loss
    of the mean instead of one per answer, so that all networks have the same, and batch norm: ours. MONAI's
    BasicUNetPlusPlus, which the product does not need, has the same nodes; at full resolution it enlarges to twice the
    channels. 9.0 million parameters at width 32, the publication's; 36.2 at 64.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        widths = [config.width * 2**level for level in range(_LEVELS)]
        inputs = [config.input_channels, *widths[:-1]]
        self.down = nn.ModuleList(two_convs(i, w) for i, w in zip(inputs, widths, strict=True))
        # by column j = 1..4 and level i = 0..4-j
        self.up = nn.ModuleList(
            nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, 2) for w in widths[: _LEVELS - j]) for j in range(1, _LEVELS)
        )
        self.merge = nn.ModuleList(
            nn.ModuleList(concat_two_convs((j + 1) * w, w) for w in widths[: _LEVELS - j]) for j in range(1, _LEVELS)
        )
        self.outputs = nn.ModuleList(nn.Conv2d(config.width, len(config.outputs), 1) for _ in range(1, _LEVELS))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self._check(x)
        rows = []  # the nodes of each level, from left to right
        for down in self.down:
            x = down(F.max_pool2d(x, 2) if rows else x)
            rows.append([x])
        for ups, merges in zip(self.up, self.merge, strict=True):
            for level, (up, merge) in enumerate(zip(ups, merges, strict=True)):
                # the level below has not yet got this column's node: its last one is that of the column before
                rows[level].append(merge([*rows[level], up(rows[level + 1][-1])]))
        answers = [output(node) for output, node in zip(self.outputs, rows[0][1:], strict=True)]
        return torch.stack(answers).mean(0)
