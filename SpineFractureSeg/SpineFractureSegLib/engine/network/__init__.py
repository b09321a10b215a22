"""The network of Saeed et al. 2024, block by block, and what is ours in it."""

from SpineFractureSegLib.engine.network.config import NetworkConfig
from SpineFractureSegLib.engine.network.fusion import fuse_for_inference
from SpineFractureSegLib.engine.network.network import FractureNetwork

__all__ = ["FractureNetwork", "NetworkConfig", "fuse_for_inference"]
