"""A made site: CTs of a column of bright boxes in soft tissue and air, in which the flat and denser box is drawn."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from SpineFractureSegLib.engine.finetuning import TuningCase
from SpineFractureSegLib.engine.model_file import ModelCard, load_model, save_model
from SpineFractureSegLib.engine.network import FractureNetwork, NetworkConfig
from SpineFractureSegLib.engine.preprocessing import Preprocessing

SPACING = (2.0, 2.0, 3.0)


@pytest.fixture(scope="session")
def write_pair(tmp_path_factory):
    """write_pair(folder, seed): the paths of a CT and its mask, on a grid of 2x2x3 mm."""

    def write(folder, seed):
        folder.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(seed)
        hu = np.full((36, 30, 24), -1000, np.int16)  # 108 x 60 x 48 mm
        hu[:, 3:27, 2:22] = random.normal(40, 20, (36, 24, 20)).astype(np.int16)
        hu[:, 3:5, 2:22] = -100
        mask = np.zeros(hu.shape, np.uint8)
        broken, row = int(random.integers(3)), int(random.integers(7, 10))
        for number in range(3):
            start, height = 2 + 12 * number, 5 if number == broken else 9
            box = (slice(start, start + height), slice(row, row + 12), slice(6, 16))
            hu[box] += 700 if number == broken else 250
            mask[box] = number == broken
        paths = folder / f"p{seed}_ct.nii.gz", folder / f"p{seed}_fracture.nii.gz"
        for array, path in zip((hu, mask), paths, strict=True):
            image = sitk.GetImageFromArray(array)
            image.SetSpacing(SPACING)
            image.SetOrigin((-20.0, 5.0, 40.0 + seed))
            sitk.WriteImage(image, str(path))
        return paths

    return write


@pytest.fixture(scope="session")
def site(write_pair, tmp_path_factory):
    """A folder with three pairs, of the patients p1, p2 and p3."""
    folder = tmp_path_factory.mktemp("site")
    for seed in (1, 2, 3):
        write_pair(folder, seed)
    return folder


@pytest.fixture(scope="session")
def cases(site):
    """The pairs of ``site``; p3 is held out."""
    return [
        TuningCase.of(f"p{n}", site / f"p{n}_ct.nii.gz", site / f"p{n}_fracture.nii.gz", role=role)
        for n, role in ((1, "train"), (2, "train"), (3, "validation"))
    ]


@pytest.fixture(scope="session")
def parent(tmp_path_factory):
    """A tiny network that knows nothing, in a file."""
    torch.manual_seed(0)
    config = NetworkConfig(width=4, input_channels=3, outputs=("fracture", "vertebra"), decoder_skips=True)
    preprocessing = Preprocessing(spacing_mm=3.0, context_mm=(-3.0, 0.0, 3.0), window_size=(32, 32))
    card = ModelCard("parent", version="7", licence="CC0", label_meaning="whole bodies", by_body=True)
    path = tmp_path_factory.mktemp("models") / "parent.safetensors"
    save_model(path, FractureNetwork(config), config, preprocessing, card)
    return load_model(path)
