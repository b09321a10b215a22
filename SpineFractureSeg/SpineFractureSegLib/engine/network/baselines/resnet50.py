"""ResNet-50 with a stride of 16 instead of 32, the encoder of DeepLabv3+."""

import torch
from torch import nn
from torch.nn import functional as F

from SpineFractureSegLib.engine.network.layers import conv_norm, conv_norm_relu

_BLOCKS = (3, 4, 6, 3)  # of each stage


class ResNet50(nn.Module):
    """(B, inputs, H, W) -> low level (B, 4w, H/4, W/4), high level (B, 32w, H/16, W/16).

    Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, width 64: original; the stride on the
    3x3 convolution: torchvision's; dilation instead of stride in the last stage, at rates 2, 4 and 8: DeepLabv3's
    (Chen et al. 2017), output stride 16 and multi-grid (1, 2, 4). 23.5 million parameters at width 64.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.stem = _strided(inputs, width, 7)
        stages, previous = [], width
        for stage, blocks in enumerate(_BLOCKS):
            channels = width * 2**stage
            layers = nn.Sequential()
            for block in range(blocks):
                stride = 2 if block == 0 and stage in (1, 2) else 1
                dilation = 2 * 2**block if stage == 3 else 1
                layers.append(Bottleneck(previous, channels, stride, dilation))
                previous = 4 * channels
            stages.append(layers)
        self.stages = nn.ModuleList(stages)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = F.max_pool2d(self.stem(x), 3, 2, padding=1)  # w @ H/4
        x = low = self.stages[0](x)
        for stage in self.stages[1:]:
            x = stage(x)
        return low, x


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolution beside the identity: (B, inputs, H, W) -> (B, 4 channels, H/stride, W/stride)."""

    def __init__(self, inputs: int, channels: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.reduce = conv_norm_relu(inputs, channels, 1)
        self.conv = _strided(channels, channels, 3, stride, dilation)
        self.expand = conv_norm(channels, 4 * channels, 1)
        same = stride == 1 and inputs == 4 * channels
        self.shortcut = nn.Identity() if same else _projection(inputs, 4 * channels, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.expand(self.conv(self.reduce(x))) + self.shortcut(x), inplace=True)


def _strided(inputs: int, outputs: int, kernel: int, stride: int = 2, dilation: int = 1) -> nn.Sequential:
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def _projection(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
