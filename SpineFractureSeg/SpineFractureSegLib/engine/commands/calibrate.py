"""Calibrate a trained model on validation cases: temperature, threshold, smallest lesion, fusion, surface of bodies.

  spine-fracture-seg calibrate runs/cpu/model.safetensors --output calibrated.safetensors
  spine-fracture-seg calibrate model.safetensors --output calibrated.safetensors --cases 40 --real-ct chest.nii.gz
  spine-fracture-seg calibrate model.safetensors --output calibrated.safetensors --data cases/validation

The whole pipeline runs on simulated cases of the shape library's validation patients and on their real CTs without
fracture, or on prepared cases (--data, the validation part where there are parts), and on each --real-ct, a CT
without known fracture. Chosen are the temperature with the least cross-entropy within vertebral bodies, and
threshold, smallest lesion, plane weights and whether the probability is averaged over each body: those of the best
pooled Dice with at most --false-positives false findings a scan, over all scans; of nearly equal thresholds the
lowest that adds no false finding in the real CTs, as a missed fracture costs more than a little of the outline. Where
the cases have label maps of their bodies, the probability at a body's surface is the one that measures their heights
best. The same arguments give the same model.
Calibrate on patients that neither train nor test the model.
"""

import argparse
import math
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from SpineFractureSegLib.engine.progress_output import add_progress_argument, progress_to

if TYPE_CHECKING:
    from SpineFractureSegLib.engine.calibration.calibrate import Calibration
    from SpineFractureSegLib.engine.progress import ProgressCallback

_ROWS = {
    "dice_pooled": "Dice, pooled over all cases",
    "dice_mean": "Dice, mean of cases with a fracture",
    "lesion_sensitivity": "lesion sensitivity",
    "false_positives_per_scan": "false positives a scan",
    "false_positives_per_real_ct": "false positives a real CT without fracture",
    "cross_entropy": "cross-entropy within bodies",
    "calibration_error": "calibration error (ECE) within bodies",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="name or file")
    parser.add_argument("--output", required=True, metavar="FILE", help="the calibrated model (.safetensors)")
    parser.add_argument("--cases", type=int, default=30, help="simulated cases (default: 30)")
    parser.add_argument("--seed", type=int, default=700_000)
    parser.add_argument("--library", metavar="FOLDER", help="spines; default: the shape library of the clone")
    parser.add_argument(
        "--data", action="append", default=[], metavar="FOLDER", help="of cases, instead of simulating; may be repeated"
    )
    parser.add_argument("--real-ct", action="append", default=[], metavar="CT", help="may be given several times")
    parser.add_argument(
        "--false-positives", type=float, default=0.25, metavar="N", help="allowed per scan, on average (default: 0.25)"
    )
    parser.add_argument("--processes", type=int, default=1, help="processes that simulate")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: auto)")
    add_progress_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    from SpineFractureSegLib.engine.atomic_file import check_place
    from SpineFractureSegLib.engine.calibration.calibrate import calibrate
    from SpineFractureSegLib.engine.errors import UserError
    from SpineFractureSegLib.engine.model_file import load_model, save_model
    from SpineFractureSegLib.engine.model_folders import SUFFIX

    if not 0 <= arguments.false_positives < math.inf:
        raise UserError(f"--false-positives must be 0 or more, not {arguments.false_positives}.")
    if arguments.processes < 1 or arguments.cases < 1:
        raise UserError("--processes and --cases must be 1 or more.")
    check_place(arguments.output, SUFFIX)
    model = load_model(arguments.model)
    on_progress = progress_to(sys.stderr, arguments.progress)
    with tempfile.TemporaryDirectory() as scratch:
        paths = _case_files(arguments, Path(scratch), on_progress)
        found = calibrate(
            model,
            paths,
            false_positives=arguments.false_positives,
            device=arguments.device,
            on_progress=on_progress,
        )
    calibrated = found.model
    save_model(
        arguments.output,
        calibrated.network,
        calibrated.network_config,
        calibrated.preprocessing,
        calibrated.card,
    )
    print(_table(found))
    print(f"Written     {arguments.output}")
    if not found.within_limit:
        print(
            f"warning: no threshold keeps to {arguments.false_positives:g} false positives a scan; the model has the "
            "operating point with the fewest.",
            file=sys.stderr,
        )
    return 0


def _case_files(arguments: argparse.Namespace, scratch: Path, on_progress: "ProgressCallback") -> list[Path]:
    """Given or simulated cases, and the real CTs as cases in the scratch folder."""
    from SpineFractureSegLib.engine.benchmark.real_ct import case_without_fracture
    from SpineFractureSegLib.engine.case import save_case
    from SpineFractureSegLib.engine.data.case_folder import case_files

    if arguments.data:
        paths = [file.path for folder in arguments.data for file in case_files(folder, "validation")]
    else:
        from SpineFractureSegLib.engine.simulator.generate import generate_cases
        from SpineFractureSegLib.engine.simulator.shapes import shape_library

        made = generate_cases(
            arguments.library or shape_library(),
            "validation",
            arguments.cases,
            scratch / "simulated",
            seed=arguments.seed,
            processes=arguments.processes,
            on_progress=on_progress,
        )
        paths = made.simulated + made.real_negatives
    for number, ct in enumerate(arguments.real_ct):
        path = scratch / f"ct-{number}.npz"
        save_case(path, case_without_fracture(ct))
        paths.append(path)
    return paths


def _table(found: "Calibration") -> str:
    reading = found.reading
    lines = [f"{'':<46} {'before':>8} {'after':>8}"]
    for key, name in _ROWS.items():
        lines.append(f"{name:<46} {_shown(found.before[key]):>8} {_shown(found.after[key]):>8}")
    heights = (_shown(error) for error in found.surface.errors_mm.values())
    lines.append("{:<46} {:>8} {:>8}".format(f"error of heights (mm), {found.surface.bodies} bodies", *heights))
    weights = ", ".join(f"{plane} {share:g}" for plane, share in reading.fusion.shares.items() if share)
    lines.append(
        f"temperature {found.temperature:g}, threshold {reading.threshold:g}, smallest lesion "
        f"{reading.min_volume_mm3:g} mm3, planes: {weights}, "
        f"{'averaged over each body' if reading.fusion.by_body else 'voxel by voxel'}, "
        f"surface of bodies at {found.surface.surface:g}"
    )
    return "\n".join(lines)


def _shown(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
