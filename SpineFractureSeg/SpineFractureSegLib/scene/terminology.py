"""The extension's terms for its segments, in Slicer's list of terminologies. None of Slicer's own has a fracture."""

from pathlib import Path

import slicer

CONTEXT = "Segmentation category and type - SpineFractureSeg"  # as in the segments that ``engine/writers.py`` describes
_FILE = Path(__file__).resolve().parents[2] / "Resources" / "SpineFractureSeg.term.json"


def loadTerminology() -> None:
    """Makes the terms known; does nothing when they are."""
    logic = slicer.modules.terminologies.logic()
    if not logic.IsTerminologyContextLoaded(CONTEXT):
        logic.LoadTerminologyFromFile(str(_FILE))
