"""A real CT without known fracture as a case: everything found in it is a false alarm. Needs SimpleITK."""

from pathlib import Path

import numpy as np

from SpineFractureSegLib.engine.case import Case
from SpineFractureSegLib.engine.orientation import to_working_grid
from SpineFractureSegLib.engine.volume import read_ct

_SPACING_MM = 1.0  # of all stored cases


def case_without_fracture(path: str | Path) -> Case:
    """The CT on the working grid at 1 mm, named after its file, without vertebra labels.

    Args: path: file, or DICOM folder or file.

    Raises: UserError, when it cannot be read or is no CT.
    """
    name = Path(path).name.split(".")[0]
    hu = np.clip(np.rint(to_working_grid(read_ct(path).image, _SPACING_MM).hu), -1024, 3071).astype(np.int16)
    return Case(
        name=name,
        patient=name,
        hu=hu,
        bodies=np.zeros(hu.shape, np.uint8),
        has_bodies=False,
        spacing_mm=_SPACING_MM,
        truth={"real_ct": True, "as_scanned": True},
    )
