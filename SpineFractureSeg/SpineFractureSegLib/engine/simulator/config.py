"""Settings of the simulator. Ranges are (low, high) of a uniform draw unless a comment says otherwise."""

from dataclasses import dataclass

Range = tuple[float, float]


@dataclass(frozen=True)
class SimulationConfig:
    """What is drawn for one simulated case.

    Raises: ValueError, when a height loss would fall into the dead zone between intact and fractured, or types and
        weights do not fit.
    """

    shape: tuple[int, int, int] = (208, 168, 88)  # voxels (z, y, x) of the case at 1 mm

    # fractures
    fracture_count: tuple[float, ...] = (0.2, 0.5, 0.3)  # probability of 0, 1, 2 new fractures
    real_ct_weight: float = 2.5  # of a spine with a CT, where one whose Hounsfield units are synthesized has 1
    twins: float = 0.4  # probability that a case in a real CT is followed by the same case without its fractures
    resynthesized: float = 0.2  # probability that a CT gives its anatomy alone, with Hounsfield units synthesized
    types: tuple[str, ...] = ("wedge", "lateral", "biconcave", "crush", "burst", "split", "chance")
    type_weights: tuple[float, ...] = (0.32, 0.08, 0.22, 0.16, 0.13, 0.04, 0.05)
    part_fractures: float = 0.12  # probability that a fracture is one of a part or of the sacrum, where labels have it
    part_types: tuple[str, ...] = ("odontoid", "spinous", "transverse", "arch", "sacral_wing", "sacral_body")
    part_weights: tuple[float, ...] = (0.22, 0.22, 0.2, 0.14, 0.11, 0.11)
    part_gap_mm: Range = (1.0, 4.0)  # by which a process or the dens moved away
    part_slide_mm: Range = (0.5, 4.0)  # by which it slid along the fracture
    height_loss: Range = (0.2, 0.6)  # largest of anterior, middle and posterior loss, as a share of the intact height
    intact_height_loss: Range = (-0.08, 0.13)  # natural variation of intact vertebrae, deformed the same way
    intact_deformed: float = 0.5  # probability that an intact vertebra is deformed within that range
    dead_zone: Range = (0.13, 0.19)  # between the two nothing is drawn, trained on or scored
    flat_wedges: float = 0.5  # of the wedges: probability that the front alone gives way and the middle stays
    lateral_tilt: float = 0.3  # standard deviation of a wedge's direction about the body's axis, radians
    acute: float = 0.6  # probability of an acute compression fracture; the others are healed
    impaction_band: float = 0.65  # probability of a dense band, in acute fractures
    cleft: float = 0.5  # probability of an open line in an acute compression fracture
    cleft_mm: Range = (0.5, 3.0)
    gas: float = 0.15  # probability that an open line holds gas, not blood
    cortical_gap: float = 0.6  # probability of interruptions of the shell, in acute fractures
    cortical_step: float = 0.6  # probability of a step-off or bulge of the front wall
    step_mm: Range = (1.0, 4.0)
    retropulsion_mm: Range = (2.0, 7.0)  # of a burst fracture's fragment into the canal
    swelling: float = 0.5  # probability of a paravertebral hematoma, in acute fractures

    # anatomy and pose
    tilt_deg: tuple[float, float, float] = (9.0, 3.0, 4.0)  # standard deviations about the x, y and z axis
    scale: Range = (0.85, 1.15)
    stretch: Range = (0.94, 1.06)  # per axis
    elastic_mm: Range = (0.5, 2.5)  # standard deviation of a smooth deformation over 20 mm
    off_centre_mm: tuple[float, float, float] = (60.0, 25.0, 8.0)  # half range in z, y; standard deviation in x
    mimics: float = 0.35  # probability of a degenerative change per intact vertebra
    worn_discs: float = 0.0  # probability of osteochondrosis per disc between two bodies
    physiological_wedge: float = 0.5  # probability of a naturally wedged body, T11 to L1
    transitional: float = 0.08  # probability of a lumbarized S1 or a sacralized L5, where the sacrum is a made one
    scheuermann: float = 0.06  # probability of three or four wedged neighbours with uneven endplates
    implants: float = 0.06  # probability of screws and rods at two to four levels
    cement: float = 0.03  # probability of cement per vertebra, fractured or not

    # scan
    slice_thickness_mm: tuple[float, ...] = (2.0, 3.0, 4.0, 5.0)  # one of these, in thick_slices of the cases
    thick_slices: float = 0.5
    as_scanned: float = 0.3  # probability that a real CT's scan is left as it is
    contrast_medium: float = 0.0  # probability that a real CT gets some; synthesized ones have it anyway
    blur_mm: Range = (0.0, 0.7)
    sharpen: float = 0.35  # probability of a sharp kernel
    noise_hu: Range = (4.0, 90.0)  # drawn evenly on a logarithmic scale
    starvation: float = 0.15  # probability of streaks across the body, as between the shoulders
    small_field: float = 0.12  # probability of a small round field of view
    motion: float = 0.05  # probability of a ghost over some slices

    def __post_init__(self) -> None:
        if self.intact_height_loss[1] > self.dead_zone[0] or self.height_loss[0] < self.dead_zone[1]:
            raise ValueError(
                f"intact {self.intact_height_loss} and fractured {self.height_loss} height loss must lie outside "
                f"the dead zone {self.dead_zone}"
            )
        if self.real_ct_weight <= 0:
            raise ValueError(f"real_ct_weight must be more than 0, not {self.real_ct_weight}")
        for types, weights in ((self.types, self.type_weights), (self.part_types, self.part_weights)):
            if len(types) != len(weights):
                raise ValueError(f"types {types} and their weights {weights} must have one length")


# Cases for the accuracy benchmark: scanners, and fracture types and patterns, that training never draws.
HELD_OUT = SimulationConfig(
    resynthesized=0.0,
    types=(*SimulationConfig.types, "pincer"),
    type_weights=(*SimulationConfig.type_weights, 0.06),
    lateral_tilt=0.5,
    step_mm=(0.5, 6.0),
    part_slide_mm=(0.2, 6.0),
    elastic_mm=(1.0, 3.2),
    slice_thickness_mm=(1.5, 2.5, 3.5),
    blur_mm=(0.2, 1.0),
    noise_hu=(5.0, 120.0),
)
