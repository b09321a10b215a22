"""The arms of the ablation: the bundled settings, and what each arm changes in them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.simulator.generate import every_spine
from SpineFractureSegLib.engine.simulator.shapes import Spine
from SpineFractureSegLib.engine.training.settings import Settings, changed

WHOLE = "whole"
OWN_LABELS = ("acrinflt_lumbar", "acrinnsclc", "lidc0314")  # of the library's spines; see its README


@dataclass(frozen=True)
class Arm:
    """One row."""

    name: str  # in folders and on the command line
    title: str
    fields: dict[str, Any] = field(default_factory=dict)  # that differ, nested as in a file of settings
    takes_fractures: Callable[[Spine], bool] = every_spine  # on which spines training fractures are simulated

    def settings(self, whole: Settings) -> Settings:
        """The settings of this arm, from those of the whole."""
        return changed(whole, self.fields, self.name)

    @property
    def own_cases(self) -> bool:
        """Whether it needs training cases that others cannot use."""
        return "simulation" in self.fields or self.takes_fractures is not every_spine


def with_ct(spine: Spine) -> bool:
    """Not known by its label map alone."""
    return spine.hu is not None


def labelled_by_others(spine: Spine) -> bool:
    """Its labels are not those of our own vertebra channel."""
    return spine.name not in OWN_LABELS


def _augmentation(**fields: Any) -> dict[str, Any]:
    return {"augmentation": fields}


ARMS = (
    Arm(WHOLE, "all together"),
    Arm(
        "without-mimics",
        "without degeneration, natural wedges, implants and cement",
        {
            "simulation": {
                "mimics": 0.0,
                "physiological_wedge": 0.0,
                "transitional": 0.0,
                "scheuermann": 0.0,
                "implants": 0.0,
                "cement": 0.0,
            }
        },
    ),
    Arm("without-label-maps", "without real shapes known by label maps alone", takes_fractures=with_ct),
    Arm(
        "without-own-labels",
        "without fractures in the CT that our own vertebra channel labelled",
        takes_fractures=labelled_by_others,
    ),
    Arm(
        "without-scan-effects",
        "without other scanners (noise, kernels, slices, streaks)",
        {
            "simulation": {
                "thick_slices": 0.0,
                "as_scanned": 1.0,
                "blur_mm": [0.0, 0.0],
                "sharpen": 0.0,
                "noise_hu": [4.0, 4.0],
                "starvation": 0.0,
                "small_field": 0.0,
                "motion": 0.0,
            },
            "training": _augmentation(
                gain=[1.0, 1.0],
                offset_hu=[0.0, 0.0],
                low_resolution_chance=0.0,
                sharpen_chance=0.0,
                noise_chance=0.0,
                gamma_chance=0.0,
            ),
        },
    ),
    Arm(
        "without-other-bodies",
        "without bending, shear, proportions and bone density",
        {"training": _augmentation(log_aspect_sd=0.0, shear_sd=0.0, bend_sd_pixels=0.0, bone_density_chance=0.0)},
    ),
    Arm("without-vertebra-channel", "without vertebra channel", {"network": {"outputs": ["fracture"]}}),
    Arm(
        "without-real-negatives",
        "without real CTs as they are",
        {"training": {"balance": {"real_negative": 0.0}}},
    ),
    Arm(
        "without-neighbors",
        "without neighboring slices",
        {"network": {"input_channels": 1}, "preprocessing": {"context_mm": [0.0]}},
    ),
    Arm("axial", "axial instead of sagittal", {"preprocessing": {"planes": ["axial"], "plane_weights": [1.0]}}),
    Arm(
        "both-planes",
        "sagittal and axial",
        {"preprocessing": {"planes": ["sagittal", "axial"], "plane_weights": [0.5, 0.5]}},
    ),
)


def chosen_arms(names: Sequence[str] | None) -> list[Arm]:
    """Those with these names in the order of the table, the whole always first; None: all.

    Raises: UserError, naming one that does not exist.
    """
    known = [arm.name for arm in ARMS]
    if unknown := [name for name in names or () if name not in known]:
        raise UserError(f"There is no arm {unknown[0]!r}; choose of {', '.join(known)}.")
    return [arm for arm in ARMS if not names or arm.name in (WHOLE, *names)]
