"""How the shape library was made from the public files that its README names.

  python Resources/ShapeLibrary/build_library.py FOLDER

FOLDER holds ct/ and masks/ with the files below. Vertebra ids of the files are VerSe's unless TotalSegmentator's.
"""

import sys
from dataclasses import replace
from pathlib import Path

from SpineFractureSegLib.engine.simulator.shape_builder import TOTALSEGMENTATOR_TO_VERSE, VERSE_IDS, build_spine
from SpineFractureSegLib.engine.simulator.shapes import Spine, save_spine

CC_BY_SA = "CC BY-SA 4.0"
CC_BY = "CC BY 3.0"
KEPT_BESIDE_MM = 70  # of a CT without labels, to either side of its middle, where the spine is

# name: (CT, labels, label ids, slice step in mm, fields of the spine)
SPINES = {
    "lidc0001": (
        "lidc0001_thoracolumbar_ct",
        "ct/lidc0001_totalsegmentator",
        TOTALSEGMENTATOR_TO_VERSE,
        2.5,
        {
            "patient": "LIDC-IDRI-0001",
            "split": "train",
            "uncertain": (6, 22),
            "source": "LIDC-IDRI-0001; labels by TotalSegmentator, from a DiffDRR fork",
            "licence": f"{CC_BY} (CT), MIT (labels)",
        },
    ),
    "lidc0314": (
        "lidc0314_thoracic_ct",
        None,
        None,
        1.0,
        {
            "patient": "LIDC-IDRI-0314",
            "split": "train",
            "source": "LIDC-IDRI-0314 by FNNDSC/data",  # then label_lidc0314.py
            "licence": CC_BY,
        },
    ),
    "totalseg_example": (
        "totalseg_example_lumbar_3mm_ct",
        "ct/totalseg_example_lumbar_3mm_totalsegmentator",
        TOTALSEGMENTATOR_TO_VERSE,
        3.0,
        {
            "patient": "totalsegmentator-example",
            "split": "train",
            "uncertain": (18,),
            "source": "TotalSegmentator test CT",
            "licence": "Apache-2.0",
        },
    ),
    "verse004": (
        None,
        "masks/verse004_vertebrae",
        VERSE_IDS,
        1.0,
        {
            "patient": "verse004",
            "split": "train",
            "genant": {16: 2, 17: 2, 20: 3},
            "source": "VerSe'19 sub-verse004",
            "licence": CC_BY_SA,
        },
    ),
    "verse010": (
        None,
        "masks/verse010_vertebrae",
        VERSE_IDS,
        1.0,
        {
            "patient": "verse010",
            "split": "train",
            "genant": {20: 3},
            "source": "VerSe'19 sub-verse010",
            "licence": CC_BY_SA,
        },
    ),
    "gl003": (
        None,
        "masks/gl003_cervicothoracic_vertebrae",
        VERSE_IDS,
        1.0,
        {"patient": "gl003", "split": "train", "source": "VerSe'20 sub-gl003", "licence": CC_BY_SA},
    ),
    "healthyref": (
        None,
        "masks/healthyref_vertebrae",
        VERSE_IDS,
        1.0,
        {
            "patient": "healthyref",
            "split": "train",
            "source": "bone-cement-injection-planning, healthy reference",
            "licence": "MIT",
        },
    ),
    "acrinflt_lumbar": (
        "acrinflt_lumbar_4mm_ct",
        None,
        None,
        4.25,
        {
            "patient": "ACRIN-FLT-Breast_001",
            "split": "train",
            "source": "ACRIN-FLT-Breast_001, lumbar",  # then label_acrinflt.py
            "licence": CC_BY,
        },
    ),
    "acrinflt_cervicothoracic": (
        "acrinflt_cervicothoracic_4mm_ct",
        None,
        None,
        4.25,
        {
            "patient": "ACRIN-FLT-Breast_001",
            "split": "train",
            "source": "ACRIN-FLT-Breast_001, cervicothoracic",
            "licence": CC_BY,
        },
    ),
    "verse007": (
        None,
        "masks/verse007_vertebrae",
        VERSE_IDS,
        1.0,
        {
            "patient": "verse007",
            "split": "validation",
            # The source gives T12 2 and L1 2 for ids that it inferred; measured, L1 and L2 are those that lost 38 and
            # 47 % of their height, and T11, L3, L4 27 to 31 % without a grade.
            "genant": {20: 2, 21: 3},
            "uncertain": (16, 17, 18, 22, 23),
            "source": "VerSe'19 sub-verse007",
            "licence": CC_BY_SA,
        },
    ),
    "gl017": (
        None,
        "masks/gl017_cervicothoracic_vertebrae",
        VERSE_IDS,
        1.0,
        {
            "patient": "gl017",
            "split": "validation",
            "uncertain": (2, 7, 8, 9),  # their arches could not be told from their bodies
            "source": "VerSe'20 sub-gl017",
            "licence": CC_BY_SA,
        },
    ),
    "s0521": (
        "s0521_cervical_ct",
        None,
        None,
        1.5,
        {
            "patient": "s0521",
            "split": "validation",
            "source": "TotalSegmentator data set, s0521",
            "licence": "CC BY 4.0",
        },
    ),
    "tptbox_L3": (
        "tptbox_L3_ct",
        "ct/tptbox_L3_vertebrae",
        VERSE_IDS,
        1.0,
        {"patient": "tptbox", "split": "validation", "source": "TPTBox test CT", "licence": "Apache-2.0"},
    ),
    "sample001": (
        None,
        "masks/sample001_vertebrae",
        VERSE_IDS,
        1.0,
        {
            "patient": "sample001",
            "split": "test",
            "uncertain": (20, 21),  # look reduced in height, never graded
            "source": "malekosh, VF differentiation repository, sample001",
            "licence": "MIT",
        },
    ),
    "verse014": (
        "verse014_lumbar_ct",
        "ct/verse014_lumbar_vertebrae",
        VERSE_IDS,
        1.0,
        {"patient": "verse014", "split": "test", "source": "VerSe'19 sub-verse014", "licence": CC_BY_SA},
    ),
}


def main(data: Path, library: Path, names: list[str]) -> None:
    for name in names or SPINES:
        ct, labels, label_ids, slice_step, about = SPINES[name]
        spine = build_spine(
            ct and data / "ct" / f"{ct}.nii.gz",
            labels and data / f"{labels}.nii.gz",
            label_ids=label_ids or VERSE_IDS,
            name=name,
            **about,
        )
        save_spine(library / f"{name}.npz", _narrowed(spine), slice_step)
        print(name, spine.vertebrae.shape, spine.ids)


def _narrowed(spine: Spine) -> Spine:
    """A CT without labels, cut to the middle; any other spine as it is."""
    middle = spine.vertebrae.shape[2] // 2
    if spine.ids or middle <= KEPT_BESIDE_MM:
        return spine
    columns = slice(middle - KEPT_BESIDE_MM, middle + KEPT_BESIDE_MM)
    cut = {key: getattr(spine, key)[:, :, columns] for key in ("vertebrae", "bodies", "hu")}
    return replace(spine, **cut)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).parent, sys.argv[2:])
