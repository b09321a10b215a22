"""Results to disk, each file whole or not at all: written beside its place, then renamed.

``.seg.nrrd`` is 3D Slicer's segmentation: an NRRD image whose header names the segments, their colors and what they
are in standard terms (SNOMED CT codes). Fields as in Slicer's developer guide, "Segmentation labelmap file format".
Fracture and vertebrae overlap, so each segment is a *layer* of its own: one value per voxel of a vector image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from SpineFractureSegLib.engine.atomic_file import check_place, written_whole
from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.postprocess import bounding_box
from SpineFractureSegLib.engine.quiet_itk import quiet_itk

MASK_SUFFIXES = (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".mha")
IMAGE_SUFFIXES = MASK_SUFFIXES[1:]
_TERMINOLOGY = "Segmentation category and type - SpineFractureSeg"
_REGIONS = "Anatomic codes - DICOM master list"


@dataclass(frozen=True)
class Segment:
    """How a segment is called, shown and coded; codes are (scheme, value, meaning)."""

    id: str
    name: str
    color: tuple[float, float, float]  # red, green, blue, 0 to 1
    category: tuple[str, str, str]
    type: tuple[str, str, str]
    region: tuple[str, str, str]

    @property
    def terminology(self) -> str:
        """Slicer's terminology entry: context, category, type, modifier, regions' context, region, modifier."""
        category, kind, region = ("^".join(code) for code in (self.category, self.type, self.region))
        return "~".join((_TERMINOLOGY, category, kind, "^^", _REGIONS, region, "^^"))


FRACTURE = Segment(
    id="Fracture",
    name="Fracture",
    color=(0.90, 0.20, 0.15),
    category=("SCT", "49755003", "Morphologically Altered Structure"),
    type=("SCT", "72704001", "Fracture"),
    region=("SCT", "51282000", "Vertebra"),
)
VERTEBRAE = Segment(
    id="Vertebrae",
    name="Vertebrae",
    color=(0.95, 0.84, 0.57),
    category=("SCT", "123037004", "Anatomical Structure"),
    type=("SCT", "51282000", "Vertebra"),
    region=("", "", ""),
)


def write_mask(
    path: str | Path, mask: sitk.Image, vertebrae: sitk.Image | None = None, *, compress: bool = True
) -> None:
    """Writes the segmentation.

    Args:
        path: ``.seg.nrrd`` for Slicer; ``.nii.gz``, ``.nii``, ``.nrrd`` or ``.mha`` for an image of 0 and 1.
        mask: fracture where not 0.
        vertebrae: on the same grid, a second segment in ``.seg.nrrd``; other formats leave it out.
        compress: smaller, but slower to write and read; ``.nii.gz`` always is.

    Raises: UserError, when it cannot be written.
    """
    path = Path(path)
    suffix = _suffix(path, MASK_SUFFIXES)
    image = sitk.Cast(mask != 0, sitk.sitkUInt8)
    if suffix == ".seg.nrrd":
        segments = {FRACTURE: image}
        if vertebrae is not None:
            segments[VERTEBRAE] = sitk.Cast(vertebrae != 0, sitk.sitkUInt8)
        image = _slicer_segmentation(segments)
    _write(path, suffix, image, compress)


def write_probability(path: str | Path, probability: sitk.Image, *, compress: bool = True) -> None:
    """Writes a probability, 0 to 1, as a float32 image: ``.nii.gz``, ``.nii``, ``.nrrd`` or ``.mha``.

    Raises: UserError, when it cannot be written.
    """
    path = Path(path)
    _write(path, _suffix(path, IMAGE_SUFFIXES), sitk.Cast(probability, sitk.sitkFloat32), compress)


def write_labels(path: str | Path, labels: sitk.Image, *, compress: bool = True) -> None:
    """Writes a label map as a uint8 image: ``.nii.gz``, ``.nii``, ``.nrrd`` or ``.mha``.

    Raises: UserError, when it cannot be written.
    """
    path = Path(path)
    _write(path, _suffix(path, IMAGE_SUFFIXES), sitk.Cast(labels, sitk.sitkUInt8), compress)


def check_output_path(path: str | Path, suffixes: Sequence[str] = MASK_SUFFIXES) -> None:
    """Finds out before the long work whether ``path`` can be written; leaves nothing behind.

    Raises: UserError.
    """
    check_place(path, _suffix(Path(path), suffixes))


def _write(path: Path, suffix: str, image: sitk.Image, compress: bool) -> None:
    axes = np.reshape(image.GetDirection(), (3, 3))
    if suffix.startswith(".nii") and np.abs(axes.T @ axes - np.eye(3)).max() > 1e-3:
        raise UserError(
            f"'{path.name}' cannot hold this CT's grid, whose axes are not at right angles: choose .seg.nrrd or .nrrd."
        )
    check_output_path(path)
    with quiet_itk(), written_whole(path) as partial:
        sitk.WriteImage(image, str(partial), useCompression=compress)


def _suffix(path: Path, suffixes: Sequence[str]) -> str:
    """The suffix that the name ends with, in lower case."""
    known = sorted({*MASK_SUFFIXES, *suffixes}, key=len, reverse=True)
    found = next((suffix for suffix in known if path.name.lower().endswith(suffix)), None)
    if found not in suffixes:
        raise UserError(f"'{path.name}' has no ending that can be written here, expected one of {', '.join(suffixes)}.")
    return found


def _slicer_segmentation(segments: dict[Segment, sitk.Image]) -> sitk.Image:
    """The uint8 layers (0 and 1) as one image with Slicer's header fields."""
    layers = list(segments.values())
    image = layers[0] if len(layers) == 1 else sitk.Compose(layers)
    geometry = _reference_geometry(image)
    fields = {
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        "Segmentation_ConversionParameters": f"Reference image geometry|{geometry}|Grid of the CT.&",
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
    }
    for number, (segment, layer) in enumerate(segments.items()):
        own = {
            "ID": segment.id,
            "Name": segment.name,
            "NameAutoGenerated": "0",
            "Color": " ".join(f"{part:g}" for part in segment.color),
            "ColorAutoGenerated": "0",
            "LabelValue": "1",
            "Layer": str(number),
            "Extent": _extent(layer),
            "Tags": f"TerminologyEntry:{segment.terminology}|",
        }
        fields |= {f"Segment{number}_{key}": value for key, value in own.items()}
    for key, value in fields.items():
        image.SetMetaData(key, value)
    return image


def _extent(layer: sitk.Image) -> str:
    """First and last index along x, y, z of what is not 0; first after last where all is. Slicer reads no more."""
    box = bounding_box(sitk.GetArrayViewFromImage(layer))
    bounds = [(0, -1)] * 3 if box is None else [(axis.start, axis.stop - 1) for axis in box[::-1]]
    return " ".join(f"{first} {last}" for first, last in bounds)


def _reference_geometry(image: sitk.Image) -> str:
    """The grid as Slicer serializes it: index to RAS matrix row by row, then the extent."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    matrix[:3, 3] = image.GetOrigin()
    matrix[:2] *= -1  # LPS to RAS
    matrix += 0.0  # no negative zeros
    extent = [bound for size in image.GetSize() for bound in (0, size - 1)]
    return "".join(f"{number:.15g};" for number in [*matrix.ravel(), *extent])
