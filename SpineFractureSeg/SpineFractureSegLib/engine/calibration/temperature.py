"""Temperature of the fracture's logit: one number that makes the probabilities mean what they say.

The logit is divided by the temperature: above 1 the answers become less sure. The order of the voxels stays, so no
ranking score changes. Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize_scalar

from SpineFractureSegLib.engine.network import FractureNetwork

_RANGE = (0.2, 5.0)  # further off, a few dozen vertebrae that are all right or all wrong would decide
_LEAST_PROBABILITY = 1e-7  # of what is true: one voxel must not outweigh all others


@dataclass
class CrossEntropy:
    """Mean of -log of the probability of what is true. Grows case by case."""

    total: float = 0.0
    count: int = 0

    def add(self, probability: np.ndarray, truth: np.ndarray) -> None:
        """Counts voxels (N,). Those of probability 0 are left out: the network was not asked there."""
        asked = probability > 0
        p, truth = probability[asked].astype(np.float64), truth[asked]
        of_truth = np.where(truth, p, 1 - p)
        self.total -= float(np.log(np.maximum(of_truth, _LEAST_PROBABILITY)).sum())
        self.count += int(asked.sum())

    @property
    def mean(self) -> float:
        """nan without voxels."""
        return self.total / self.count if self.count else float("nan")


def best_temperature(loss: Callable[[float], float]) -> float:
    """The temperature from 0.2 to 5 at which the loss is least, to about one percent."""
    found = minimize_scalar(
        lambda exponent: loss(float(np.exp(exponent))),
        bounds=np.log(_RANGE),
        method="bounded",
        options={"xatol": 0.01},
    )
    return round(float(np.exp(found.x)), 3)


def with_temperature(network: FractureNetwork, temperature: float) -> FractureNetwork:
    """A copy whose fracture logit is divided by the temperature, in the weights of its last layer."""
    network = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in (network.decoder.output.weight, network.decoder.output.bias):
            parameter[0] /= temperature  # the first output is the fracture
    return network
