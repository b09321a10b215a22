"""What lies outside the patient in a synthesized scan: air, the table under the back, the arms where they are seen."""

import numpy as np

from SpineFractureSegLib.engine.simulator.noise import smooth_noise

_AIR_HU = -1000.0
_CHEST_MM = (140.0, 175.0)  # from the middle to the patient's side


def add_outside(hu: np.ndarray, behind: np.ndarray, beside: np.ndarray, rng: np.random.Generator) -> None:
    """Draws air, table and arms into hu float32 (Z, Y, X), in place.

    Args: behind: mm behind the bodies' front wall (Z, Y, 1); beside: mm left of the middle (1, 1, X).
    """
    skin_mm, side_mm = rng.uniform(85, 110), rng.uniform(*_CHEST_MM)
    wide = float(np.abs(beside).max()) > side_mm
    back = _row_of_back(behind, skin_mm)
    hu[np.broadcast_to(behind > skin_mm, hu.shape)] = _AIR_HU
    if wide:
        hu[:, :, np.abs(beside[0, 0]) > side_mm] = _AIR_HU
        if rng.random() < 0.6:
            for side in (-1, 1):
                _add_arm(hu, behind, beside, side * (side_mm + rng.uniform(25, 60)), rng)
    if rng.random() < 0.7:
        _add_table(hu, back + rng.uniform(0, 12), beside, rng)


def _row_of_back(behind: np.ndarray, skin_mm: float) -> float:
    """The row (Y) on which the patient lies: where the back reaches furthest."""
    return float((np.arange(behind.shape[1])[None] - behind[:, :, 0] + skin_mm).max())


def _add_table(hu: np.ndarray, row: float, beside: np.ndarray, rng: np.random.Generator) -> None:
    """Two thin plates with foam between; slightly hollow from side to side, the same in every slice."""
    hollow = beside[0] ** 2 / rng.uniform(1500, 6000)
    under = np.arange(hu.shape[1], dtype=np.float32)[:, None] + hollow - row
    thick, plate = rng.uniform(20, 45), rng.uniform(1.2, 3)
    foam, plates = (under > 0) & (under < thick), np.minimum(np.abs(under), np.abs(under - thick)) < plate / 2
    hu[:, foam & ~plates] = rng.uniform(-970, -900)
    hu[:, plates] = rng.uniform(-400, 60)


def _add_arm(hu: np.ndarray, behind: np.ndarray, beside: np.ndarray, at_mm: float, rng: np.random.Generator) -> None:
    """Muscle round a long bone with a marrow cavity."""
    distance = np.hypot(behind - rng.uniform(0, 40), beside - at_mm)
    arm = distance < rng.uniform(32, 45)
    hu[arm] = (50 + 15 * smooth_noise(rng, hu.shape, 6))[arm]
    shaft = rng.uniform(9, 12)
    hu[distance < shaft] = rng.uniform(700, 1300)
    hu[distance < shaft - rng.uniform(3, 4.5)] = rng.uniform(-60, 60)
