"""Hounsfield units to the network's input: a window, mapped linearly to [0, 1]. Shared by training and inference.

*HU*: Hounsfield units; air is -1000, water 0, dense bone above 1000. *Window*: the (lower, upper) HU that become 0
and 1; what lies outside is clipped.
"""

from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

Values = TypeVar("Values", np.ndarray, Tensor)


def normalize_hu(hu: Values, window_hu: tuple[float, float]) -> Values:
    """Maps the window to [0, 1] and clips.

    Args:
        hu: numpy array or torch tensor of any shape and number type, HU.
        window_hu: lower and upper HU, lower < upper.

    Returns: float32, of the same kind, shape and device as ``hu``, which stays as it is.

    >>> normalize_hu(np.array([-1024, -250, 450, 1150, 3000], np.int16), (-250, 1150)).tolist()
    [0.0, 0.0, 0.5, 1.0, 1.0]
    """
    lower, upper = window_hu
    # one copy, then in place: large regions pass through here
    values = hu.to(torch.float32, copy=True) if isinstance(hu, Tensor) else hu.astype(np.float32)
    values -= lower
    values /= upper - lower
    return values.clamp_(0, 1) if isinstance(values, Tensor) else values.clip(0, 1, out=values)
