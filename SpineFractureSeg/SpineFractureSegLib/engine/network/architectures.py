"""From a config to its network: the proposed one, or one of the six that the paper's Table 2 compares it with."""

from SpineFractureSegLib.engine.network.baselines.deeplabv3_plus import DeepLabV3Plus
from SpineFractureSegLib.engine.network.baselines.fcn8s import FCN8s
from SpineFractureSegLib.engine.network.baselines.segnet import SegNet
from SpineFractureSegLib.engine.network.baselines.spinegan import SpineGAN
from SpineFractureSegLib.engine.network.baselines.unet import UNet
from SpineFractureSegLib.engine.network.baselines.unet_plus_plus import UNetPlusPlus
from SpineFractureSegLib.engine.network.config import NetworkConfig
from SpineFractureSegLib.engine.network.network import FractureNetwork
from SpineFractureSegLib.engine.network.slice_network import SliceNetwork

_CLASSES: dict[str, type[SliceNetwork]] = {
    "proposed": FractureNetwork,
    "unet": UNet,
    "unet++": UNetPlusPlus,
    "fcn8s": FCN8s,
    "segnet": SegNet,
    "deeplabv3+": DeepLabV3Plus,
    "spinegan": SpineGAN,
}


def build_network(config: NetworkConfig) -> SliceNetwork:
    """The network of ``config.architecture`` with random first weights, in training mode."""
    return _CLASSES[config.architecture](config)
