"""The sample CT in Slicer's Sample Data module. Both files ship with the extension: nothing is downloaded."""

import hashlib
from pathlib import Path

from slicer.i18n import tr as _

CATEGORY = "SpineFractureSeg"
SAMPLE = "SpineFractureSample"
CT_NAME = "SpineFractureSample"
REFERENCE_NAME = "SpineFractureSample reference"

_FOLDER = Path(__file__).resolve().parents[2] / "Resources" / "SampleData"
_CT = _FOLDER / "verse014_L3_simulated_wedge_ct.nii.gz"
_REFERENCE = _FOLDER / "verse014_L3_simulated_wedge_fracture.seg.nrrd"


def registerSampleData() -> None:
    """Adds the sample CT with its reference segmentation; again is once."""
    import SampleData

    icon = _FOLDER.parent / "Icons" / "SpineFractureSample.png"
    SampleData.SampleDataLogic.registerCustomSampleDataCategory(CATEGORY, title=_("Spine fracture segmentation"))
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName=SAMPLE,
        uris=[_CT.as_uri(), _REFERENCE.as_uri()],
        fileNames=["SpineFractureSample.nii.gz", "SpineFractureSample-reference.seg.nrrd"],
        nodeNames=[CT_NAME, REFERENCE_NAME],
        checksums=[_checksum(_CT), _checksum(_REFERENCE)],
        loadFileTypes=["VolumeFile", "SegmentationFile"],
        thumbnailFileName=str(icon),
    )


def _checksum(path: Path) -> str:
    """So that a file of an older version in Slicer's cache is replaced."""
    return f"SHA256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
