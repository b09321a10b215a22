"""Fractures that were cut out of their vertebra: a file with one label per voxel cannot hold both.

Slicer's editor does so by default, and nnU-Net's label maps cannot do otherwise. The vertebra is made whole again: each
connected piece of fracture goes to the vertebra that it touches most, for a fractured body that is its own arch.
"""

import numpy as np
from scipy import ndimage

_REACH = 2  # voxels between a piece and its vertebra: what resampling leaves


def restore_carved(vertebrae: np.ndarray, fracture: np.ndarray) -> np.ndarray:
    """Vertebrae with the fractures that lie in no vertebra, as far as they touch one.

    Args:
        vertebrae: uint8 (Z, Y, X), ids.
        fracture: bool (Z, Y, X).

    >>> restore_carved(np.array([[[8, 0, 0, 0, 0, 0]]]), np.array([[[0, 1, 1, 0, 0, 0]]]) > 0).tolist()
    [[[8, 8, 8, 0, 0, 0]]]
    """
    restored = vertebrae.copy()
    pieces, _ = ndimage.label(fracture & (vertebrae == 0), np.ones((3, 3, 3)))
    for number, box in enumerate(ndimage.find_objects(pieces), start=1):
        wider = tuple(slice(max(0, s.start - _REACH), s.stop + _REACH) for s in box)
        piece = pieces[wider] == number
        near = ndimage.binary_dilation(piece, np.ones((3, 3, 3)), iterations=_REACH)
        touched = np.bincount(vertebrae[wider][near], minlength=2)
        touched[0] = 0
        if touched.any():
            restored[wider][piece] = touched.argmax()
    return restored
