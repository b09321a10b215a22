import csv

import numpy as np
import pytest

from SpineFractureSegLib.engine.case import MAP_FRACTURE, MAP_UNKNOWN
from SpineFractureSegLib.engine.data import rsna
from SpineFractureSegLib.engine.data.recognize import read_data_set
from SpineFractureSegLib.engine.data.to_case import case_of
from SpineFractureSegLib.engine.errors import UserError

pydicom = pytest.importorskip("pydicom")

LEVELS = [f"C{i}" for i in range(1, 8)]
HEADER = ["StudyInstanceUID", "patient_overall", *LEVELS]
IDS = {23: 7, 22: 6, 21: 5, 20: 4}  # the made patient's vertebrae stand for C7 to C4


def write_series(phantom, folder, size=(50, 50, 56)):
    """Axial slices as the competition has them: names count from the top down, files lie in no order."""
    points = phantom.positions(size)
    hu = phantom.hu_at(points)
    folder.mkdir(parents=True)
    for k, plane in enumerate(hu):
        meta = pydicom.dataset.FileMetaDataset()
        meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
        meta.MediaStorageSOPInstanceUID = f"1.2.3.{k + 1}"
        meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        one = pydicom.dataset.FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        one.SOPClassUID, one.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        one.StudyInstanceUID, one.SeriesInstanceUID, one.Modality = "1.2.3", "1.2.3.0", "CT"
        one.InstanceNumber = len(hu) - k
        one.ImagePositionPatient = [float(p) for p in points[k, 0, 0]]
        one.ImageOrientationPatient = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
        one.PixelSpacing, one.SliceThickness = [2.0, 2.0], 2.0
        one.Rows, one.Columns = plane.shape
        one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
        one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 0
        one.RescaleSlope, one.RescaleIntercept = 1, -1024
        one.PixelData = (plane + 1024).astype(np.uint16).tobytes()
        one.save_as(folder / f"{len(hu) - k}.dcm", enforce_file_format=True)


def write_table(path, header, *rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


@pytest.fixture(scope="module")
def tree(phantom, tmp_path_factory):
    """Studies: a (segmented, C5 fractured, with boxes), b (no images), c (no fracture), d (fractured, nothing else)."""
    root = tmp_path_factory.mktemp("rsna")
    write_series(phantom, root / "train_images" / "1.2.a")
    for study in ("1.2.c", "1.2.d"):
        (root / "train_images" / study).mkdir()
    rows = [
        ["1.2.a", 1, 0, 0, 0, 0, 1, 0, 0],
        ["1.2.b", 0, *[0] * 7],
        ["1.2.c", 0, *[0] * 7],
        ["1.2.d", 1, 0, 1, *[0] * 5],
    ]
    write_table(root / "train.csv", HEADER, *rows)
    # a box over the left part of C5, on three slices: its middle lies at z = 48, slice k of 56 at -20.4 + 2 k
    first, last = 33, 35
    boxes = [[25, 8, 20.0, 40, "1.2.a", 56 - k] for k in range(first, last + 1)]
    boxes.append([0, 0, 10, 10, "1.2.a", 900])  # a slice that is not there
    write_table(
        root / "train_bounding_boxes.csv", ["x", "y", "width", "height", "StudyInstanceUID", "slice_number"], *boxes
    )
    # segmentations are stored along other axes than the slices
    matrix, origin, size = np.diag([-2.0, -2.0, 2.0]), (47.7, 57.8, -20.4), (50, 50, 56)
    ids = phantom.vertebra_at(phantom.positions(size, matrix, origin))
    table = np.zeros(256, np.uint8)
    table[list(IDS)] = list(IDS.values())
    phantom.write(root / "segmentations" / "1.2.a.nii", table[ids], matrix, origin)
    return root


def test_studies_levels_and_boxes_are_read(tree):
    data_set = read_data_set(tree)
    assert data_set.layout == rsna.LAYOUT
    scans = {scan.name: scan for scan in data_set.scans}
    assert sorted(scans) == ["1.2.a", "1.2.c", "1.2.d"]
    assert scans["1.2.a"].levels == {**dict.fromkeys(range(1, 8), False), 5: True}
    assert len(scans["1.2.a"].boxes) == 4
    assert (scans["1.2.c"].negative, scans["1.2.c"].usable) == (True, True)
    assert (scans["1.2.d"].negative, scans["1.2.d"].usable) == (False, False)
    assert scans["1.2.d"].missing == ("vertebra labels", "boxes")
    assert data_set.notes == ("1 studies of train.csv have no images here.",)


def test_fracture_is_where_box_and_fractured_vertebra_meet(tree):
    scan = next(scan for scan in read_data_set(tree).scans if scan.name == "1.2.a")
    made = case_of(scan)
    case = made.case
    fracture = case.fracture_map == MAP_FRACTURE
    z, y, x = np.nonzero(fracture)
    body = [indices.mean() for indices in np.nonzero(case.bodies == 5)]
    # three slices of 2 mm, from 44.6 to 50.6; the box begins in the body's middle and goes to the left
    assert (z.min(), z.max()) == pytest.approx((body[0] - 3.4, body[0] + 2.6), abs=1)
    assert x.min() == pytest.approx(body[2] - 1, abs=1)
    assert x.max() == pytest.approx(body[2] + 20, abs=2)
    assert y.min() == pytest.approx(body[1] - 14, abs=2)
    assert case.hu[fracture].mean() > 200
    elsewhere = (case.bodies == 5) & ~fracture
    assert (case.fracture_map[elsewhere] == MAP_UNKNOWN).all()
    assert not case.fracture_map[np.isin(case.bodies, (4, 6, 7))].any()
    assert case.uncertain == (5,)
    assert any("1 boxes name slices" in told for told in made.warnings)


@pytest.mark.parametrize(
    ("header", "row", "said"),
    [
        (["StudyInstanceUID", *LEVELS], ["u", *[0] * 7], "patient_overall"),
        ([*HEADER[:-1], "c7"], ["u", 0, *[0] * 7], "C7"),
        (HEADER, ["u", 0, 1, *[0] * 6], "its levels say otherwise"),
        (HEADER, ["u", 0, "yes", *[0] * 6], "0 or 1"),
        (HEADER, ["u", 0, *[0] * 6], "8 cells in row 2"),
    ],
)
def test_a_wrong_table_fails_loudly(tmp_path, header, row, said):
    (tmp_path / "train_images").mkdir()
    write_table(tmp_path / "train.csv", header, row)
    with pytest.raises(UserError, match=r"train\.csv") as error:
        read_data_set(tmp_path)
    assert said in str(error.value)


def test_a_wrong_header_of_the_boxes_fails_loudly(tmp_path):
    (tmp_path / "train_images").mkdir()
    write_table(tmp_path / "train.csv", HEADER, ["u", 0, *[0] * 7])
    write_table(tmp_path / "train_bounding_boxes.csv", ["x", "y", "w", "h", "StudyInstanceUID", "slice_number"])
    with pytest.raises(UserError, match="width"):
        read_data_set(tmp_path)
