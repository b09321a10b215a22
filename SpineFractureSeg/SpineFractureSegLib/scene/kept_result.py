"""The probability of a run, kept so that another threshold gives another mask without running again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import slicer
from slicer.i18n import tr as _

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.scene.image_geometry import imageFromArray
from SpineFractureSegLib.scene.volume_reader import checkVolume, ijkToWorld

if TYPE_CHECKING:
    from collections.abc import Sequence

    import SimpleITK as sitk
    from slicer import vtkMRMLScalarVolumeNode

    from SpineFractureSegLib.engine.findings import Finding
    from SpineFractureSegLib.engine.vertebrae.vertebra import Vertebra


@dataclass(frozen=True, eq=False)
class KeptResult:
    """Outside of the box every probability is 0: a kept result takes a small part of the CT's memory."""

    probability: np.ndarray  # float32 (slice, row, column) inside the box
    box: tuple[slice, slice, slice]  # of the CT's grid
    shape: tuple[int, int, int]  # of the CT's grid (slice, row, column)
    ijkToWorld: np.ndarray  # of the CT, see ``image_geometry.py``
    bodies: np.ndarray | None = None  # uint8 inside the box, numbers of the vertebrae; None: not at hand

    @classmethod
    def fromArray(cls, probability: np.ndarray, ijkToWorld: np.ndarray, bodies: np.ndarray | None = None) -> KeptResult:
        """Keeps a copy of what is not 0.

        Args:
            probability: of a fracture, 0 to 1, (slice, row, column) on the CT's grid.
            bodies: numbers of the vertebrae on the same grid; the network has looked wherever one is.
        """
        from SpineFractureSegLib.engine.postprocess import bounding_box

        box = bounding_box(probability) or (slice(0, 0),) * 3
        kept = None if bodies is None else bodies[box].copy()
        return cls(probability[box].astype(np.float32), box, probability.shape, np.array(ijkToWorld, float), kept)

    @classmethod
    def fromVolume(cls, probabilityNode: vtkMRMLScalarVolumeNode) -> KeptResult:
        """From the volume that ``writeProbability`` wrote, for example in a scene that was loaded.

        Raises: UserError, when it is no probability.
        """
        checkVolume(probabilityNode)
        probability = slicer.util.arrayFromVolume(probabilityNode)
        lowest, highest = probability.min(), probability.max()
        if not (lowest >= 0 and highest <= 1):  # nan, too
            raise UserError(
                _(
                    'The values of the volume "{name}" run from {lowest:.6g} to {highest:.6g}, probabilities from 0 to '
                    "1 are needed: choose a volume written by this module."
                ).format(name=probabilityNode.GetName(), lowest=lowest, highest=highest)
            )
        return cls.fromArray(probability, ijkToWorld(probabilityNode))

    def threshold(self, threshold: float, minVolumeMm3: float) -> tuple[np.ndarray, list[Finding]]:
        """What the engine itself finds with these numbers.

        Args:
            threshold: probability in (0, 1) from which a voxel is fractured.
            minVolumeMm3: smaller connected parts are dropped; 0 keeps all.

        Returns: uint8 mask (slice, row, column) on the CT's whole grid; its findings, centroids in world.

        Raises: UserError, when a number is out of range.
        """
        from SpineFractureSegLib.engine.ct_check import voxel_volume_mm3
        from SpineFractureSegLib.engine.findings import find_lesions
        from SpineFractureSegLib.engine.postprocess import remove_small_components, threshold_mask

        if not 0 < threshold < 1:
            raise UserError(
                _("The threshold must lie between 0 and 1, not {found:g}: choose another.").format(found=threshold)
            )
        if not 0 <= minVolumeMm3 < np.inf:
            raise UserError(
                _("The smallest volume must be 0 mm3 or more, not {found:g}: choose another.").format(
                    found=minVolumeMm3
                )
            )
        mask = np.zeros(self.shape, np.uint8)
        if not self.probability.size:
            return mask, []
        probability = self._image(self.probability)
        found = threshold_mask(self.probability, threshold)
        kept = remove_small_components(found, minVolumeMm3, voxel_volume_mm3(probability)).view(np.uint8)
        mask[self.box] = kept
        return mask, find_lesions(self._image(kept), probability)

    def describe(
        self, spine: Sequence[Vertebra], mask: np.ndarray, findings: Sequence[Finding], threshold: float
    ) -> tuple[list[Vertebra], list[Finding]]:
        """The vertebrae flagged for a mask, and the findings outside of all bodies.

        Without the bodies, as after loading a scene, the probability of each vertebra decides alone and no finding is
        known to belong to one.

        Args:
            spine: of the run.
            mask, findings: what ``threshold`` gave for this threshold.
        """
        from SpineFractureSegLib.engine.spine_report.outside import findings_outside
        from SpineFractureSegLib.engine.vertebrae.measure import with_flags

        if self.bodies is None or not self.bodies.size:
            flagged = [replace(vertebra, flagged=vertebra.fracture_probability >= threshold) for vertebra in spine]
            return flagged, list(findings)
        found, bodies = self._image(mask[self.box]), self._image(self.bodies)
        outside = findings_outside(findings, found, self._image(self.probability), bodies)
        return with_flags(spine, bodies, found, threshold), outside

    def _image(self, array: np.ndarray) -> sitk.Image:
        """An array of the box in its place."""
        boxToWorld = self.ijkToWorld.copy()
        boxToWorld[:3, 3] += self.ijkToWorld[:3, :3] @ [axis.start for axis in reversed(self.box)]
        return imageFromArray(array, boxToWorld)
