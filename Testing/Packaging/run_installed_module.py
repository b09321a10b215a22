"""Segments the sample CT with the module that lies in the folder given, on the stand-in of Slicer; prints JSON.

Usage: run_installed_module.py MODULES_FOLDER. ``SLICER_STAND_IN_FOLDER`` names the folder of ``SlicerStandIn``.
"""

import json
import os
import sys
from pathlib import Path


def main(modules: Path) -> None:
    """Load the module as the application does, segment, print what came of it."""
    sys.path[0] = str(modules)  # Slicer puts each folder of modules there; the folder of this script leaves
    sys.path.append(os.environ["SLICER_STAND_IN_FOLDER"])
    import SlicerStandIn

    SlicerStandIn.boot()
    SlicerStandIn.load_module(modules / "SpineFractureSeg.py")
    import slicer

    import SpineFractureSegLib

    sample = modules / "Resources" / "SampleData" / "verse014_L3_simulated_wedge_ct.nii.gz"
    volume_node = slicer.util.loadVolume(str(sample))
    logic = slicer.util.getModuleLogic("SpineFractureSeg")
    segmentation_node = logic.segment(volume_node, device="cpu")
    segment_id = segmentation_node.GetSegmentation().GetSegmentIdBySegmentName("Fracture")
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation_node, segment_id, volume_node)
    print(
        json.dumps(
            {
                "module": slicer.util.modulePath("SpineFractureSeg"),
                "library": SpineFractureSegLib.__file__,
                "logic": sys.modules[type(logic).__module__].__file__,
                "fracture_voxels": int((mask > 0).sum()),
                "slot_errors": [str(error) for error in SlicerStandIn.slot_errors],
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
