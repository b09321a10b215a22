"""Findings that no row of the spine table stands for: those outside of all vertebral bodies."""

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk

from SpineFractureSegLib.engine.findings import Finding, find_lesions
from SpineFractureSegLib.engine.postprocess import label_components

_SHARE_INSIDE = 0.1  # of a finding's voxels, from which on it belongs to the bodies that it touches


def findings_outside(
    findings: Sequence[Finding], mask: sitk.Image, probability: sitk.Image, bodies: sitk.Image
) -> list[Finding]:
    """Those of the findings of which less than a tenth lies in vertebral bodies: arches, processes, false alarms.

    Args:
        findings: what ``find_lesions`` found in ``mask`` and ``probability``.
        bodies: nonzero in vertebral bodies, on the grid of the others.
    """
    found = sitk.GetArrayViewFromImage(mask) > 0
    components, count = label_components(found)
    inside = np.bincount(components[sitk.GetArrayViewFromImage(bodies) > 0], minlength=count + 1)
    total = np.bincount(components.ravel(), minlength=count + 1)
    is_outside = inside < _SHARE_INSIDE * total
    is_outside[0] = False
    outside = sitk.GetImageFromArray(is_outside[components].astype(np.uint8))
    outside.CopyInformation(mask)
    # measured as the findings were, a lesion has the same center and volume, which tell which one it is
    known = {(lesion.centroid_ras_mm, lesion.volume_mm3) for lesion in find_lesions(outside, probability)}
    return [finding for finding in findings if (finding.centroid_ras_mm, finding.volume_mm3) in known]
