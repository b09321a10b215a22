"""Read real data: public data sets and a site's own folders, as cases that `train` takes.

  spine-fracture-seg data check VerSe20
  spine-fracture-seg data prepare VerSe20 --output cases/verse --split own
  spine-fracture-seg train --data cases/verse --output runs/mixed

`check` says which layout a folder has, and per patient what was found and what is missing; with --voxels it also reads
every image. `prepare` writes one case file per scan into train, validation and test, every patient in one of them.

Layouts: VerSe 2019 and 2020 (subject folders, or as handed out for the challenges), with the spreadsheet of Genant
grades beside the folders; RSNA 2022 cervical; CTSpine1K; nnU-Net raw folders; pairs of image and label:
  case1_ct.nii.gz with case1_fracture.nii.gz or case1_fracture.seg.nrrd, and case1_vertebrae.nii.gz if there is one;
  images/case1.nii.gz with labels/case1.nii.gz; a folder per patient with one image or DICOM series and one .seg.nrrd.
Beside pairs, patients.csv (scan,patient) says who has several scans, grades.csv (scan,vertebra,grade) holds grades.

A graded vertebra's body is fracture from --fractured-from on. Ungraded vertebrae, grades below that but 0, vertebrae
cut by the border of the CT and what lies beyond the labelled ones are left out of loss and scores.
"""

import argparse
import sys
from pathlib import Path

from SpineFractureSegLib.engine.progress_output import add_progress_argument, progress_to

_LAYOUTS = ("rsna", "nnunet", "verse", "verse-challenge", "ctspine1k", "pairs")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", dest="action", required=True, metavar="ACTION")

    check = actions.add_parser("check", help="say what a folder holds, and what is missing, per patient")
    _add_folder(check)
    check.add_argument("--voxels", action="store_true", help="also read every image and label")

    prepare = actions.add_parser("prepare", help="write case files that `train --data` takes")
    _add_folder(prepare)
    prepare.add_argument("--output", required=True, metavar="CASES", help="a new folder")
    prepare.add_argument(
        "--split",
        type=_shares,
        default=(0.7, 0.1, 0.2),
        metavar="SHARES",
        help="shares of patients that train, validate, test (default: 0.7,0.1,0.2); own: the data set's own parts",
    )
    prepare.add_argument("--seed", type=int, default=0, help="of the split")
    add_progress_argument(prepare)


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER")
    parser.add_argument("--layout", choices=_LAYOUTS, help="default: the first that fits")
    grades = parser.add_mutually_exclusive_group()
    grades.add_argument("--grades", type=Path, metavar="FILE", help="spreadsheet of Genant grades (.csv, .xlsx)")
    grades.add_argument("--no-grades", action="store_true", help="look for none")
    parser.add_argument(
        "--label-ids", choices=("verse", "totalsegmentator"), default="verse", help="of vertebra labels"
    )
    parser.add_argument(
        "--fractured-from", type=int, choices=(1, 2, 3), default=2, metavar="GRADE", help="1, 2 or 3 (default: 2)"
    )
    parser.add_argument(
        "--unplaced",
        choices=("unknown", "vertebra"),
        default="unknown",
        help="what a fractured level without a box becomes (default: unknown)",
    )


def run(arguments: argparse.Namespace) -> int:
    from SpineFractureSegLib.engine.data.recognize import read_data_set
    from SpineFractureSegLib.engine.data.scan import Hints

    hints = Hints(arguments.grades, arguments.label_ids, use_grades=not arguments.no_grades)
    data_set = read_data_set(arguments.folder, arguments.layout, hints)
    return (_check if arguments.action == "check" else _prepare)(arguments, data_set)


def _check(arguments: argparse.Namespace, data_set) -> int:
    patients = data_set.patients
    usable = sum(scan.usable for scan in data_set.scans)
    counts = f"{_count(len(patients), 'patient')}, {_count(len(data_set.scans), 'scan')}"
    print(f"{data_set.layout}: {counts}, {usable} of them can be used")
    print(f"fracture label: {data_set.label_meaning}; licence: {data_set.licence}")
    for note in data_set.notes:
        print(f"note: {note}")
    for patient, scans in patients.items():
        print(f"{patient} ({_count(len(scans), 'scan')})")
        for scan in scans:
            print(f"  {scan.name}: {_found(scan)}")
            if scan.missing:
                print(f"    missing: {', '.join(scan.missing)}")
            for problem in scan.problems:
                print(f"    note: {problem}")
            if arguments.voxels and scan.usable:
                print(f"    {_read(scan, _policy(arguments))}")
    return 0


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _found(scan) -> str:
    from SpineFractureSegLib.engine.data.vertebra_ids import NAMES, shown

    found = ["image"] if scan.image else []
    found += ["vertebra labels"] if scan.vertebrae else []
    found += ["fracture mask"] if scan.fracture else []
    found += ["centroids"] if scan.centroids else []
    if scan.grades is not None:
        positive = ", ".join(f"{NAMES[v]} {grade}" for v, grade in sorted(scan.grades.items()) if grade)
        found.append(f"{len(scan.grades)} grades" + (f" ({positive})" if positive else ""))
    if scan.levels is not None:
        broken = {v for v, fractured in scan.levels.items() if fractured}
        found.append(f"levels ({f'fractured {shown(broken)}' if broken else 'none fractured'})")
    found += [f"{len(scan.boxes)} boxes"] if scan.boxes else []
    return ", ".join([*found, *([f"[{scan.part}]"] if scan.part else [])]) or "nothing"


def _read(scan, policy) -> str:
    from SpineFractureSegLib.engine.data.to_case import case_of, summary
    from SpineFractureSegLib.engine.errors import UserError

    try:
        made = case_of(scan, policy)
    except UserError as error:
        return f"cannot be used: {error}"
    told = [warning for warning in made.warnings if warning not in scan.problems]
    return "; ".join([f"read: {summary(made.case)}", *told])


def _prepare(arguments: argparse.Namespace, data_set) -> int:
    from SpineFractureSegLib.engine.data.prepare import prepare_cases

    made = prepare_cases(
        data_set,
        arguments.output,
        _policy(arguments),
        fractions=None if arguments.split == "own" else arguments.split,
        seed=arguments.seed,
        on_progress=progress_to(sys.stderr, arguments.progress),
    )
    for name, told in made.warnings.items():
        print(f"{name}: {'; '.join(told)}")
    for name, reason in made.left_out.items():
        print(f"{name} left out: {reason}")
    counts = ", ".join(f"{len(files)} {part}" for part, files in made.files.items())
    print(f"{data_set.layout}: {counts} cases in {made.folder}")
    return 0


def _policy(arguments: argparse.Namespace):
    from SpineFractureSegLib.engine.data.fracture_truth import LabelPolicy

    return LabelPolicy(arguments.fractured_from, arguments.unplaced)


def _shares(text: str) -> tuple[float, float, float] | str:
    if text == "own":
        return text
    try:
        train, validation, test = (float(part) for part in text.split(","))
    except ValueError:
        train = validation = test = -1.0
    if min(train, validation, test) < 0 or abs(train + validation + test - 1) > 1e-6:
        raise argparse.ArgumentTypeError(f"expected own or three shares such as 0.7,0.1,0.2 with sum 1, found {text!r}")
    return train, validation, test
