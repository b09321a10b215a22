"""What every network of this package has in common: slices in, logits out."""

import torch
from torch import nn

from SpineFractureSegLib.engine.network.config import SIZE_MULTIPLE, NetworkConfig


class SliceNetwork(nn.Module):
    """Slice, or slice with its neighbors, to logits: (B, input_channels, H, W) -> (B, outputs, H, W).

    A network implements ``forward``, or ``forward_with_refined_mask`` too where it has such a mask.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config

    def forward_with_refined_mask(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """As ``forward``, and a first mask for deep supervision.

        Returns: logits (B, outputs, H, W); logits of the fracture (B, 1, H, W), None where there is no such mask.
        Raises: ValueError, as ``forward``.
        """
        return self(x), None

    def _check(self, x: torch.Tensor) -> None:
        """Raises: ValueError, when H or W is no multiple of 16 or the channels are not ``config.input_channels``."""
        if x.ndim != 4 or x.shape[1] != self.config.input_channels:
            raise ValueError(f"input must be (B, {self.config.input_channels}, H, W), not {tuple(x.shape)}")
        height, width = x.shape[2:]
        if height % SIZE_MULTIPLE or width % SIZE_MULTIPLE or not height or not width:
            raise ValueError(f"height and width must be multiples of {SIZE_MULTIPLE}, not {height} and {width}")
