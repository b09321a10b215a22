"""SEM, squeeze and excitation module: weighs the channels of one fused level."""

import torch
from torch import nn

from SpineFractureSegLib.engine.network.layers import GlobalAverage


class SqueezeExcitation(nn.Module):
    """Scales each channel by what the whole map holds, then a 1x1 convolution: (B, C, H, W) -> (B, C, H, W).

    Source: global average pooling, two fully connected layers, a 1x1 convolution: stated; sigmoid and reduction 16:
    inferred (Hu et al. 2018); never fewer than 4 hidden channels: ours. The paper gives the result the size of the
    slice, which a 1x1 convolution cannot do: the resize follows in ``merge.py``.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(channels // reduction, 4)
        self.pool = GlobalAverage()
        self.squeeze = nn.Linear(channels, hidden)
        self.excite = nn.Linear(hidden, channels)
        self.project = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scale = torch.sigmoid(self.excite(torch.relu(self.squeeze(self.pool(x).flatten(1)))))
        return self.project(x * scale[:, :, None, None])
