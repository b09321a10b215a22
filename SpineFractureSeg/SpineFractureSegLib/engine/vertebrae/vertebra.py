"""What is known of one vertebra after a run.

*Height loss* is a share of the height that the place should have: 0.3 means that 30 % is gone. Positions are RAS.
"""

from dataclasses import asdict, dataclass

PLACES = ("anterior", "middle", "posterior")  # of the body, from the front to the back wall


@dataclass(frozen=True)
class Vertebra:
    """One vertebral body. None stands for what could not be measured; ``notes`` says why.

    Raises: ValueError, when a field cannot be; the message quotes it.
    """

    number: int  # 1 is the highest body in the CT; also its value in ``SegmentationResult.labels``
    level: str | None  # "C1" to "L6", "S1" and "T13"; None: nobody has named one
    centroid_ras_mm: tuple[float, float, float]
    fracture_probability: float  # over the body, 0 to 1
    anterior_mm: float | None  # height at the front, along the body's own axis
    middle_mm: float | None
    posterior_mm: float | None
    width_mm: float | None  # from side to side
    depth_mm: float | None  # from front to back
    height_loss: dict[str, float] | None  # share by place of ``PLACES``
    genant: int | None  # 0 to 3, semi-quantitative
    trabecular_hu: float | None  # mean of the body's core
    complete: bool  # not cut by the border of the CT
    flagged: bool  # held for fractured
    notes: tuple[str, ...] = ()  # short sentences

    def __post_init__(self) -> None:
        if self.number < 1:
            raise ValueError(f"number must be 1 or more, not {self.number}")
        if not 0 <= self.fracture_probability <= 1:
            raise ValueError(f"fracture_probability must lie between 0 and 1, not {self.fracture_probability}")
        if self.genant not in (None, 0, 1, 2, 3):
            raise ValueError(f"genant must be 0, 1, 2, 3 or None, not {self.genant}")
        if self.height_loss is not None and set(self.height_loss) != set(PLACES):
            raise ValueError(f"height_loss must have the places {PLACES}, not {tuple(self.height_loss)}")

    @property
    def name(self) -> str:
        """The level where it is known, else the number from the top: "L1" or "vertebra 3"."""
        return self.level or f"vertebra {self.number}"

    def to_json(self) -> dict:
        """The fields under their own names, of JSON types only."""
        return {**asdict(self), "centroid_ras_mm": list(self.centroid_ras_mm), "notes": list(self.notes)}
