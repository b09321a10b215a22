"""Tuning cases as the trainer takes them, with the vertebral bodies that the parent sees in them.

Masks of fractures say nothing of vertebrae. The parent does: where it sees a body, the network goes on to be told that
there is one, so that fine-tuning on fractures alone does not cost the vertebra channel. The same bodies tell which
slices show intact bone, and limit validation to the spine. What the parent does not see it cannot teach: its errors on
this scanner stay. Where the data bring their own vertebra labels these are used instead.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from SpineFractureSegLib.engine.case import MAP_FRACTURE, Case, save_case
from SpineFractureSegLib.engine.case_spacing import at_spacing
from SpineFractureSegLib.engine.data.to_case import MARGIN_MM, case_of
from SpineFractureSegLib.engine.finetuning.case_list import TuningCase
from SpineFractureSegLib.engine.model_file import Model
from SpineFractureSegLib.engine.pipeline import predict_region
from SpineFractureSegLib.engine.progress import ProgressCallback, StopQuery, raise_if_stopped
from SpineFractureSegLib.engine.simulator.shapes import crop_box


def prepare_cases(
    cases: Sequence[TuningCase],
    parent: Model,
    folder: Path,
    device: str,
    on_progress: ProgressCallback,
    should_stop: StopQuery,
) -> list[Path]:
    """Writes a case file for each case, at the parent's spacing; one that is there already is kept.

    Raises: UserError, when a case cannot be read; Cancelled, between cases.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, case in enumerate(cases):
        on_progress(number, len(cases), "prepare")
        raise_if_stopped(should_stop)
        paths.append(folder / f"{number:03d}-{re.sub(r'[^A-Za-z0-9._-]', '_', case.name)}.npz")
        if not paths[-1].exists():
            save_case(paths[-1], taught_case(case, parent, device, should_stop))
    on_progress(len(cases), len(cases), "prepare")
    return paths


def taught_case(case: TuningCase, parent: Model, device: str, should_stop: StopQuery) -> Case:
    """The case at the parent's spacing, with the parent's vertebral bodies where it brings none of its own."""
    spacing = parent.preprocessing.spacing_mm
    prepared = at_spacing(case_of(case.scan).case, spacing)
    if prepared.has_bodies or "vertebra" not in parent.network_config.outputs:
        return prepared
    seen = predict_region(prepared.hu, parent, device=device, should_stop=should_stop)
    if seen.bodies is None or not seen.bodies.count:
        return prepared
    bodies = np.zeros(prepared.hu.shape, np.uint8)
    bodies[seen.region.slices] = seen.bodies.labels
    taught = replace(prepared, bodies=bodies, has_bodies=True)
    margin = tuple(round(mm / spacing) for mm in MARGIN_MM)
    return _cropped(taught, crop_box((bodies > 0) | (taught.fracture_map == MAP_FRACTURE), margin))


def _cropped(case: Case, box: tuple[slice, ...]) -> Case:
    hu, bodies, fracture_map = (np.ascontiguousarray(v[box]) for v in (case.hu, case.bodies, case.fracture_map))
    return replace(case, hu=hu, bodies=bodies, fracture_map=fracture_map)
