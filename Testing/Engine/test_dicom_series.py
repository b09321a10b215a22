"""DICOM series made with pydicom: what is read from them, and each kind of bad one."""

import numpy as np
import pytest
import SimpleITK as sitk

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.volume import check_ct, read_ct

pydicom = pytest.importorskip("pydicom")

ROWS, COLUMNS = 20, 24
IN_PLANE = (0.75, 0.5)  # distance of rows, of columns; mm
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
UID = "1.2.826.0.1.3680043.8.498.1"


def write_slice(path, hu, position, *, orientation=AXIAL, series=UID, instance=1, **changes):
    """One CT image; ``hu`` is (rows, columns). ``changes`` are DICOM attributes by keyword."""
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    image = pydicom.dataset.FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    image.SOPClassUID = meta.MediaStorageSOPClassUID
    image.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    image.StudyInstanceUID, image.SeriesInstanceUID = "1.2.3", series
    image.Modality, image.SeriesDescription, image.InstanceNumber = "CT", "Bone 1.0", instance
    image.ImagePositionPatient = [float(p) for p in position]
    image.ImageOrientationPatient = list(orientation)
    image.PixelSpacing, image.SliceThickness = list(IN_PLANE), 2.0
    image.Rows, image.Columns = hu.shape
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 0
    image.RescaleSlope, image.RescaleIntercept = 1, -1024
    image.PixelData = (hu + 1024).astype(np.uint16).tobytes()
    for name, value in changes.items():
        setattr(image, name, value)
    image.save_as(path, enforce_file_format=True)


def volume_hu(slices=12):
    """int16 (slices, ROWS, COLUMNS), each slice different."""
    return np.random.default_rng(0).integers(-1000, 1200, (slices, ROWS, COLUMNS)).astype(np.int16)


def write_series(folder, hu=None, depths=None, drift=(0.0, 0.0), **options):
    """Axial slices at ``depths`` (mm), each shifted sideways by ``drift`` per mm; files in shuffled order."""
    hu = volume_hu() if hu is None else hu
    depths = np.arange(len(hu)) * 2.0 if depths is None else depths
    folder.mkdir(parents=True, exist_ok=True)
    names = np.random.default_rng(1).permutation(len(hu))
    for k, (plane, depth, name) in enumerate(zip(hu, depths, names, strict=True)):
        position = (-100 + drift[0] * depth, 50 + drift[1] * depth, -300 + depth)
        write_slice(folder / f"IM{name:04d}", plane, position, instance=len(hu) - k, **options)
    return hu


def refusal(path, series=None):
    with pytest.raises(UserError) as error:
        read_ct(path, series)
    text = str(error.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text


def test_a_folder_is_read_in_the_order_of_positions(tmp_path):
    hu = write_series(tmp_path / "a" / "series é")
    read = read_ct(tmp_path)  # folders below are searched
    assert np.array_equal(sitk.GetArrayFromImage(read.image), hu)
    assert read.image.GetPixelID() == sitk.sitkInt16
    assert read.image.GetSpacing() == pytest.approx((0.5, 0.75, 2.0))
    assert read.image.GetOrigin() == pytest.approx((-100, 50, -300))
    assert read.image.GetDirection() == pytest.approx(np.eye(3).ravel())
    assert read.warnings == []
    assert read.dicom
    assert len(read.series.slices) == 12
    assert check_ct(read.image) == []


def test_one_file_stands_for_its_whole_series_and_no_other(tmp_path):
    hu = write_series(tmp_path)
    write_slice(tmp_path / "other", np.zeros((ROWS, COLUMNS)), (0, 0, 0), series=UID + ".2")
    assert np.array_equal(sitk.GetArrayFromImage(read_ct(tmp_path / "IM0003").image), hu)


def test_sagittal_slices_keep_their_orientation(tmp_path):
    hu = volume_hu(6)
    for k, plane in enumerate(hu):
        write_slice(tmp_path / f"{k}", plane, (10 - 3.0 * k, 5, 7), orientation=SAGITTAL)
    image = read_ct(tmp_path).image
    for index in ((0, 0, 0), (3, 4, 5)):
        x, y, z = image.TransformIndexToPhysicalPoint(index)
        k = round((10 - x) / 3.0)
        row, column = round((7 - z) / 0.75), round((y - 5) / 0.5)
        assert image[index] == hu[k, row, column]


def test_a_single_slice_takes_its_thickness_as_spacing(tmp_path):
    write_series(tmp_path, volume_hu(1))
    assert read_ct(tmp_path).image.GetSize() == (COLUMNS, ROWS, 1)
    assert read_ct(tmp_path).image.GetSpacing()[2] == 2.0


def test_several_series_are_listed_and_chosen_by_number_or_uid(tmp_path):
    one = write_series(tmp_path / "a", volume_hu(5), SeriesDescription="Abdomen 3.0")
    two = write_series(tmp_path / "b", volume_hu(7), series=UID + ".2", SeriesDescription="Bone 1.0")
    text = refusal(tmp_path)
    assert "2 series" in text
    assert "--series" in text
    assert "1: 'Abdomen 3.0' (CT, 5 slices); 2: 'Bone 1.0' (CT, 7 slices)" in text
    for wanted, hu in ((1, one), ("2", two), (UID + ".2", two), (UID, one)):
        assert np.array_equal(sitk.GetArrayFromImage(read_ct(tmp_path, wanted).image), hu)
    assert "none of them '3'" in refusal(tmp_path, 3)


def test_files_that_are_no_images_are_passed_over(tmp_path):
    hu = write_series(tmp_path)
    (tmp_path / "readme.txt").write_text("hello")
    (tmp_path / "empty").touch()
    (tmp_path / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    (tmp_path / "report.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"no image")
    read = read_ct(tmp_path)
    assert np.array_equal(sitk.GetArrayFromImage(read.image), hu)
    assert read.warnings == ["1 DICOM files cannot be read as images; they were left out."]


def test_a_folder_without_images_is_refused(tmp_path):
    assert "no DICOM images" in refusal(tmp_path)
    (tmp_path / "report.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"no image")
    assert "1 DICOM files there cannot be read" in refusal(tmp_path)
    assert "without a readable image" in refusal(tmp_path / "report.dcm")


def test_series_is_refused_for_other_files(tmp_path):
    sitk.WriteImage(sitk.Image(4, 4, 4, sitk.sitkInt16), str(tmp_path / "a.nii"))
    assert "--series" in refusal(tmp_path / "a.nii", "2")


def test_mixed_orientations_sizes_and_spacings_are_refused(tmp_path):
    write_series(tmp_path / "a", volume_hu(5))
    write_slice(tmp_path / "a" / "scout", volume_hu(1)[0], (0, 0, 0), orientation=SAGITTAL)
    assert "2 orientations (5 + 1 slices)" in refusal(tmp_path / "a")
    write_series(tmp_path / "b", volume_hu(5))
    write_slice(tmp_path / "b" / "small", np.zeros((10, 10)), (0, 0, 40))
    assert "2 sizes" in refusal(tmp_path / "b")
    write_series(tmp_path / "c", volume_hu(5))
    write_slice(tmp_path / "c" / "zoomed", volume_hu(1)[0], (0, 0, 40), PixelSpacing=[0.3, 0.3])
    assert "2 pixel spacings" in refusal(tmp_path / "c")


def test_missing_slices_are_interpolated_and_told(tmp_path):
    hu = volume_hu(12)
    there = [0, 1, 2, 3, 4, 7, 8, 10, 11]
    write_series(tmp_path, hu[there], np.array(there) * 2.0)
    read = read_ct(tmp_path)
    (warning,) = read.warnings
    assert "3 slices are missing (2 after slice 5, 1 after slice 7)" in warning
    found = sitk.GetArrayFromImage(read.image)
    assert len(found) == 12
    assert np.array_equal(found[there], hu[there])
    between = hu[4] + (hu[7].astype(float) - hu[4]) / 3
    assert np.abs(found[5] - between).max() <= 0.5 + 1e-6
    assert read.image.GetSpacing()[2] == pytest.approx(2.0)


def test_uneven_distances_are_interpolated_at_the_true_positions(tmp_path):
    depths = np.array([0.0, 2.0, 4.0, 6.0, 8.0, 10.6, 12.6, 14.6, 16.6])
    ramp = np.broadcast_to((depths * 50).astype(np.int16)[:, None, None], (9, ROWS, COLUMNS))  # HU says the depth
    write_series(tmp_path, ramp, depths)
    read = read_ct(tmp_path)
    assert "2 to 2.6 mm apart" in read.warnings[0]
    found = sitk.GetArrayFromImage(read.image)[:, 0, 0]
    assert np.abs(found - np.arange(len(found)) * 100).max() <= 1


def test_duplicate_slices_are_dropped_and_told(tmp_path):
    hu = write_series(tmp_path)
    write_slice(tmp_path / "again", np.zeros((ROWS, COLUMNS)), (-100, 50, -300 + 3 * 2.0), instance=99)
    read = read_ct(tmp_path)
    assert np.array_equal(sitk.GetArrayFromImage(read.image), hu)
    assert "1 slices lie where another one lies" in read.warnings[0]


def test_two_phases_in_one_series_are_refused(tmp_path):
    write_series(tmp_path, volume_hu(12), np.repeat(np.arange(6) * 2.0, 2))
    assert "2 slices at each position" in refusal(tmp_path)


@pytest.mark.parametrize("drift", [(0.0, 0.27), (0.0, -0.27), (0.1, 0.2)])
def test_a_tilted_gantry_is_straightened_in_physical_space(tmp_path, drift):
    # HU says the world's y: every voxel must hold its own y, wherever it was moved
    depths = np.arange(12) * 2.0
    rows = np.arange(ROWS)[:, None] * IN_PLANE[0] + np.zeros(COLUMNS)
    hu = np.stack([(50 + drift[1] * depth + rows) * 10 for depth in depths]).round().astype(np.int16)
    write_series(tmp_path, hu, depths, drift)
    read = read_ct(tmp_path)
    degrees = np.degrees(np.arctan(np.hypot(*drift)))
    assert f"tilted by {degrees:.1f} degrees" in read.warnings[0]
    image = read.image
    assert image.GetDirection() == pytest.approx(np.eye(3).ravel())
    found = sitk.GetArrayFromImage(image)
    y = image.GetOrigin()[1] + np.arange(found.shape[1]) * IN_PLANE[0]
    wanted = np.broadcast_to(y[None, :, None] * 10, found.shape)
    data = found > -1000
    inner = np.zeros(found.shape, bool)
    inner[:, 1:-1, 1:-1] = True
    data_rows = data.sum(axis=1).max(axis=1)
    assert (data_rows >= ROWS).all()  # no slice lost rows
    edge = np.abs(found - wanted) > IN_PLANE[0] * 10 / 2 + 2  # clamped half voxels at a slice's border
    assert not (edge & data & inner).any()


def test_slices_beside_one_another_are_refused(tmp_path):
    write_series(tmp_path)
    write_slice(tmp_path / "aside", volume_hu(1)[0], (-60, 50, -300 + 12 * 2.0))
    assert "do not lie behind one another" in refusal(tmp_path)


def test_mr_color_and_images_without_position_are_refused(tmp_path):
    write_series(tmp_path / "mr", volume_hu(3), Modality="MR")
    assert "is MR, a CT is needed" in refusal(tmp_path / "mr")
    color = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    color |= {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelData": bytes(ROWS * COLUMNS * 3)}
    write_series(tmp_path / "color", volume_hu(3), **color)
    assert "color" in refusal(tmp_path / "color")
    write_series(tmp_path / "flat", volume_hu(3), ImagePositionPatient=None)
    assert "without a position" in refusal(tmp_path / "flat")


def test_a_damaged_slice_counts_as_missing_and_is_told(tmp_path):
    hu = write_series(tmp_path)
    damaged = next(p for p in sorted(tmp_path.iterdir()) if pydicom.dcmread(p).InstanceNumber == 12 - 4)  # depth 4
    damaged.write_bytes(damaged.read_bytes()[:-500])
    read = read_ct(tmp_path)
    assert "1 DICOM files cannot be read" in read.warnings[0]
    assert "1 slices are missing (1 after slice 4)" in read.warnings[1]
    assert np.array_equal(np.delete(sitk.GetArrayFromImage(read.image), 4, axis=0), np.delete(hu, 4, axis=0))


def test_reading_says_nothing_on_the_error_stream(tmp_path, capfd):
    write_series(tmp_path, volume_hu(5), np.array([0.0, 2.0, 4.0, 8.0, 10.0]))
    (tmp_path / "report.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"no image")
    read_ct(tmp_path)
    assert capfd.readouterr() == ("", "")
