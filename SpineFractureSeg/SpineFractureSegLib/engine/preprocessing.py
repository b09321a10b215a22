"""What is done to a CT before the network sees it. Stored in every model file; training and inference share it."""

from dataclasses import dataclass

AIR_HU = -1024  # what lies outside a CT, and the lowest value that a CT has
PLANES = ("sagittal", "axial", "coronal")


@dataclass(frozen=True)
class Preprocessing:
    """From Hounsfield units on the CT's grid to slice windows in [0, 1].

    Raises: ValueError, when a field cannot be used; the message quotes it.
    """

    spacing_mm: float = 1.0  # isotropic spacing of the working grid
    window_hu: tuple[float, float] = (-250.0, 1150.0)  # mapped linearly to [0, 1] and clipped
    planes: tuple[str, ...] = ("sagittal",)  # planes that are segmented, the first finds the spine region
    plane_weights: tuple[float, ...] = (1.0,)  # weight of each plane's probability in the fusion
    context_mm: tuple[float, ...] = (0.0,)  # offsets of the slices that are the input channels; (0,) is the paper's
    window_size: tuple[int, int] = (256, 256)  # rows, columns of the windows that the network was trained on

    def __post_init__(self) -> None:
        if not 0.2 <= self.spacing_mm <= 10:
            raise ValueError(f"spacing_mm must lie between 0.2 and 10, not {self.spacing_mm}")
        if self.window_hu[0] >= self.window_hu[1]:
            raise ValueError(f"window_hu must be (lower, upper), not {self.window_hu}")
        if not self.planes or set(self.planes) - set(PLANES) or len(set(self.planes)) < len(self.planes):
            raise ValueError(f"planes must be different ones of {PLANES}, not {self.planes}")
        if len(self.plane_weights) != len(self.planes) or min(self.plane_weights) <= 0:
            raise ValueError(f"plane_weights must be one positive number per plane, not {self.plane_weights}")
        if 0.0 not in self.context_mm:
            raise ValueError(f"context_mm must hold the slice itself, 0.0, not only {self.context_mm}")
        if len(self.context_mm) > 65 or max(map(abs, self.context_mm)) > 100:
            raise ValueError(f"context_mm must be at most 65 offsets within 100 mm, not {self.context_mm}")
        if any(size < 16 or size % 16 or size > 1024 for size in self.window_size):
            raise ValueError(f"window_size must be multiples of 16 up to 1024, not {self.window_size}")
