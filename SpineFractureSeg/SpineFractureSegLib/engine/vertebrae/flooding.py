"""Where one body ends and the next begins, when the disc between them is no plane: labels grow into what is undecided.

Like a watershed of the probability: bone that is surest is taken first, so that two labels meet where it is least sure.
"""

import numpy as np

_LEVELS = (0.95, 0.9, 0.8, 0.7, 0.6, 0.5)  # of the probability, from the surest down
_MOST_STEPS = 30  # voxels from a label, per level


def flood(labels: np.ndarray, undecided: np.ndarray, probability: np.ndarray) -> None:
    """Gives undecided voxels the label from which they are reached first, by steps over faces, in place.

    Args:
        labels: uint8 (Z, Y, X), 0 where undecided or outside.
        undecided: (N, 3) voxels.
        probability: (Z, Y, X); voxels under the lowest level, and those that no label reaches, stay 0.
    """
    padded = np.pad(labels, 1)
    strides = np.array(padded.strides) // padded.itemsize
    flat = padded.reshape(-1)
    places, sure = (undecided + 1) @ strides, probability[tuple(undecided.T)]
    beside = np.concatenate([strides, -strides])
    for level in _LEVELS:
        waiting = places[sure >= level]
        for _ in range(_MOST_STEPS):
            waiting = waiting[flat[waiting] == 0]
            reached = flat[waiting[:, None] + beside].max(axis=1, initial=0)
            if not reached.any():
                break
            flat[waiting] = reached
    labels[:] = padded[1:-1, 1:-1, 1:-1]
