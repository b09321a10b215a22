"""RBRAB, residual border refinement attention block: every place asks the whole slice before the border is drawn."""

import torch
from torch import nn
from torch.nn import functional as F

from SpineFractureSegLib.engine.network.layers import concat_conv_norm_relu, conv_norm_relu


class BorderRefinement(nn.Module):
    """Two 3x3 convolutions and self-attention, concatenated with the input: (B, C, H, W) -> (B, C, H, W).

    ``refined_mask``: (B, C, H, W) of this block's result -> (B, 1, H, W), logits of the fracture for deep supervision.

    Source: the layers, their order, the concatenation and a refined mask: stated; the form of the attention: inferred;
    the 1x1 convolution and the auxiliary loss on the refined mask: ours.
    """

    def __init__(self, channels: int, attention_pooling: int = 8) -> None:
        super().__init__()
        self.convs = nn.Sequential(conv_norm_relu(channels, channels), conv_norm_relu(channels, channels))
        self.attention = PooledSelfAttention(channels, attention_pooling)
        self.squeeze = concat_conv_norm_relu(2 * channels, channels)
        self.refined_mask = nn.Conv2d(channels, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.squeeze([x, self.attention(self.convs(x))])


class PooledSelfAttention(nn.Module):
    """Every pixel attends to the slice pooled by ``pooling``: (B, C, H, W) -> (B, C, H, W).

    ``pooling`` 1 is full self-attention: 65,536 keys for a 256x256 slice, 17 GB for the map alone; 8 leaves 1,024.

    Source: the SAGAN/DANet form (Zhang et al. 2019, Fu et al. 2019) with a learned gain starting at 0: inferred;
    average-pooled keys and values, queries and keys of all C channels and their scaling by 1/sqrt(C): ours.
    """

    def __init__(self, channels: int, pooling: int) -> None:
        super().__init__()
        self.pooling = pooling
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(channels, 2 * channels)
        self.gain = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = F.avg_pool2d(x, self.pooling) if self.pooling > 1 else x
        query = self.query(_tokens(x))  # (B, 1, HW, C)
        key, value = self.key_value(_tokens(pooled)).chunk(2, -1)  # (B, 1, HW / pooling**2, C)
        value = value * self.gain.to(value.dtype)  # of the few values, not of every pixel
        heard = _attend(query, key, value).to(x.dtype)
        return x + heard.reshape(x.shape[0], *x.shape[2:], x.shape[1]).permute(0, 3, 1, 2)


def _attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    if query.device.type != "cpu":
        return F.scaled_dot_product_attention(query, key, value)
    with torch.autocast("cpu", enabled=False):  # on CPUs the gradient is twice as fast in fp32 as in bf16
        return F.scaled_dot_product_attention(query.float(), key.float(), value.float())


def _tokens(x: torch.Tensor) -> torch.Tensor:
    """(B, C, H, W) -> (B, 1, HW, C): one head; a view where ``x`` is channels_last."""
    return x.permute(0, 2, 3, 1).reshape(x.shape[0], 1, -1, x.shape[1])
