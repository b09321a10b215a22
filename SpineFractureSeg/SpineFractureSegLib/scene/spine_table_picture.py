"""The straightened spine in the panel: rendered from the scene, and a click in it moves the slice views there."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import qt
import slicer

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.scene.image_geometry import imageFromArray
from SpineFractureSegLib.scene.segment_reader import segmentOnGrid
from SpineFractureSegLib.scene.volume_reader import checkVolume, ijkToWorld

if TYPE_CHECKING:
    from collections.abc import Sequence

    import SimpleITK as sitk
    from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode

    from SpineFractureSegLib.engine.spine_report.picture import SpinePicture
    from SpineFractureSegLib.engine.vertebrae.vertebra import Vertebra

_AROUND_MM = 90.0  # of the CT that is looked at beside the centers of the vertebrae
_HEIGHT = 460  # pixels


class SpinePictureView:
    """Shows the picture in a label; ``onClicked(ras)`` is called with the place of a click."""

    def __init__(self, label, onClicked: Callable[[tuple[float, float, float]], None]) -> None:
        self._label = label
        self._picture: SpinePicture | None = None
        self._onClicked = onClicked
        self._clicks = _Clicks(self._onMouse)
        label.installEventFilter(self._clicks)
        self.show(None, [])

    def show(self, segmentationNode: vtkMRMLSegmentationNode | None, spine: Sequence[Vertebra]) -> None:
        """The spine of this segmentation; nothing without vertebrae or where its CT is gone."""
        self._picture = renderScene(segmentationNode, spine, _HEIGHT) if segmentationNode and spine else None
        if self._picture is not None:
            with tempfile.TemporaryDirectory(dir=slicer.app.temporaryPath) as folder:
                path = str(Path(folder) / "spine.png")
                self._picture.image.save(path)
                self._label.setPixmap(qt.QPixmap(path))
        else:
            self._label.clear()
        self._label.setVisible(self._picture is not None)

    def _onMouse(self, x: float, y: float) -> None:
        if self._picture is None:
            return
        left = max(0, (self._label.width - self._picture.image.width) // 2)  # the label centers it
        top = max(0, (self._label.height - self._picture.image.height) // 2)
        self._onClicked(self._picture.position(x - left, y - top))


class _Clicks(qt.QObject):
    """Tells of mouse buttons that are pressed on what it filters."""

    def __init__(self, onMouse: Callable[[float, float], None]) -> None:
        qt.QObject.__init__(self)
        self._onMouse = onMouse

    def eventFilter(self, watched, event) -> bool:
        if event.type() == qt.QEvent.MouseButtonPress:
            place = watched.mapFromGlobal(qt.QCursor.pos())  # what the event tells of it differs between Qt 5 and 6
            self._onMouse(place.x(), place.y())
        return False


def renderScene(
    segmentationNode: vtkMRMLSegmentationNode, spine: Sequence[Vertebra], height: int
) -> SpinePicture | None:
    """The picture of a segmentation's spine; None where its CT is gone."""
    from SpineFractureSegLib.engine.spine_report.picture import render_spine

    images = imagesAround(segmentationNode, [vertebra.centroid_ras_mm for vertebra in spine])
    return None if images is None else render_spine(*images, spine, height=height)


def imagesAround(
    segmentationNode: vtkMRMLSegmentationNode, points: Sequence[Sequence[float]]
) -> tuple[sitk.Image, sitk.Image] | None:
    """CT and mask of the fractures around these points (world, RAS), a small part of a large CT.

    Returns: None, where the CT is gone or can no longer be used, or lies elsewhere.
    """
    volumeNode = segmentationNode.GetNodeReference(segmentationNode.GetReferenceImageGeometryReferenceRole())
    try:
        checkVolume(volumeNode, allowSequenceFrame=True)
    except UserError:
        return None
    matrix = ijkToWorld(volumeNode)
    ct = slicer.util.arrayFromVolume(volumeNode)
    box = _boxAround(points, matrix, ct.shape)
    if box is None:
        return None
    matrix[:3, 3] += matrix[:3, :3] @ [axis.start for axis in reversed(box)]
    return imageFromArray(ct[box], matrix), imageFromArray(_fractures(segmentationNode, volumeNode)[box], matrix)


def _boxAround(
    points: Sequence[Sequence[float]], ijkToRas: np.ndarray, shape: tuple[int, int, int]
) -> tuple[slice, slice, slice] | None:
    rasToIjk = np.linalg.inv(ijkToRas)
    reach = _AROUND_MM / np.linalg.norm(ijkToRas[:3, :3], axis=0)
    centers = np.asarray(points) @ rasToIjk[:3, :3].T + rasToIjk[:3, 3]
    low, high = (centers.min(axis=0) - reach)[::-1], (centers.max(axis=0) + reach)[::-1]
    box = tuple(
        slice(int(np.clip(first, 0, size)), int(np.clip(np.ceil(last) + 1, 0, size)))
        for first, last, size in zip(low, high, shape, strict=True)
    )
    return box if all(axis.stop > axis.start for axis in box) else None


def _fractures(segmentationNode: vtkMRMLSegmentationNode, volumeNode: vtkMRMLScalarVolumeNode) -> np.ndarray:
    """uint8 on the CT's grid; nothing where the segment is empty or was removed."""
    import SimpleITK as sitk

    from SpineFractureSegLib.engine.writers import FRACTURE

    try:
        return sitk.GetArrayFromImage(segmentOnGrid(segmentationNode, FRACTURE.id, volumeNode))
    except UserError:
        return np.zeros(slicer.util.arrayFromVolume(volumeNode).shape, np.uint8)
