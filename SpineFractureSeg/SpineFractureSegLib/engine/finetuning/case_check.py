"""Whether a tuning case can be learned from: read at once, so that nothing fails after an hour."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import SimpleITK as sitk

from SpineFractureSegLib.engine.case import MAP_FRACTURE
from SpineFractureSegLib.engine.common_lattice import fields_touch
from SpineFractureSegLib.engine.ct_check import check_ct, voxel_volume_mm3
from SpineFractureSegLib.engine.data.label_map import read_fracture
from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.finetuning.case_list import TuningCase
from SpineFractureSegLib.engine.volume import read_ct

SMALLEST_ML = 0.2  # less drawn than this is a slip of the brush
LARGEST_ML = 800.0  # a lumbar body has some 40 mL: more than this is the spine, or the patient
_INSIDE_SHARE = 0.9  # of the mask that must lie in the CT's field of view
_AIR_HU = -500
_AIR_SHARE = 0.2  # of the mask that may lie in air: a gas cleft, not the room


@dataclass(frozen=True)
class CaseCheck:
    """What was found of one case."""

    name: str
    ok: bool
    reason: str  # one sentence: why it cannot be used, or what to know of it; empty when there is nothing to say

    def to_json(self) -> dict:
        """The fields under their own names."""
        return asdict(self)


def check_cases(cases: Sequence[TuningCase]) -> Iterator[CaseCheck]:
    """Reads each case's CT and mask in turn, and says whether it can be used."""
    return (check_case(case) for case in cases)


def check_case(case: TuningCase) -> CaseCheck:
    """Reads one case's CT and mask, and says whether it can be used."""
    try:
        return CaseCheck(case.name, True, _found(case))
    except UserError as error:
        return CaseCheck(case.name, False, str(error))


def _found(case: TuningCase) -> str:
    """What to know of a case that can be used.

    Raises: UserError, when it cannot.
    """
    scan = case.scan
    if scan.image is None or scan.fracture is None:
        lacking = "CT" if scan.image is None else "mask of fractures"
        raise UserError(f"There is no {lacking}, both a CT and a mask are needed: add it or leave the case out.")
    read = read_ct(scan.image)
    warnings = [*scan.problems, *read.warnings, *check_ct(read.image)]
    mask = read_fracture(scan.fracture) == MAP_FRACTURE
    drawn_ml = np.count_nonzero(sitk.GetArrayViewFromImage(mask)) * voxel_volume_mm3(mask) / 1000
    if not drawn_ml:
        raise UserError("The mask is empty, a drawn fracture is needed: choose the segment that holds it.")
    if not fields_touch(mask, read.image):
        raise UserError("The mask lies beside the CT in space, both must show the same place: check the pair.")
    if not SMALLEST_ML <= drawn_ml <= LARGEST_ML:
        raise UserError(
            f"The mask holds {drawn_ml:.3g} mL, fractures of {SMALLEST_ML:g} to {LARGEST_ML:g} mL are expected: choose "
            "the segment of the fractures, not of all vertebrae or of the body."
        )
    _refuse_elsewhere(read.image, mask, drawn_ml)
    return warnings[0] if warnings else ""


def _refuse_elsewhere(ct: sitk.Image, mask: sitk.Image, drawn_ml: float) -> None:
    """Raises: UserError, when much of the mask lies outside of the CT or in air."""
    resampled = sitk.Resample(mask, ct, sitk.Transform(), sitk.sitkNearestNeighbor)
    on_ct = sitk.GetArrayViewFromImage(resampled) > 0
    inside_ml = np.count_nonzero(on_ct) * voxel_volume_mm3(ct) / 1000
    if inside_ml < _INSIDE_SHARE * drawn_ml:
        raise UserError(
            f"Only {100 * inside_ml / drawn_ml:.0f} % of the mask lie inside the CT, all of it is expected: check that "
            "mask and CT are of one scan."
        )
    in_air = float((sitk.GetArrayViewFromImage(ct)[on_ct] < _AIR_HU).mean())
    if in_air > _AIR_SHARE:
        raise UserError(
            f"{100 * in_air:.0f} % of the mask lie in air, bone is expected: check that mask and CT are of one scan "
            "and that neither is mirrored."
        )
