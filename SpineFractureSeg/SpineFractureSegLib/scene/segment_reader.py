"""A segment as a mask on a CT's grid, whatever grid, transform and representation the segmentation has of its own.

Labelmaps are resampled (nearest neighbor, and not at all where the grids agree); surfaces are filled on the CT's grid.
Nothing is added to the scene and the segmentation is not changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util.numpy_support import vtk_to_numpy

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.scene.image_geometry import imageFromArray
from SpineFractureSegLib.scene.volume_reader import checkVolume, ijkToWorld

if TYPE_CHECKING:
    import SimpleITK as sitk
    from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode, vtkOrientedImageData

LABELMAP = slicer.vtkSegmentationConverter.GetBinaryLabelmapRepresentationName()
SURFACE = slicer.vtkSegmentationConverter.GetClosedSurfaceRepresentationName()


def segmentOnGrid(
    segmentationNode: vtkMRMLSegmentationNode, segmentID: str, volumeNode: vtkMRMLScalarVolumeNode
) -> sitk.Image:
    """The segment, uint8 0 and 1, on the volume's grid and in the world, as ``ctFromVolume`` places it.

    Raises: UserError, when there is no such segment, when it is empty or has no voxel in the volume, or when the volume
    is none that ``ctFromVolume`` takes.
    """
    checkVolume(volumeNode, allowSequenceFrame=True)
    _checkSegment(segmentationNode, segmentID)
    segmentToVolume = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(
        segmentationNode.GetParentTransformNode(), volumeNode.GetParentTransformNode(), segmentToVolume
    )
    if segmentationNode.GetSegmentation().ContainsRepresentation(LABELMAP):
        labelmap = slicer.vtkOrientedImageData()
        segmentationNode.GetBinaryLabelmapRepresentation(segmentID, labelmap)
        isEmpty = not _voxels(labelmap).any()
    else:
        surface = _surface(segmentationNode, segmentID)
        isEmpty = surface is None or surface.GetNumberOfCells() == 0
        if not isEmpty:
            labelmap = _filledSurface(surface, segmentToVolume, volumeNode)
            segmentToVolume = vtk.vtkGeneralTransform()  # it lies in the volume's own space now
    names = {
        "segment": segmentationNode.GetSegmentation().GetSegment(segmentID).GetName(),
        "segmentation": segmentationNode.GetName(),
        "volume": volumeNode.GetName(),
    }
    if isEmpty:
        raise UserError(
            _(
                'The segment "{segment}" of "{segmentation}" is empty, one with voxels is needed: '
                "choose another segment."
            ).format(**names)
        )
    mask = _onGrid(labelmap, segmentToVolume, volumeNode)
    if not mask.any():
        raise UserError(
            _(
                'The segment "{segment}" of "{segmentation}" has no voxel inside the volume "{volume}", '
                "both must show the same place: choose the CT it was drawn on, or check the transforms."
            ).format(**names)
        )
    return imageFromArray(mask, ijkToWorld(volumeNode))


def _checkSegment(segmentationNode: vtkMRMLSegmentationNode | None, segmentID: str) -> None:
    if segmentationNode is None:
        raise UserError(_("No segmentation was given, one with the segment to read is needed: choose a segmentation."))
    if not segmentationNode.IsA("vtkMRMLSegmentationNode"):
        raise UserError(
            _('"{name}" is no segmentation, one is needed: import it as a segmentation first.').format(
                name=segmentationNode.GetName()
            )
        )
    segmentation = segmentationNode.GetSegmentation()
    if segmentID and segmentation.GetSegment(segmentID) is not None:
        return
    known = ", ".join(f'"{known}"' for known in segmentation.GetSegmentIDs())
    raise UserError(
        _('The segmentation "{name}" has no segment with the ID "{segment}": choose one of {known}.').format(
            name=segmentationNode.GetName(), segment=segmentID or "", known=known
        )
        if known
        else _('The segmentation "{name}" has no segments: choose another one.').format(name=segmentationNode.GetName())
    )


def _surface(segmentationNode: vtkMRMLSegmentationNode, segmentID: str) -> vtk.vtkPolyData | None:
    """The segment's closed surface, converted from what the segmentation is made of where it has none."""
    segmentation = segmentationNode.GetSegmentation()
    if segmentation.ContainsRepresentation(SURFACE):
        return segmentation.GetSegment(segmentID).GetRepresentation(SURFACE)
    convert = slicer.vtkSlicerSegmentationsModuleLogic.CreateRepresentationForOneSegment
    surface = convert(segmentation, segmentID, SURFACE)
    if surface is not None:
        surface.UnRegister(None)  # the reference that the function leaves to its caller
    return surface


def _filledSurface(
    surface: vtk.vtkPolyData, surfaceToVolume: vtk.vtkGeneralTransform, volumeNode: vtkMRMLScalarVolumeNode
) -> vtkOrientedImageData:
    """The inside of a surface on the volume's lattice, as large as the surface."""
    moved = vtk.vtkTransformPolyDataFilter()
    moved.SetInputData(surface)
    moved.SetTransform(surfaceToVolume)
    moved.Update()
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(matrix)
    segment = slicer.vtkSegment()
    segment.AddRepresentation(SURFACE, moved.GetOutput())
    segmentation = slicer.vtkSegmentation()
    segmentation.SetSourceRepresentationName(SURFACE)
    segmentation.AddSegment(segment, "surface")
    segmentation.SetConversionParameter(
        slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName(),
        slicer.vtkSegmentationConverter.SerializeImageGeometry(matrix, volumeNode.GetImageData()),
    )
    segmentation.CreateRepresentation(LABELMAP)
    return segment.GetRepresentation(LABELMAP)


def _onGrid(
    labelmap: vtkOrientedImageData, toVolume: vtk.vtkGeneralTransform, volumeNode: vtkMRMLScalarVolumeNode
) -> np.ndarray:
    """uint8 (slice, row, column) of the volume's grid, 1 where the labelmap is not 0."""
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(matrix)
    grid = slicer.vtkOrientedImageData()
    grid.SetExtent([bound for size in volumeNode.GetImageData().GetDimensions() for bound in (0, size - 1)])
    grid.SetGeometryFromImageToWorldMatrix(matrix)
    result = slicer.vtkOrientedImageData()
    slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
        labelmap, grid, result, False, False, toVolume
    )
    return (_voxels(result) != 0).astype(np.uint8)


def _voxels(image: vtkOrientedImageData) -> np.ndarray:
    """The values (slice, row, column) as a view; nothing where there is no image."""
    scalars = image.GetPointData().GetScalars()
    if scalars is None:
        return np.zeros((0, 0, 0), np.uint8)
    return vtk_to_numpy(scalars).reshape(image.GetDimensions()[::-1])
