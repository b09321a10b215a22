"""All cases to fine-tune with that the scene or a folder holds, and what was left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import slicer
from slicer.i18n import tr as _

from SpineFractureSegLib.scene.evaluation import referenceVolume
from SpineFractureSegLib.scene.finetune_case import FilePair, FinetuneCase, sceneCase
from SpineFractureSegLib.scene.run_record import readRecord

if TYPE_CHECKING:
    from pathlib import Path

    from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode


@dataclass
class Found:
    """Cases, and one sentence for each thing that looked like one and was left out."""

    cases: list[FinetuneCase] = field(default_factory=list)
    leftOut: list[str] = field(default_factory=list)


def casesOfScene() -> Found:
    """Every segmentation with a CT and one segment that is a fracture by its name, or is the only one.

    Outlines that this module made itself are left out: a model must not learn its own answers. Corrected by hand they
    are the best cases there are, so that each can be added on its own.
    """
    found, onlyVolume = Found(), _onlyVolume()
    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        volumeNode, segmentIDs = referenceVolume(node) or onlyVolume, _fractureSegments(node)
        if readRecord(node) is not None:
            reason = _("it was made by this module: add it on its own if you have corrected it")
        elif volumeNode is None:
            reason = _("nothing tells which CT it belongs to: add it on its own")
        elif len(segmentIDs) != 1:
            reason = _("it has {count} segments that could be meant: add the right one on its own").format(
                count=len(segmentIDs)
            )
        else:
            found.cases.append(sceneCase(volumeNode, node, segmentIDs[0]))
            continue
        found.leftOut.append(f"{node.GetName()}: {reason}")
    return found


def casesOfFolder(folder: Path) -> Found:
    """The pairs of CT and drawn fractures in a folder, of any layout that the engine reads.

    Raises: UserError, when the folder holds none.
    """
    from SpineFractureSegLib.engine.data.recognize import read_data_set

    found = Found()
    for scan in read_data_set(folder).scans:
        if scan.image is None or scan.fracture is None:
            missing = scan.missing or ("fracture mask",)
            found.leftOut.append(_("{name}: it lacks {missing}").format(name=scan.name, missing=", ".join(missing)))
            continue
        pair = FilePair(scan.image, scan.fracture.path, scan.fracture.values)
        isHeldOut = scan.part in ("validation", "test")  # what a data set calls train may be held out as well
        found.cases.append(FinetuneCase(scan.name, pair, scan.patient, "validation" if isHeldOut else "auto"))
    return found


def _onlyVolume() -> vtkMRMLScalarVolumeNode | None:
    """The volume of a scene that has one: a segmentation that was loaded from a file does not name its CT."""
    nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    volumes = [node for node in nodes if node.GetClassName() == "vtkMRMLScalarVolumeNode"]  # no label maps
    return volumes[0] if len(volumes) == 1 else None


def _fractureSegments(segmentationNode: vtkMRMLSegmentationNode) -> list[str]:
    segmentation = segmentationNode.GetSegmentation()
    ids = list(segmentation.GetSegmentIDs())
    named = [segmentID for segmentID in ids if "fract" in segmentation.GetSegment(segmentID).GetName().lower()]
    return named or ids
