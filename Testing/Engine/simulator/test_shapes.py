import numpy as np
import pytest
import SimpleITK as sitk

from SpineFractureSegLib.engine.simulator.bodies import vertebral_bodies
from SpineFractureSegLib.engine.simulator.shape_builder import (
    TOTALSEGMENTATOR_TO_VERSE,
    VERSE_IDS,
    build_spine,
    labels_on_grid,
)
from SpineFractureSegLib.engine.simulator.shapes import load_library, load_spine, save_spine, shape_library


def test_a_spine_is_the_same_after_saving_and_loading(made_spine, tmp_path):
    spine = type(made_spine)(**vars(made_spine) | {"genant": {20: 3}, "uncertain": (19,)})
    save_spine(tmp_path / "made.npz", spine)
    again = load_spine(tmp_path / "made.npz")
    np.testing.assert_array_equal(again.vertebrae, spine.vertebrae)
    np.testing.assert_array_equal(again.bodies, spine.bodies)
    assert np.abs(again.hu.astype(int) - spine.hu).max() <= 2  # kept in steps of 4 HU
    assert (again.genant, again.uncertain, again.patient) == ({20: 3}, (19,), "patient")


def test_thick_slices_are_stored_as_such_and_interpolated_when_loaded(made_spine, tmp_path):
    ramp = np.broadcast_to(np.arange(180, dtype=np.int16)[:, None, None] * 5, made_spine.vertebrae.shape)
    spine = type(made_spine)(**vars(made_spine) | {"hu": ramp})
    save_spine(tmp_path / "thick.npz", spine, slice_step=2.5)
    again = load_spine(tmp_path / "thick.npz")
    assert again.hu.shape == ramp.shape
    assert np.abs(again.hu[:176].astype(int) - ramp[:176]).max() <= 3


def test_a_label_map_without_ct_has_no_hounsfield_units(label_spine, tmp_path):
    save_spine(tmp_path / "labels.npz", label_spine)
    assert load_spine(tmp_path / "labels.npz").hu is None


def test_bodies_are_told_from_arches(made_spine):
    bodies = vertebral_bodies(made_spine.vertebrae)
    overlap = 2 * (bodies & made_spine.bodies).sum() / (bodies.sum() + made_spine.bodies.sum())
    assert overlap > 0.93
    assert not bodies[:, 73:].any()


def test_labels_of_a_rotated_anisotropic_image_land_where_they_are_in_space(made_spine):
    """A label map of 3 mm slices, rotated by 20 degrees: resampled by distance it agrees with the original."""
    original = sitk.GetImageFromArray(made_spine.vertebrae)
    rotation = sitk.Euler3DTransform((45, 60, 90), 0.0, 0.35, 0.1)
    direction = np.array(rotation.GetMatrix()).reshape(3, 3)
    center = np.array((45.0, 60.0, 90.0))
    size, spacing = (160, 160, 70), (1.0, 1.0, 3.0)
    origin = center - direction @ ((np.array(size) - 1) / 2 * spacing)
    rotated = sitk.Resample(
        original, size, sitk.Transform(), sitk.sitkNearestNeighbor, origin.tolist(), spacing, direction.ravel().tolist()
    )
    again = labels_on_grid(rotated, (0.0, 0.0, 0.0), made_spine.vertebrae.shape, VERSE_IDS)
    for vertebra in (20, 21, 22):
        a, b = again == vertebra, made_spine.vertebrae == vertebra
        assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.9


def test_float_masks_and_other_numberings_are_read(made_spine, tmp_path):
    to_file = {verse: source for source, verse in TOTALSEGMENTATOR_TO_VERSE.items() if verse != 26}
    numbers = np.zeros(made_spine.vertebrae.shape, np.float32)
    for vertebra in (19, 20, 21, 22, 23):
        numbers[made_spine.vertebrae == vertebra] = to_file[vertebra]
    sitk.WriteImage(sitk.GetImageFromArray(numbers), str(tmp_path / "labels.nii.gz"))
    spine = build_spine(
        None,
        tmp_path / "labels.nii.gz",
        label_ids=TOTALSEGMENTATOR_TO_VERSE,
        name="ts",
        patient="p",
        split="train",
        source="made",
        licence="none",
    )
    assert spine.ids == [19, 20, 21, 22, 23]
    assert (spine.vertebrae == 19).sum() == pytest.approx((made_spine.vertebrae == 19).sum(), rel=0.1)


def test_no_patient_of_the_library_is_in_two_splits_and_every_spine_names_its_licence():
    spines = load_library(shape_library())
    splits = {}
    for spine in spines:
        splits.setdefault(spine.patient, set()).add(spine.split)
        assert spine.licence
        assert spine.source
    assert all(len(found) == 1 for found in splits.values())
    assert {"train", "validation", "test"} == {split for found in splits.values() for split in found}


def test_a_folder_without_spines_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no spine"):
        load_library(tmp_path)
