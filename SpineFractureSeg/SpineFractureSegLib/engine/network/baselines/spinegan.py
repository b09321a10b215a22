"""SpineGAN: atrous convolutions and a recurrent layer over the slice, trained against a discriminator.

The discriminator is needed in training alone: ``training/adversary.py`` trains it, no model file has it.
"""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from SpineFractureSegLib.engine.network.config import NetworkConfig
from SpineFractureSegLib.engine.network.layers import conv_norm_relu
from SpineFractureSegLib.engine.network.slice_network import SliceNetwork

_RATES = (2, 4, 8, 16)
_POOLING = 4  # of the map that the recurrent layer walks over


class SpineGAN(SliceNetwork):
    """The generator: (B, input_channels, H, W) -> (B, outputs, H, W), logits.

    Source: Han et al., "Spine-GAN: Semantic segmentation of multiple spinal structures", Medical Image Analysis 2018,
    in the form of the first author's spine-reports-gene, ``nets/SpinePathNet.py``. Layers, their order, channels w = 32
    to 4 w, rates 2, 4, 8, 16, the bidirectional LSTM over the positions of the pooled map, its sum with the atrous map:
    original. LSTM without peepholes, which torch does not have; the answer's 1x1 without batch norm; any slice size
    (the LSTM walks as far as the map is long), where the original has 512x512: ours.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        w = config.width
        self.fine = nn.Sequential(conv_norm_relu(config.input_channels, w, 7), conv_norm_relu(w, w, 7))
        self.middle = nn.Sequential(conv_norm_relu(w, 2 * w), conv_norm_relu(2 * w, 2 * w))
        inputs = [2 * w, 4 * w, 4 * w, 4 * w]
        self.atrous = nn.Sequential(
            *(conv_norm_relu(i, 4 * w, dilation=rate) for i, rate in zip(inputs, _RATES, strict=True))
        )
        self.local = _LocalLSTM(4 * w)
        self.up = nn.Sequential(_doubled(4 * w, 4 * w), _doubled(4 * w, 4 * w))
        self.squeeze = conv_norm_relu(4 * w, 2 * w, 1)
        self.output = nn.Conv2d(2 * w, len(config.outputs), 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self._check(x)
        x = F.max_pool2d(self.fine(x), 2)  # w @ H/2
        x = self.atrous(F.max_pool2d(self.middle(x), 2))  # 4w @ H/4
        return self.output(self.squeeze(self.up(x + self.local(x))))


class _LocalLSTM(nn.Module):
    """Every position hears those before and after it: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(channels, channels, batch_first=True, bidirectional=True)
        self.up = nn.Sequential(_doubled(2 * channels, channels), _doubled(channels, channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = F.avg_pool2d(x, _POOLING)
        steps = pooled.flatten(2).transpose(1, 2)  # (B, H W / 16, C), row by row
        with torch.autocast(x.device.type, enabled=False):  # hundreds of steps: rounding would add up
            heard, _ = self.lstm(steps.to(self.lstm.weight_ih_l0.dtype))
        return self.up(heard.transpose(1, 2).unflatten(2, pooled.shape[2:]))


class Discriminator(nn.Module):
    """Does a person or the network draw so? (B, outputs, H, W) of probabilities -> (B,), logits.

    Source: as ``SpineGAN``: three times 7x7 convolution of stride 2, batch norm, ReLU and average pooling by 2, with w,
    2 w and 4 w channels, a fully connected layer of 8 w with dropout 0.4, one output: original. Where the last map is
    not 4x4 as for a slice of 256x256, it is averaged or repeated to 4x4: ours.
    """

    def __init__(self, outputs: int, width: int) -> None:
        super().__init__()
        channels = (outputs, width, 2 * width, 4 * width)
        self.convs = nn.Sequential(
            *(_quartered(before, after) for before, after in pairwise(channels)),
            nn.AdaptiveAvgPool2d(4),
        )
        self.classify = nn.Sequential(
            nn.Linear(16 * 4 * width, 8 * width), nn.ReLU(inplace=True), nn.Dropout(0.4), nn.Linear(8 * width, 1)
        )

    def forward(self, masks: torch.Tensor) -> torch.Tensor:
        return self.classify(self.convs(masks).flatten(1))[:, 0]


def _doubled(inputs: int, outputs: int) -> nn.Sequential:
    conv = nn.ConvTranspose2d(inputs, outputs, 3, 2, padding=1, output_padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def _quartered(inputs: int, outputs: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 7, 2, padding=3, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True), nn.AvgPool2d(2, ceil_mode=True))
