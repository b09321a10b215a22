"""Scores kept in files, so that a benchmark that was interrupted does not run the same case with the same model again.

A file is valid for one model file, one case and one version of this benchmark: their fingerprint is part of its name.
"""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from SpineFractureSegLib.engine.atomic_file import written_whole
from SpineFractureSegLib.engine.benchmark.case_score import CaseScore, LesionScore, OperatingPoint, VertebraScore
from SpineFractureSegLib.engine.benchmark.lesions import Lesion
from SpineFractureSegLib.engine.benchmark.reliability import Reliability
from SpineFractureSegLib.engine.case import Case

VERSION = 1  # of the arithmetic: scores of another version are not read


def model_fingerprint(path: str | Path) -> str:
    """SHA-256 of the model file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def case_fingerprint(case: Case) -> str:
    """SHA-256 of all that is scored."""
    digest = hashlib.sha256()
    for array in (case.hu, case.bodies, case.fracture_map):
        if array is not None:
            digest.update(np.ascontiguousarray(array))
    about = [case.name, case.patient, case.fractured, case.uncertain, case.spacing_mm, case.truth]
    digest.update(json.dumps(about, sort_keys=True).encode())
    return digest.hexdigest()


def kept_path(folder: str | Path, case: Case, model: str) -> Path:
    """Where the score of this case by the model with this fingerprint is kept."""
    both = hashlib.sha256(f"{VERSION} {model} {case_fingerprint(case)}".encode()).hexdigest()
    return Path(folder) / f"{case.name}-{both[:16]}.json"


def save_score(path: str | Path, score: CaseScore) -> None:
    fields = asdict(score)
    fields["reliability"] = {name: values.tolist() for name, values in vars(score.reliability).items()}
    with written_whole(path) as partial:
        partial.write_text(json.dumps(fields) + "\n", encoding="utf-8")


def load_score(path: str | Path) -> CaseScore:
    """What ``save_score`` wrote."""
    fields = json.loads(Path(path).read_text(encoding="utf-8"))
    fields["lesions"] = tuple(LesionScore(Lesion(**one.pop("lesion")), **one) for one in fields["lesions"])
    fields["vertebrae"] = tuple(VertebraScore(**one) for one in fields["vertebrae"])
    fields["operating_points"] = tuple(
        OperatingPoint(one["threshold"], tuple(one["found"]), one["false_positives"])
        for one in fields["operating_points"]
    )
    fields["reliability"] = Reliability(**{name: np.array(values) for name, values in fields["reliability"].items()})
    return CaseScore(**fields)
