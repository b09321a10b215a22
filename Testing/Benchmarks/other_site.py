"""What fine-tuning is worth at a made other site: its own scanner, dose and habit of drawing fractures.

    python Testing/Benchmarks/other_site.py --output /tmp/other-site
    python Testing/Benchmarks/other_site.py --output /tmp/other-site-half --habit upper-half
    python Testing/Benchmarks/other_site.py --output /tmp/other-site-slicer --library SpineFractureSeg/Resources/Spines

The site stores slices 6 mm thick, half as noisy again as any training case, with a sharper kernel and 60 HU too high.
Its habit of drawing is "generous", fractured bodies with 2 mm around them, or "upper-half" of the bodies: then what the
model gains at the site it must lose on the general test set, where bodies are whole. Its cases are simulated on two of
the validation spines of the shape library, which the replay does not get: what guards against loss must not know the
site's patients, as nowhere else it would. Its test cases are simulated on the test spines. The general test set is made
as that of `benchmark accuracy`: test spines, held-out parameters, whole bodies.

For each number of cases the model is fine-tuned as `finetune` does, then parent and child are scored on both sets; a
step that is done already is not done again. Writes other_site.json and prints a table. Simulated cases of one spine
share its anatomy, so that the held-out cases of a run are closer to its training cases than a real site's would be; the
site's test cases are not.
"""

import argparse
import dataclasses
import json
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from SpineFractureSegLib.engine.array_metrics import bootstrap_interval, dice_from_counts
from SpineFractureSegLib.engine.case import Case, load_case
from SpineFractureSegLib.engine.data.scan import FractureMask, Scan
from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.finetuning import FinetuneSettings, TuningCase, finetune
from SpineFractureSegLib.engine.finetuning.comparison import compare, simulated_counts
from SpineFractureSegLib.engine.model_file import Model, load_model
from SpineFractureSegLib.engine.progress import never_stop, no_progress
from SpineFractureSegLib.engine.report import write_json
from SpineFractureSegLib.engine.simulator.config import HELD_OUT, SimulationConfig
from SpineFractureSegLib.engine.simulator.generate import generate_cases
from SpineFractureSegLib.engine.simulator.shapes import shape_library

SLICE_MM = 6  # training draws up to 5
OFFSET_HU = 60  # training draws up to 30
NOISE_HU = 140  # of a stored voxel; training draws up to 90
MARGIN_MM = 2.0
SHARPNESS = 1.6  # training draws up to 1.2
HABITS = {"generous": "A fractured body with 2 mm around it.", "upper-half": "The upper half of a fractured body."}
FRACTURE, UNKNOWN = 1, 2  # values of a mask
SITE_SPINES = ("gl017", "tptbox_L3")  # of the validation split; verse007 is left for what guards against loss
SITE_SEED, SITE_TEST_SEED, GENERAL_SEED = 700_000, 750_000, 900_000

# fractured cases without a scanner of their own: the site's comes on top
SITE_CASES = dataclasses.replace(
    SimulationConfig(),
    fracture_count=(0.0, 0.6, 0.4),
    twins=0.0,
    resynthesized=0.0,
    as_scanned=0.0,
    blur_mm=(0.0, 0.1),
    thick_slices=0.0,
    sharpen=0.0,
    noise_hu=(1.0, 2.0),
    starvation=0.0,
    small_field=0.0,
    motion=0.0,
)


def scanned_at_site(case: Case, seed: int, habit: str) -> tuple[sitk.Image, sitk.Image]:
    """CT and mask of a simulated case (1 mm) as this site stores and draws them."""
    random = np.random.default_rng((seed, 1))
    hu = case.hu.astype(np.float32)
    hu += SHARPNESS * (hu - ndimage.gaussian_filter(hu, 1.2))
    thick = _slices(hu) + OFFSET_HU
    thick += NOISE_HU * random.standard_normal(thick.shape, dtype=np.float32)
    thick = np.rint(thick).clip(-1024, 3071).astype(np.int16)
    drawn = _upper_halves(case) if habit == "upper-half" else _with_margin(case)
    drawn = _slices(drawn.astype(np.float32)) >= 0.5
    unknown = _slices(case.uncertain_mask.astype(np.float32)) >= 0.5
    mask = np.where(drawn, FRACTURE, np.where(unknown, UNKNOWN, 0)).astype(np.uint8)
    return _image(thick), _image(mask)


def _upper_halves(case: Case) -> np.ndarray:
    """bool (Z, Y, X): of every fractured body what lies above its middle, column by column."""
    halves = np.zeros(case.hu.shape, bool)
    for body in case.fractured:
        voxels = case.bodies == body
        seen = np.cumsum(voxels, axis=0)
        halves |= voxels & (seen > seen[-1:] / 2)
    return halves


def _with_margin(case: Case) -> np.ndarray:
    """bool (Z, Y, X): the fractured bodies and what lies within ``MARGIN_MM`` of them."""
    fractured = np.isin(case.bodies, case.fractured)
    return ndimage.distance_transform_edt(~fractured) <= MARGIN_MM if fractured.any() else fractured


def _slices(volume: np.ndarray) -> np.ndarray:
    """Means over slices of ``SLICE_MM``."""
    count = len(volume) // SLICE_MM
    return volume[: count * SLICE_MM].reshape(count, SLICE_MM, *volume.shape[1:]).mean(axis=1)


def _image(array: np.ndarray) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((1.0, 1.0, float(SLICE_MM)))
    return image


def library_of(spines: Sequence[Path], folder: Path) -> Path:
    """A library with these spines alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for spine in spines:
        if not (folder / spine.name).exists():
            shutil.copy2(spine, folder)
    return folder


def site_cases(
    library: Path, split: str, count: int, seed: int, folder: Path, processes: int, habit: str
) -> list[TuningCase]:
    """Cases of the site on the spines of a split, as files. Those where nothing was drawn, as fractures lie beyond the
    border, are left out, as ``finetune`` does."""
    made = generate_cases(
        library, split, count, folder / "simulated", seed=seed, config=SITE_CASES, processes=processes
    )
    cases = []
    for number, path in enumerate(made.simulated):
        name = f"{split}{number:02d}"
        ct, mask = (folder / f"{name}_{kind}.nrrd" for kind in ("ct", "fracture"))
        if not mask.exists():
            images = scanned_at_site(load_case(path), seed + number, habit)
            for image, target in zip(images, (ct, mask), strict=True):
                sitk.WriteImage(image, str(target))
        if not (sitk.GetArrayFromImage(sitk.ReadImage(str(mask))) == FRACTURE).any():
            continue
        drawn = FractureMask(mask, values=(FRACTURE,), unknown=(UNKNOWN,))
        cases.append(TuningCase(Scan(patient=name, name=name, image=ct, fracture=drawn)))
    return cases


def tuned_on(
    count: int, pool: Sequence[TuningCase], parent: Model, settings: FinetuneSettings, folder: Path
) -> tuple[Model, dict]:
    """The child of so many cases, and what it took."""
    path, told = folder / f"child-{count}.safetensors", folder / f"child-{count}.json"
    if not told.exists():
        started = time.monotonic()
        result = finetune(
            pool[:count],
            parent,
            path,
            settings,
            on_progress=lambda progress: progress.dice is not None and print(f"  {progress.to_json()}", flush=True),
        )
        minutes = (time.monotonic() - started) / 60
        write_json(told, {**result.to_json(), "training_minutes": result.minutes, "all_minutes": minutes})
    return load_model(path), json.loads(told.read_text())


def general_scores(parent: Model, child: Model, cases: Sequence[Path], device: str) -> dict:
    """Pooled Dice of both, and the interval of its change, over cases that both are drawn on together."""
    before, after = (simulated_counts(cases, model, device, never_stop) for model in (parent, child))

    def change(counts: np.ndarray) -> float:
        sums = counts.sum(axis=0)
        return dice_from_counts(*sums[3:]) - dice_from_counts(*sums[:3])

    rows = np.hstack([before, after])
    return {
        "general": {
            "cases": len(cases),
            "lesion_cases": int((before[:, 2] > 0).sum()),
            "dice_before": dice_from_counts(*before.sum(axis=0).tolist()),
            "dice_after": dice_from_counts(*after.sum(axis=0).tolist()),
            "change_interval": list(bootstrap_interval(rows, statistic=change)),
        }
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", required=True, type=Path, metavar="FOLDER")
    parser.add_argument("--model", help="to start from; default: the bundled one")
    parser.add_argument("--habit", choices=HABITS, default="generous", help="of drawing (default: generous)")
    parser.add_argument("--counts", default="3,5,10", help="numbers of cases, held-out ones included")
    parser.add_argument("--test-cases", type=int, default=8, help="of the site")
    parser.add_argument("--general-cases", type=int, default=48)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--slices-per-epoch", type=int, default=800)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--mix", type=float, default=0.3)
    parser.add_argument("--replay-cases", type=int, default=16)
    parser.add_argument("--library", type=Path, help="of the replay; default: the clone's")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--processes", type=int, default=min(os.cpu_count() or 1, 2), help="that simulate")
    arguments = parser.parse_args()
    folder, parent = arguments.output, load_model(arguments.model)
    folder.mkdir(parents=True, exist_ok=True)
    known = sorted((arguments.library or shape_library()).glob("*.npz"))
    at_site = [path for path in sorted(shape_library().glob("*.npz")) if path.stem in SITE_SPINES]
    settings = FinetuneSettings(
        minutes=arguments.minutes,
        epochs=arguments.epochs,
        slices_per_epoch=arguments.slices_per_epoch,
        learning_rate=arguments.learning_rate,
        mix=arguments.mix,
        replay_cases=arguments.replay_cases,
        library=library_of([path for path in known if path.stem not in SITE_SPINES], folder / "library"),
        device=arguments.device,
        label_meaning=HABITS[arguments.habit],
        whole_bodies=arguments.habit == "generous",
    )
    counts = [int(count) for count in arguments.counts.split(",")]
    site_library = library_of(at_site, folder / "site-library")
    how = arguments.processes, arguments.habit
    pool = site_cases(site_library, "validation", max(counts), SITE_SEED, folder / "site", *how)
    test = site_cases(shape_library(), "test", arguments.test_cases, SITE_TEST_SEED, folder / "site-test", *how)
    general = generate_cases(
        shape_library(),
        "test",
        arguments.general_cases,
        folder / "general",
        seed=GENERAL_SEED,
        config=HELD_OUT,
        spacing_mm=parent.preprocessing.spacing_mm,
        processes=arguments.processes,
    ).simulated

    rows = []
    for count in counts:
        print(f"{count} cases", flush=True)
        child, told = tuned_on(count, pool, parent, settings, folder)
        path = folder / f"scores-{count}.json"
        if not path.exists():
            found = compare(
                parent, child, test, (), folder / f"masks-{count}", settings.device, no_progress, never_stop
            )
            write_json(path, found.to_json() | general_scores(parent, child, general, settings.device))
        rows.append({"cases": count, "scores": json.loads(path.read_text()), "run": told})
    about = {"model": f"{parent.card.name} {parent.card.version}", "habit": arguments.habit}
    write_json(folder / "other_site.json", {**about, "rows": rows})
    print("cases  site Dice       IoU             false     general Dice (95 % of the change)  minutes (training)")
    for row in rows:
        scores, run = row["scores"], row["run"]
        before, after, other = scores["before"], scores["after"], scores["general"]
        low, high = other["change_interval"]
        print(
            f"{row['cases']:>5}  {before['dice']:.3f} > {after['dice']:.3f}  {before['iou']:.3f} > {after['iou']:.3f}  "
            f"{before['false_findings']:>3} > {after['false_findings']:<3} {other['dice_before']:.3f} > "
            f"{other['dice_after']:.3f} ({low:+.3f} to {high:+.3f})  {run['all_minutes']:.1f} "
            f"({run['training_minutes']:.1f})"
        )


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(str(error)) from error
