"""The made patient's module for tests that are imported without a package."""

import importlib.util
from pathlib import Path

import pytest


def _load():
    path = Path(__file__).with_name("phantom.py")
    spec = importlib.util.spec_from_file_location("data_phantom", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def phantom():
    """The module ``phantom``: painted CTs and labels."""
    return _load()


@pytest.fixture(scope="session")
def verse_tree(phantom, tmp_path_factory):
    """VerSe in subject folders, small: names, parts and entities as in the data set, empty files but for headers."""
    root = tmp_path_factory.mktemp("verse")
    for name in (
        "dataset-verse20training/rawdata/sub-verse004/sub-verse004_ct.nii.gz",
        "dataset-verse20training/derivatives/sub-verse004/sub-verse004_seg-vert_msk.nii.gz",
        "dataset-verse20training/derivatives/sub-verse004/sub-verse004_seg-subreg_ctd.json",
        "dataset-verse20training/derivatives/sub-verse004/sub-verse004_seg-vert_snp.png",
        "dataset-02validation/rawdata/sub-verse409/sub-verse409_split-verse266_dir-sag_ct.nii.gz",
        "dataset-02validation/derivatives/sub-verse409/sub-verse409_dir-sag_split-verse266_seg-vert_msk.nii.gz",
        "dataset-02validation/rawdata/sub-verse409/sub-verse409_split-verse300_ct.nii.gz",
        "dataset-02validation/derivatives/sub-verse409/sub-verse409_dir-iso_seg-vert_split-verse300_msk.nii.gz",
        "dataset-03test/rawdata/sub-verse500/sub-verse500_dir-ax_ct.nii.gz",
        "dataset-03test/rawdata/sub-verse500/sub-verse500_dir-sag_ct.nii.gz",
        "dataset-03test/derivatives/sub-verse500/sub-verse500_dir-ax_seg-vert_msk.nii.gz",
        "dataset-03test/rawdata/sub-verse500/._sub-verse500_dir-ax_ct.nii.gz",
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root
