"""A data set -> a folder of cases: ``train``, ``validation`` and ``test`` in it, every patient in one of them."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from SpineFractureSegLib.engine.atomic_file import written_whole
from SpineFractureSegLib.engine.case import save_case
from SpineFractureSegLib.engine.data.fracture_truth import LabelPolicy
from SpineFractureSegLib.engine.data.scan import PARTS, DataSet, Scan
from SpineFractureSegLib.engine.data.to_case import case_of
from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.progress import ProgressCallback, StopQuery, never_stop, no_progress, raise_if_stopped
from SpineFractureSegLib.engine.training.split import split_by_patient

SETTINGS = "prepared.json"


@dataclass(frozen=True)
class Prepared:
    """What ``prepare_cases`` wrote."""

    folder: Path
    files: dict[str, list[Path]]  # part -> case files
    left_out: dict[str, str]  # name of the scan -> why
    warnings: dict[str, tuple[str, ...]]  # name of the scan -> what to know of it


def prepare_cases(
    data_set: DataSet,
    output: str | Path,
    policy: LabelPolicy = LabelPolicy(),  # noqa: B008
    *,
    fractions: tuple[float, float, float] | None = (0.7, 0.1, 0.2),
    seed: int = 0,
    on_progress: ProgressCallback = no_progress,
    should_stop: StopQuery = never_stop,
) -> Prepared:
    """Writes a case file per usable scan to ``output/<part>``. An interrupted call goes on where it was stopped.

    Args:
        data_set: what to read.
        output: folder; cases of other settings in it are refused.
        policy: how grades and levels become labels.
        fractions: shares of patients for train, validation and test; None: as the data set's own folders say.
        seed: of the split.

    Raises: UserError, when no scan can be used, or the folder holds other cases; Cancelled.
    """
    usable = [scan for scan in data_set.scans if scan.usable]
    if not usable:
        raise UserError(
            f"None of the {len(data_set.scans)} scans in '{data_set.folder}' has both a CT and labels: see what is "
            "missing with `data check`."
        )
    parts = split_by_patient(usable, fractions or (1.0, 0.0, 0.0), seed, None if fractions else own_split(usable))
    output = Path(output)
    settings = {
        "layout": data_set.layout,
        "folder": str(data_set.folder),
        "policy": asdict(policy),
        "fractions": list(fractions) if fractions else None,
        "seed": seed,
        "parts": {part: sorted({scan.patient for scan in scans}) for part, scans in parts.items()},
    }
    _claim(output, settings)
    about = {"source": data_set.layout, "licence": data_set.licence, "label_meaning": data_set.label_meaning}
    left_out = {s.name: f"lacks {', '.join(s.missing)}" for s in data_set.scans if not s.usable}
    files, warnings, done = {part: [] for part in PARTS}, {}, 0
    for part in PARTS:
        for scan in parts[part]:
            raise_if_stopped(should_stop)
            path = output / part / _file_name(scan)
            try:
                if not path.exists():
                    made = case_of(scan, policy, about)
                    warnings[scan.name] = made.warnings
                    path.parent.mkdir(exist_ok=True)
                    save_case(path, made.case, compressed=True)
                files[part].append(path)
            except UserError as error:
                left_out[scan.name] = str(error)
            done += 1
            on_progress(done, len(usable), "scans")
    if not any(files.values()):
        raise UserError(f"No scan could be used; the first: {next(iter(left_out.values()))}")
    return Prepared(output, files, left_out, {name: told for name, told in warnings.items() if told})


def own_split(scans: list[Scan]) -> Mapping[str, str]:
    """Patient -> part as the data set's folders say. A patient with scans in several parts goes to the most guarded.

    Raises: UserError, when the data set says nothing of a patient.
    """
    assignment: dict[str, str] = {}
    for scan in scans:
        if not scan.part:
            raise UserError(
                f"The data set does not say in which part of the split {scan.name} belongs: give shares with --split."
            )
        before = assignment.get(scan.patient, scan.part)
        assignment[scan.patient] = max(before, scan.part, key=PARTS.index)
    return assignment


def _file_name(scan: Scan) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", scan.name) + ".npz"


def _claim(output: Path, settings: dict) -> None:
    """Notes the settings in the folder, or refuses it when it was made with others: splits would mix."""
    path = output / SETTINGS
    if path.exists():
        if json.loads(path.read_text(encoding="utf-8")) != settings:
            raise UserError(
                f"'{output}' holds cases that were prepared from other data or with other settings: choose another "
                "folder or delete it."
            )
        return
    if output.is_dir() and any(output.iterdir()):
        raise UserError(f"'{output}' is not empty, an empty or new folder is needed for the cases: choose another.")
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"'{output}' cannot be created: {error.strerror}; choose another folder.") from error
    with written_whole(path) as partial:
        partial.write_text(json.dumps(settings, indent=1), encoding="utf-8")
