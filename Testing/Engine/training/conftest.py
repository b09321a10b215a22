"""Made-up cases: bright boxes as vertebral bodies in soft tissue, a flat and denser one as the fracture."""

import numpy as np
import pytest
import torch

from SpineFractureSegLib.engine.case import Case

WINDOW = (32, 32)


@pytest.fixture(scope="session")
def make_case():
    """make_case(seed, fractured=True, uncertain=(), has_bodies=True): a column of three bodies, ids 20, 21, 22."""

    def make(seed, *, fractured=True, uncertain=(), has_bodies=True, shape=(72, 40, 24)):
        rng = np.random.default_rng(seed)
        hu = rng.normal(40, 20, shape).astype(np.int16)
        bodies = np.zeros(shape, np.uint8)
        row, column = int(rng.integers(2, 16)), int(rng.integers(2, 6))
        broken = int(rng.integers(20, 23)) if fractured else None
        for number, body in enumerate((20, 21, 22)):
            start, height = 2 + 23 * number, 10 if body == broken else 20
            box = (slice(start, start + height), slice(row, row + 22), slice(column, column + 14))
            hu[box] += 700 if body == broken else 250
            bodies[box] = body
        if not has_bodies:
            bodies[:] = 0
        labels = (broken,) if fractured and has_bodies else ()
        return Case(f"case{seed}", f"patient{seed}", hu, bodies, labels, uncertain, has_bodies)

    return make


@pytest.fixture(scope="module")
def one_thread():
    """The machine's other cores stay free, and sums do not depend on their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
