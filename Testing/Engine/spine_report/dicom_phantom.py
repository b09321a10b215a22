"""CT series on disk as a scanner writes them, and masks that lie at known places of the world."""

from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk

ROWS, COLUMNS, IN_PLANE = 40, 36, (0.75, 0.5)  # mm between rows, between columns
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
TURNED = (0.9848077530122081, 0.17364817766693033, 0.0, -0.17364817766693033, 0.9848077530122081, 0.0)  # 10 degrees


def write_series(
    folder: Path, positions: np.ndarray, orientation=AXIAL, rows: int = ROWS, columns: int = COLUMNS
) -> Path:
    """One CT image a position (LPS), of noise, in shuffled file order."""
    random = np.random.default_rng(0)
    names = random.permutation(len(positions))
    for number, (position, name) in enumerate(zip(positions, names, strict=True), start=1):
        meta = pydicom.dataset.FileMetaDataset()
        meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
        meta.MediaStorageSOPInstanceUID = f"1.2.3.4.{number}"
        meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        image = pydicom.dataset.FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        image.SOPClassUID, image.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = "1.2.3", "1.2.3.4", "1.2.3.5"
        image.PatientName, image.PatientID, image.PatientBirthDate, image.PatientSex = "Doe^Jane", "17", "", "F"
        image.StudyID, image.StudyDate, image.StudyTime, image.AccessionNumber = "1", "20260101", "120000", ""
        image.ReferringPhysicianName, image.SeriesNumber, image.InstanceNumber = "", 3, number
        image.Modality, image.SeriesDescription, image.Manufacturer = "CT", "Bone 1.0", "Made"
        image.ImagePositionPatient = [float(part) for part in position]
        image.ImageOrientationPatient = list(orientation)
        image.PixelSpacing, image.SliceThickness = list(IN_PLANE), 2.0
        image.Rows, image.Columns = rows, columns
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 0
        image.RescaleSlope, image.RescaleIntercept = 1, -1024
        image.PixelData = random.integers(0, 2200, (rows, columns)).astype(np.uint16).tobytes()
        folder.mkdir(parents=True, exist_ok=True)
        image.save_as(folder / f"IM{name:04d}", enforce_file_format=True)
    return folder


def axial_positions(depths_mm, drift: float = 0.0) -> np.ndarray:
    """Positions of axial slices at these depths, moved back by ``drift`` per mm, as a tilted gantry does."""
    return np.array([(-10.0, 5.0 + drift * depth, 700.0 + depth) for depth in depths_mm])


def physical_box(ct: sitk.Image, low_lps, high_lps) -> sitk.Image:
    """uint8 mask on the CT's grid of the voxels whose centers lie in a box of the world."""
    axes = np.reshape(ct.GetDirection(), (3, 3)) * ct.GetSpacing()
    indices = np.stack(np.meshgrid(*[np.arange(n) for n in ct.GetSize()], indexing="ij"), axis=-1)
    positions = indices @ axes.T + ct.GetOrigin()
    inside = ((positions >= low_lps) & (positions <= high_lps)).all(axis=-1)
    mask = sitk.GetImageFromArray(inside.transpose(2, 1, 0).astype(np.uint8))
    mask.CopyInformation(ct)
    return mask
