"""A case as images that any viewer opens: CT, body labels and fracture reference. Needs SimpleITK."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from SpineFractureSegLib.engine.case import Case
from SpineFractureSegLib.engine.writers import write_mask


def write_case_images(case: Case, folder: str | Path) -> list[Path]:
    """Writes ``<name>_ct.nii.gz``, ``<name>_bodies.nii.gz`` and ``<name>_fracture.seg.nrrd`` into a folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{case.name}{ending}" for ending in ("_ct.nii.gz", "_bodies.nii.gz", "_fracture.seg.nrrd")]
    sitk.WriteImage(_image(case.hu, case.spacing_mm), str(paths[0]), useCompression=True)
    sitk.WriteImage(_image(case.bodies, case.spacing_mm), str(paths[1]), useCompression=True)
    write_mask(paths[2], _image(case.fracture_mask.astype(np.uint8), case.spacing_mm))
    return paths


def _image(volume: np.ndarray, spacing_mm: float) -> sitk.Image:
    image = sitk.GetImageFromArray(volume)
    image.SetSpacing([spacing_mm] * 3)
    return image
