"""The folder of one job: the CT goes in, the engine's results come out, and it is removed whatever happens."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import slicer
from slicer.i18n import tr as _

from SpineFractureSegLib.engine.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import SimpleITK as sitk

_PREFIX = "SpineFractureSeg-"
_REMOVE_WITHIN_S = 1.0  # Windows frees the files of a killed process a little later


@dataclass(frozen=True)
class EngineResult:
    """What one job gives. Arrays are (slice, row, column) on the CT's grid."""

    fracture: np.ndarray  # uint8, 1 where fractured
    vertebrae: np.ndarray | None  # uint8, 1 in vertebral bodies; None: not asked for
    probability: np.ndarray  # float32, of a fracture
    report: dict  # as ``segment --report`` writes it: device, precision, seconds, model, warnings, findings, vertebrae
    bodies: np.ndarray | None = None  # uint8, numbers of the vertebrae in the report


class JobFolder:
    """A new folder in Slicer's temporary folder, named after this process.

    Raises: UserError, when it cannot be made.
    """

    def __init__(self) -> None:
        base = Path(slicer.app.temporaryPath)
        try:
            base.mkdir(parents=True, exist_ok=True)
            _removeAbandoned(base)
            self.path = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=base))
        except OSError as error:
            raise UserError(
                _("The temporary folder {path} cannot be used ({reason}): choose another in Slicer's settings.").format(
                    path=base, reason=error.strerror or error
                )
            ) from error

    @property
    def ct(self) -> Path:
        return self.path / "ct.nrrd"

    @property
    def segmentation(self) -> Path:
        return self.path / "fractures.seg.nrrd"

    @property
    def probability(self) -> Path:
        return self.path / "probability.nrrd"

    @property
    def bodies(self) -> Path:
        return self.path / "bodies.nrrd"

    @property
    def report(self) -> Path:
        return self.path / "report.json"

    def writeCt(self, ct: sitk.Image) -> None:
        """Raises: UserError, when there is no room for it."""
        import SimpleITK as sitk

        from SpineFractureSegLib.engine.atomic_file import written_whole

        with written_whole(self.ct) as partial:
            sitk.WriteImage(ct, str(partial), useCompression=False)

    def readResult(self) -> EngineResult:
        """Raises: OSError, RuntimeError, ValueError, where a file is missing or damaged."""
        import SimpleITK as sitk

        segmentation = sitk.ReadImage(str(self.segmentation))
        layers = segmentation.GetNumberOfComponentsPerPixel()
        segments = [
            sitk.GetArrayFromImage(sitk.VectorIndexSelectionCast(segmentation, layer) if layers > 1 else segmentation)
            for layer in range(layers)
        ]
        report = json.loads(self.report.read_text(encoding="utf-8"))
        del report["ct"]  # the path of a file that will be gone
        return EngineResult(
            fracture=segments[0],
            vertebrae=segments[1] if layers > 1 else None,
            probability=sitk.GetArrayFromImage(sitk.ReadImage(str(self.probability))),
            report=report,
            bodies=sitk.GetArrayFromImage(sitk.ReadImage(str(self.bodies))),
        )

    def remove(self) -> None:
        """With all that is in it; a second time does nothing."""
        deadline = time.monotonic() + _REMOVE_WITHIN_S
        shutil.rmtree(self.path, ignore_errors=True)
        while self.path.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
            shutil.rmtree(self.path, ignore_errors=True)
        if self.path.exists():
            logging.warning(f"The folder {self.path} could not be removed: delete it by hand, it holds the CT.")


def _removeAbandoned(base: Path) -> None:
    """Folders of processes that are gone, because Slicer crashed: they hold a patient's CT."""
    import psutil

    for folder in base.glob(f"{_PREFIX}*-*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)
