"""The user's choices: kept in the scene, saved and restored with it."""

from typing import Annotated

from slicer import vtkMRMLNode, vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.parameterNodeWrapper import Choice, Minimum, WithinRange, parameterNodeWrapper

DEVICES = ("auto", "cpu", "cuda", "cuda:1", "cuda:2", "cuda:3", "mps")


@parameterNodeWrapper
class SpineFractureSegParameterNode:
    """Every widget with the dynamic property ``SlicerParameterName`` is bound to the parameter of that name."""

    inputVolume: vtkMRMLScalarVolumeNode
    model: str = ""  # name of a model; empty: the bundled default
    outputSegmentation: vtkMRMLSegmentationNode  # none: a new one
    probabilityVolume: vtkMRMLScalarVolumeNode  # none: no volume is written
    vertebrae: bool = False  # outline the vertebral bodies as well

    levels: vtkMRMLNode  # segmentation or label map that says which vertebra is which; none: they are numbered

    device: Annotated[str, Choice(list(DEVICES))] = "auto"
    sagittal: bool = True
    axial: bool = True
    coronal: bool = True
    batchSize: Annotated[int, WithinRange(0, 256)] = 0  # slices at once; 0: what suits the device
    threshold: Annotated[float, WithinRange(0.01, 0.99)] = 0.5  # probability from which a voxel counts
    minVolume: Annotated[float, Minimum(0.0)] = 0.0  # mm3; smaller findings are dropped
    valuesOfModel: str = ""  # the model that threshold and minVolume were taken from

    evaluatedSegmentation: vtkMRMLSegmentationNode
    evaluatedSegmentID: str = ""
    referenceSegmentation: vtkMRMLSegmentationNode
    referenceSegmentID: str = ""
