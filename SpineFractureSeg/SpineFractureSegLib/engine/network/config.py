"""What a network is built from. Stored in every model file: it alone rebuilds the network that the weights fit."""

from dataclasses import dataclass, fields

SIZE_MULTIPLE = 16  # four halvings in the encoder: height and width of a slice are multiples of this

# the proposed network and those of the paper's Table 2
ARCHITECTURES = ("proposed", "unet", "unet++", "fcn8s", "segnet", "deeplabv3+", "spinegan")
_OF_EVERY_ARCHITECTURE = ("width", "input_channels", "outputs", "architecture")


@dataclass(frozen=True)
class NetworkConfig:
    """Which network, and its sizes and switches. The defaults are the paper's proposed network, ``FractureNetwork``.

    The six switches are those of the paper's ablation table; the paper does not say what it put in a removed module's
    place. Ours: without ``ffm`` each level keeps its own 1x1 convolution to ``width`` channels and hears nothing of the
    others; without ``sem``, ``aspp``, ``rcbam``, ``rbrab`` or ``lprab`` the identity stands in its place (the maps are
    resized and merged as before), and without ``rbrab`` there is no refined mask. The networks that it is compared with
    (``baselines``) have none of the switches.

    Raises: ValueError, when a field cannot be used; the message quotes it.
    """

    width: int = 64  # channels at full resolution; 64 is the paper's, 32 and 16 are for CPUs
    input_channels: int = 1  # the slice alone is the paper's; with neighbors: one channel a slice
    outputs: tuple[str, ...] = ("fracture",)  # names of the output channels, the first is the fracture
    ffm: bool = True  # feature fusion module
    sem: bool = True  # squeeze and excitation module
    aspp: bool = True  # atrous spatial pyramid pooling
    rcbam: bool = True  # residual convolution block attention module
    rbrab: bool = True  # residual border refinement attention block
    lprab: bool = True  # local position residual attention block
    decoder_skips: bool = False  # skips inside the decoder and bilinear upsampling: ours, not the paper's
    attention_pooling: int = 8  # RBRAB's keys and values are pooled by this factor; 1 is exact and large
    architecture: str = "proposed"  # one of ARCHITECTURES

    def __post_init__(self) -> None:
        object.__setattr__(self, "outputs", tuple(self.outputs))  # JSON knows lists only
        if not isinstance(self.width, int) or self.width < 4 or self.width % 4:
            raise ValueError(f"width must be a positive multiple of 4, not {self.width}")
        if not isinstance(self.input_channels, int) or self.input_channels < 1:
            raise ValueError(f"input_channels must be at least 1, not {self.input_channels}")
        if not self.outputs or self.outputs[0] != "fracture" or len(set(self.outputs)) < len(self.outputs):
            raise ValueError(f"outputs must be different names beginning with 'fracture', not {self.outputs}")
        if self.attention_pooling not in (1, 2, 4, 8, 16):
            raise ValueError(f"attention_pooling must be 1, 2, 4, 8 or 16, not {self.attention_pooling}")
        if self.architecture not in ARCHITECTURES:
            raise ValueError(f"architecture must be one of {', '.join(ARCHITECTURES)}, not {self.architecture!r}")
        if self.architecture != "proposed":
            self._refuse_switches()

    def _refuse_switches(self) -> None:
        for field in fields(self):
            if field.name not in _OF_EVERY_ARCHITECTURE and getattr(self, field.name) != field.default:
                raise ValueError(f"{field.name} belongs to the proposed network, {self.architecture} has no such part")
