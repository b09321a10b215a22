"""A volume node as the CT that the engine takes, and the sentences for volumes that are none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.scene.image_geometry import hasVolume, imageFromArray

if TYPE_CHECKING:
    import SimpleITK as sitk
    from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSequenceNode


def ctFromVolume(volumeNode: vtkMRMLScalarVolumeNode, allowSequenceFrame: bool = False) -> sitk.Image:
    """A copy of the voxels where they are shown in the world. Whether they are Hounsfield units, the engine checks.

    Raises: UserError, as ``checkVolume``.
    """
    checkVolume(volumeNode, allowSequenceFrame)
    return imageFromArray(slicer.util.arrayFromVolume(volumeNode), ijkToWorld(volumeNode))


def ijkToWorld(volumeNode: vtkMRMLScalarVolumeNode) -> np.ndarray:
    """(4, 4) float64: index (column, row, slice, 1) to world, RAS, mm.

    Raises: UserError, when the volume is under a transform that is not linear.
    """
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(matrix)
    transformNode = volumeNode.GetParentTransformNode()
    if transformNode is None:
        return slicer.util.arrayFromVTKMatrix(matrix)
    if not transformNode.IsTransformToWorldLinear():
        raise UserError(
            _(
                'The volume "{name}" is under the non-linear transform "{transform}", a linear one or none is needed: '
                "harden the transform on the volume."
            ).format(name=volumeNode.GetName(), transform=transformNode.GetName())
        )
    rasToWorld = vtk.vtkMatrix4x4()
    transformNode.GetMatrixTransformToWorld(rasToWorld)
    return slicer.util.arrayFromVTKMatrix(rasToWorld) @ slicer.util.arrayFromVTKMatrix(matrix)


def checkVolume(volumeNode: vtkMRMLScalarVolumeNode | None, allowSequenceFrame: bool = False) -> None:
    """Whether the node is one scalar 3D volume with voxels and a place in the world.

    Args:
        allowSequenceFrame: also accept a volume that shows one frame of a sequence.

    Raises: UserError, when it is not.
    """
    if volumeNode is None:
        raise UserError(_("No volume was given, a CT is needed: load a CT and choose it."))
    name = volumeNode.GetName()
    if not volumeNode.IsA("vtkMRMLScalarVolumeNode"):
        raise UserError(
            _('"{name}" is no volume ({kind}), a CT volume is needed: choose the CT.').format(
                name=name, kind=volumeNode.GetNodeTagName()
            )
        )
    if volumeNode.IsA("vtkMRMLLabelMapVolumeNode"):
        raise UserError(_('"{name}" is a label map, a CT volume is needed: choose the CT.').format(name=name))
    imageData = volumeNode.GetImageData()
    if imageData is None or imageData.GetPointData().GetScalars() is None or min(imageData.GetDimensions()) < 1:
        raise UserError(_('The volume "{name}" holds no voxels, a CT is needed: load the CT again.').format(name=name))
    components = imageData.GetNumberOfScalarComponents()
    if volumeNode.IsA("vtkMRMLVectorVolumeNode") or components != 1:
        raise UserError(
            _(
                'The volume "{name}" is a color, vector or 4D volume with {components} values per voxel, a CT with one '
                "Hounsfield value per voxel is needed: choose the CT, or extract one frame."
            ).format(name=name, components=components)
        )
    if not hasVolume(ijkToWorld(volumeNode)):
        raise UserError(
            _(
                'The axes of the volume "{name}" span no space, voxels with a volume are needed: '
                "correct its spacing and directions in the Volumes module, or its transform."
            ).format(name=name)
        )
    sequenceNode = None if allowSequenceFrame else sequenceOf(volumeNode)
    if sequenceNode is not None:
        raise UserError(
            _(
                'The volume "{name}" shows one of the {count} frames of the sequence "{sequence}" and only the '
                "frame shown now would be segmented: confirm that (allowSequenceFrame=True), "
                "or choose a single volume."
            ).format(name=name, count=sequenceNode.GetNumberOfDataNodes(), sequence=sequenceNode.GetName())
        )


def sequenceOf(volumeNode: vtkMRMLScalarVolumeNode) -> vtkMRMLSequenceNode | None:
    """The sequence of which the volume shows one frame; a sequence of one volume is as good as the volume."""
    for browserNode in slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode"):
        sequenceNode = browserNode.GetSequenceNode(volumeNode)
        if sequenceNode is not None and sequenceNode.GetNumberOfDataNodes() > 1:
            return sequenceNode
    return None
