"""Settings of the simulator. Ranges are (low, high) of a uniform draw unless a comment says otherwise."""

from dataclasses import dataclass

Range = tuple[float, float]


@dataclass(frozen=True)
class SimulationConfig:
    """What is drawn for one simulated case.

    Raises: ValueError, when a height loss would fall into the dead zone between intact and fractured.
    """

    shape: tuple[int, int, int] = (208, 168, 88)  # voxels (z, y, x) of the case at 1 mm

    # fractures
    fracture_count: tuple[float, ...] = (0.2, 0.5, 0.3)  # probability of 0, 1, 2 new fractures
    types: tuple[str, ...] = ("wedge", "biconcave", "crush")
    type_weights: tuple[float, ...] = (0.45, 0.3, 0.25)
    height_loss: Range = (0.2, 0.6)  # largest of anterior, middle and posterior loss, as a share of the intact height
    intact_height_loss: Range = (-0.08, 0.13)  # natural variation of intact vertebrae, deformed the same way
    intact_deformed: float = 0.5  # probability that an intact vertebra is deformed within that range
    dead_zone: Range = (0.13, 0.19)  # between the two nothing is drawn, trained on or scored
    lateral_tilt: float = 0.25  # standard deviation of the loss's left-right slope
    impaction_band: float = 0.65  # probability of a dense band
    cleft: float = 0.35  # probability of a dark or gas-filled line
    cortical_gap: float = 0.6  # probability of interruptions of the shell
    cortical_step: float = 0.6  # probability of a step-off or bulge of the front wall
    step_mm: Range = (1.0, 4.5)

    # anatomy and pose
    tilt_deg: tuple[float, float, float] = (9.0, 3.0, 4.0)  # standard deviations about the x, y and z axis
    scale: Range = (0.85, 1.15)
    stretch: Range = (0.94, 1.06)  # per axis
    elastic_mm: Range = (0.5, 2.5)  # standard deviation of a smooth deformation over 20 mm
    off_centre_mm: tuple[float, float, float] = (60.0, 25.0, 8.0)  # half range in z, y; standard deviation in x
    mimics: float = 0.35  # probability of a degenerative change per intact vertebra

    # scan
    slice_thickness_mm: tuple[float, ...] = (2.0, 3.0, 4.0, 5.0)  # one of these, in thick_slices of the cases
    thick_slices: float = 0.5
    blur_mm: Range = (0.0, 0.7)
    sharpen: float = 0.35  # probability of a sharp kernel
    noise_hu: Range = (3.0, 45.0)

    def __post_init__(self) -> None:
        if self.intact_height_loss[1] > self.dead_zone[0] or self.height_loss[0] < self.dead_zone[1]:
            raise ValueError(
                f"intact {self.intact_height_loss} and fractured {self.height_loss} height loss must lie outside "
                f"the dead zone {self.dead_zone}"
            )
        if len(self.types) != len(self.type_weights):
            raise ValueError(f"types {self.types} and type_weights {self.type_weights} must have one length")


# Cases for the accuracy benchmark: scanners and fracture patterns that training never draws.
HELD_OUT = SimulationConfig(
    lateral_tilt=0.4,
    step_mm=(0.5, 6.0),
    elastic_mm=(1.0, 3.2),
    slice_thickness_mm=(1.5, 2.5, 3.5),
    blur_mm=(0.2, 1.0),
    noise_hu=(5.0, 70.0),
)
