"""A network whose right temperature is known, and cases on which it is right on average but too sure of it.

Within a body every voxel draws its own Hounsfield units, around 600 where fractured and 400 where intact. For two
normal distributions of one width the log-odds is linear in the units, which is what the network computes, times
``sureness``.
"""

import numpy as np
import pytest
import torch
from torch import nn

from SpineFractureSegLib.engine.case import Case
from SpineFractureSegLib.engine.model_file import Model, ModelCard
from SpineFractureSegLib.engine.network import NetworkConfig
from SpineFractureSegLib.engine.preprocessing import Preprocessing

FRACTURED_HU, INTACT_HU, SPREAD_HU = 600.0, 400.0, 120.0
WINDOW = (32, 32)


class LogOdds(nn.Module):
    """(B, 1, H, W) to logits of fracture and, if asked, vertebra; the last layer is where the real network has it."""

    def __init__(self, sureness: float, outputs: int) -> None:
        super().__init__()
        slope = sureness * (FRACTURED_HU - INTACT_HU) / SPREAD_HU**2  # per HU
        middle = (FRACTURED_HU + INTACT_HU) / 2
        self.decoder = nn.Module()
        self.decoder.output = nn.Conv2d(1, outputs, 1)
        with torch.no_grad():  # the window of 1400 HU from -250 on is [0, 1]
            self.decoder.output.weight.copy_(torch.tensor([1400 * slope, 1400 * 0.05])[:outputs].view(-1, 1, 1, 1))
            self.decoder.output.bias.copy_(torch.tensor([-(middle + 250) * slope, -(200 + 250) * 0.05])[:outputs])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.decoder.output(x)


@pytest.fixture
def make_model():
    """make_model(sureness, planes=("sagittal",), outputs=("fracture",), **card)"""

    def make(sureness: float, planes=("sagittal",), outputs=("fracture",), **card) -> Model:
        preprocessing = Preprocessing(planes=planes, plane_weights=(1.0,) * len(planes), window_size=WINDOW)
        config = NetworkConfig(width=4, outputs=outputs)
        card = ModelCard(name="made", version="3", **card)
        return Model(config, preprocessing, card, LogOdds(sureness, len(outputs)).eval())

    return make


@pytest.fixture
def make_case():
    """make_case(seed, fractured=True, as_scanned=False): two bodies, 20 and 21, of 8,000 mm3 each."""

    def make(seed: int, *, fractured: bool = True, as_scanned: bool = False) -> Case:
        rng = np.random.default_rng(seed)
        bodies = np.zeros((60, 36, 32), np.uint8)
        bodies[6:26, 8:28, 6:26], bodies[34:54, 8:28, 6:26] = 21, 20
        hu = np.full(bodies.shape, 40.0)
        for body in (20, 21):
            mean = FRACTURED_HU if fractured and body == 20 else INTACT_HU
            hu[bodies == body] = rng.normal(mean, SPREAD_HU, 8000)
        truth = {"as_scanned": True} if as_scanned else {}
        return Case(f"case{seed}", f"p{seed}", hu.astype(np.int16), bodies, (20,) if fractured else (), truth=truth)

    return make
