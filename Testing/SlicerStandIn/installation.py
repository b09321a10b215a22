"""Stands in for the files of a Slicer installation that the C++ half reads at start.

Known to differ: each default terminology holds one entry, "Tissue", and of the color files there is one with one color.
"""

import json

TISSUE = {
    "CodingSchemeDesignator": "SCT",
    "CodeValue": "85756007",
    "CodeMeaning": "Tissue",
    "recommendedDisplayRGBValue": [128, 174, 128],
}
SEGMENTATION_TERMINOLOGIES = {
    "SlicerGeneralAnatomy": "Segmentation category and type - 3D Slicer General Anatomy list",
    "DICOM-Master": "Segmentation category and type - DICOM master list",
}


def writeInstallation(folder):
    """Writes into `folder` (a pathlib.Path) what the logics look for there."""
    colors = folder / "share" / "ColorFiles"
    colors.mkdir(parents=True)
    (colors / "GenericColors.txt").write_text("# Color table file GenericColors.txt\n1 Tissue 128 174 128 255\n")
    for fileName, contextName in SEGMENTATION_TERMINOLOGIES.items():
        tissue = {**TISSUE, "Type": [TISSUE]}
        _write(
            folder / f"SegmentationCategoryTypeModifier-{fileName}.term.json",
            "https://raw.githubusercontent.com/qiicr/dcmqi/master/doc/schemas/segment-context-schema.json#",
            SegmentationCategoryTypeContextName=contextName,
            SegmentationCodes={"Category": [{**tissue, "showAnatomy": True}]},
        )
    _write(
        folder / "AnatomicRegionAndModifier-DICOM-Master.term.json",
        "https://raw.githubusercontent.com/qiicr/dcmqi/master/doc/schemas/anatomic-context-schema.json#",
        AnatomicContextName="Anatomic codes - DICOM master list",
        AnatomicCodes={"AnatomicRegion": [{key: TISSUE[key] for key in list(TISSUE)[:3]}]},
    )


def _write(path, schema, **content):
    path.write_text(json.dumps({"@schema": schema, **content}, indent=1))
