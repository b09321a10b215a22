"""The whole network: encoder, multi-scale fusion, attention, decoder."""

import torch
from torch import nn

from SpineFractureSegLib.engine.network.aspp import AtrousPyramid
from SpineFractureSegLib.engine.network.config import NetworkConfig
from SpineFractureSegLib.engine.network.decoder import Decoder, SkipDecoder
from SpineFractureSegLib.engine.network.encoder import Encoder
from SpineFractureSegLib.engine.network.ffm import FeatureFusion
from SpineFractureSegLib.engine.network.lprab import LocalPositionAttention
from SpineFractureSegLib.engine.network.merge import LevelMerge
from SpineFractureSegLib.engine.network.rbrab import BorderRefinement
from SpineFractureSegLib.engine.network.rcbam import ResidualAttention
from SpineFractureSegLib.engine.network.sem import SqueezeExcitation
from SpineFractureSegLib.engine.network.slice_network import SliceNetwork


class FractureNetwork(SliceNetwork):
    """Slice, or slice with its neighbors, to logits: (B, input_channels, H, W) -> (B, outputs, H, W).

    Source: Saeed et al., "An Automated Multi-scale Feature Fusion Network for Spine Fracture Segmentation Using
    Computed Tomography Images", J Imaging Inform Med 2024. The order of the blocks: stated; the merge of the four
    levels before ASPP: ours. The ablation switches swap a block here; ``NetworkConfig`` says for what.

    20.5 million parameters at width 64, 5.1 at 32, 1.3 at 16.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        width = config.width
        self.encoder = Encoder(config.input_channels, width)
        channels = self.encoder.channels
        self.ffm = (
            FeatureFusion(channels, width) if config.ffm else _EachLevel(nn.Conv2d(c, width, 1) for c in channels)
        )
        self.sem = _EachLevel(SqueezeExcitation(width) for _ in channels) if config.sem else nn.Identity()
        self.merge = LevelMerge(width, len(channels))
        self.aspp = AtrousPyramid(width) if config.aspp else nn.Identity()
        self.rcbam = ResidualAttention(width) if config.rcbam else nn.Identity()
        self.rbrab = BorderRefinement(width, config.attention_pooling) if config.rbrab else nn.Identity()
        self.lprab = LocalPositionAttention(width) if config.lprab else nn.Identity()
        self.decoder = (SkipDecoder if config.decoder_skips else Decoder)(width, len(config.outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (B, outputs, H, W) of slices (B, input_channels, H, W) with values in [0, 1].

        Raises: ValueError, when H or W is no multiple of 16 or the channels are not ``config.input_channels``.
        """
        return self._decode(self._refine(x))

    def forward_with_refined_mask(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """As ``forward``, and RBRAB's refined mask for deep supervision.

        Returns: logits (B, outputs, H, W); logits of the fracture (B, 1, H, W), None without RBRAB.
        Raises: ValueError, as ``forward``.
        """
        refined = self._refine(x)
        return self._decode(refined), self.rbrab.refined_mask(refined) if self.config.rbrab else None

    def _refine(self, x: torch.Tensor) -> torch.Tensor:
        """(B, input_channels, H, W) -> (B, width, H, W), RBRAB's result."""
        self._check(x)
        levels = self.sem(self.ffm(self.encoder(x)))
        return self.rbrab(self.rcbam(self.aspp(self.merge(levels, x.shape[2:]))))

    def _decode(self, refined: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.lprab(refined))


class _EachLevel(nn.ModuleList):
    """Applies the k-th module to the k-th level: [(B, c_k, H_k, W_k)] -> [(B, C, H_k, W_k)]."""

    def forward(self, levels: list[torch.Tensor]) -> list[torch.Tensor]:
        return [module(level) for module, level in zip(self, levels, strict=True)]
