"""One case to fine-tune with: a CT and a reference outline, from the scene or from files, and whether it can be used.

Words: the *role* of a case says whether it is learned from ("train"), held out to judge the new model ("validation"),
or left to the engine ("auto"). Cases of one *patient* always have the same role.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import slicer
from slicer.i18n import tr as _

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.scene.image_geometry import imageFromArray
from SpineFractureSegLib.scene.segment_reader import segmentOnGrid
from SpineFractureSegLib.scene.volume_reader import checkVolume, ctFromVolume, ijkToWorld

if TYPE_CHECKING:
    from pathlib import Path

    import SimpleITK as sitk
    from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode

ROLES = ("auto", "train", "validation")
_VOXELS_LOOKED_AT = 4_000_000  # for the values of a CT; more tell nothing new and take seconds


@dataclass(frozen=True)
class ScenePair:
    """Nodes by their IDs, because the user may delete them at any time."""

    volumeID: str
    segmentationID: str
    segmentID: str

    @property
    def nodes(self) -> tuple[vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode]:
        """Raises: UserError, when one of the two is no longer in the scene."""
        scene = slicer.mrmlScene
        volumeNode, segmentationNode = scene.GetNodeByID(self.volumeID), scene.GetNodeByID(self.segmentationID)
        if volumeNode is None:
            raise UserError(_("The CT is no longer in the scene: load it again, or remove the case."))
        if segmentationNode is None:
            raise UserError(_("The segmentation is no longer in the scene: load it again, or remove the case."))
        return volumeNode, segmentationNode

    def read(self) -> tuple[sitk.Image, sitk.Image]:
        """CT in HU and mask, uint8 0 and 1, on the CT's grid in the world.

        Raises: UserError, when a node is gone or cannot be read.
        """
        volumeNode, segmentationNode = self.nodes
        mask = segmentOnGrid(segmentationNode, self.segmentID, volumeNode)
        return ctFromVolume(volumeNode), mask


@dataclass(frozen=True)
class FilePair:
    """Files that the engine reads where they lie."""

    image: Path
    mask: Path
    values: tuple[int, ...] | None = None  # of the mask, that are fracture; None: all, in a segmentation those so named


@dataclass(frozen=True)
class FinetuneCase:
    """What one row of the table says."""

    name: str  # unique among the cases
    source: ScenePair | FilePair
    patient: str = ""  # whose it is; empty: becomes the name
    role: str = "auto"

    def __post_init__(self) -> None:
        if not self.patient:
            object.__setattr__(self, "patient", self.name)
        if self.role not in ROLES:
            raise ValueError(f'the role of a case must be one of {", ".join(ROLES)}, not "{self.role}"')


def sceneCase(
    volumeNode: vtkMRMLScalarVolumeNode,
    segmentationNode: vtkMRMLSegmentationNode,
    segmentID: str,
    patient: str = "",
    role: str = "auto",
) -> FinetuneCase:
    """The case of a CT and a segment of the scene.

    Args:
        patient: whose CT it is; empty: as DICOM says, else a patient of its own.
    """
    source = ScenePair(volumeNode.GetID(), segmentationNode.GetID(), segmentID)
    return FinetuneCase(volumeNode.GetName(), source, patient or _dicomPatient(volumeNode), role)


def problemOf(case: FinetuneCase) -> str:
    """Why the case cannot be used, in one sentence; empty where it can. Files are looked into by the engine only."""
    try:
        if isinstance(case.source, ScenePair):
            _checkPair(case.source)
        else:
            for path in (case.source.image, case.source.mask):
                if not path.exists():
                    raise UserError(_("There is no file {path}: remove the case.").format(path=path))
    except UserError as error:
        return str(error)
    return ""


def togetherProblem(cases: Sequence[FinetuneCase]) -> str:
    """Why these cases cannot be parted into some to learn from and some held out; empty where they can."""
    twice = [name for name, count in Counter(case.name for case in cases).items() if count > 1]
    if twice:
        return _("The case {name} is there twice, each name may stand once: rename one.").format(name=twice[0])
    roles: dict[str, set[str]] = {}
    for case in cases:
        roles.setdefault(case.patient, set()).add(case.role)
    if len(roles) < 2:
        return _("Cases of at least two patients are needed, because one is held out to judge the new model.")
    chosen = {patient: of - {"auto"} for patient, of in roles.items()}
    for patient, of in chosen.items():
        if len(of) > 1:
            return _("The cases of the patient {patient} have different roles: give them the same.").format(
                patient=patient
            )
    sides = set().union(*chosen.values())
    if all(chosen.values()) and sides != {"train", "validation"}:
        return (
            _("All cases are held out: leave some to learn from.")
            if sides == {"validation"}
            else _("No case is held out: leave at least one to judge the new model.")
        )
    return ""


def _checkPair(pair: ScenePair) -> None:
    """Raises: UserError, as the engine would: no CT, other values than HU, an empty segment, another place."""
    from SpineFractureSegLib.engine.ct_check import check_ct

    volumeNode, segmentationNode = pair.nodes
    checkVolume(volumeNode)
    values, matrix = slicer.util.arrayFromVolume(volumeNode), ijkToWorld(volumeNode)
    step = max(1, round((values.size / _VOXELS_LOOKED_AT) ** (1 / 3)))
    thinned = matrix @ np.diag([step, step, step, 1])
    check_ct(imageFromArray(np.ascontiguousarray(values[::step, ::step, ::step]), thinned))
    segmentOnGrid(segmentationNode, pair.segmentID, volumeNode)


def _dicomPatient(volumeNode: vtkMRMLScalarVolumeNode) -> str:
    """DICOM's (0010,0020) of the patient that the volume lies under in the Data module; empty where there is none."""
    hierarchyNode = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item = hierarchyNode.GetItemByDataNode(volumeNode) if hierarchyNode else 0
    constants = slicer.vtkMRMLSubjectHierarchyConstants
    level, name = constants.GetDICOMLevelPatient(), constants.GetDICOMPatientIDAttributeName()
    return hierarchyNode.GetAttributeFromItemAncestor(item, name, level) if item else ""
