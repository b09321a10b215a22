"""How a segmentation was made, kept as attributes of its node: saved with the scene, shown in the panel."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slicer import vtkMRMLSegmentationNode

    from SpineFractureSegLib.scene.engine_job import SegmentationSettings

_ATTRIBUTE = "SpineFractureSeg.Run"


@dataclass(frozen=True)
class RunRecord:
    """One run; another threshold on its kept result is the same run."""

    modelName: str
    modelVersion: str
    device: str  # on which the last batch ran, for example "cuda:0"
    precision: str  # of the network's arithmetic
    seconds: float  # of the engine, without the start of its process
    threshold: float  # of the segment as it is now
    minVolumeMm3: float
    warnings: tuple[str, ...] = ()
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def model(self) -> str:
        """Name and version."""
        return f"{self.modelName} {self.modelVersion}"

    @classmethod
    def fromReport(cls, report: dict, settings: SegmentationSettings) -> RunRecord:
        """``report`` is the JSON of ``segment --report``; ``settings`` are those that were asked for."""
        model = report["model"]
        threshold, minVolume = settings.threshold, settings.minVolumeMm3
        return cls(
            modelName=model["name"],
            modelVersion=model["version"],
            device=report["device"],
            precision=report["precision"],
            seconds=float(report["seconds"]),
            threshold=model["threshold"] if threshold is None else threshold,
            minVolumeMm3=model["min_volume_mm3"] if minVolume is None else minVolume,
            warnings=tuple(report["warnings"]),
        )


def writeRecord(segmentationNode: vtkMRMLSegmentationNode, record: RunRecord) -> None:
    """Replaces the record of the node's run before."""
    segmentationNode.SetAttribute(_ATTRIBUTE, json.dumps({**vars(record), "warnings": list(record.warnings)}))


def readRecord(segmentationNode: vtkMRMLSegmentationNode | None) -> RunRecord | None:
    """The record of the run that made this node, or None when this extension did not make it."""
    text = segmentationNode.GetAttribute(_ATTRIBUTE) if segmentationNode else None
    if not text:
        return None
    try:
        fields = json.loads(text)
        return RunRecord(**{**fields, "warnings": tuple(fields["warnings"])})
    except (ValueError, TypeError, KeyError):  # written by another version
        return None
