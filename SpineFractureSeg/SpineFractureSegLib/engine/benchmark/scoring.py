"""Scores cases with one model and leaves a picture of each, and of every false finding in a real CT.

The folder gets ``<case>.png``, ``findings/<case>-<k>.png`` and ``scores/``, where the scores are kept: a case that was
scored with the same model file is not run again.
"""

import shutil
from pathlib import Path

import numpy as np

from SpineFractureSegLib.engine.benchmark.case_score import CaseScore, score_case
from SpineFractureSegLib.engine.benchmark.kept_scores import kept_path, load_score, model_fingerprint, save_score
from SpineFractureSegLib.engine.benchmark.picture import finding_picture, sagittal_picture
from SpineFractureSegLib.engine.case import Case
from SpineFractureSegLib.engine.model_file import Model
from SpineFractureSegLib.engine.postprocess import label_components, remove_small_components, threshold_mask
from SpineFractureSegLib.engine.progress import StopQuery, never_stop

MOST_PICTURES = 12  # of false findings of one CT, the largest


class CaseScorer:
    """One model and one folder.

    Args:
        model: from a file.
        folder: for pictures and scores; what another model left there is forgotten.
        device: as ``segment_ct``.
    """

    def __init__(
        self, model: Model, folder: str | Path, device: str = "auto", should_stop: StopQuery = never_stop
    ) -> None:
        self.model, self.folder = model, Path(folder)
        self._device, self._should_stop = device, should_stop
        self._fingerprint = model_fingerprint(model.path)
        kept = self.folder / "scores"
        self._kept = kept / self._fingerprint[:16]
        if kept.is_dir():
            for other in kept.iterdir():
                if other != self._kept:  # its pictures would be replaced by this model's
                    shutil.rmtree(other, ignore_errors=True)
        for part in (self._kept, self.folder / "findings"):
            part.mkdir(parents=True, exist_ok=True)

    def score(self, case: Case) -> CaseScore:
        """The score of this case, run or read.

        Raises: Cancelled; UserError.
        """
        path = kept_path(self._kept, case, self._fingerprint)
        if path.exists():
            return load_score(path)
        score, probability = score_case(case, self.model, self._device, self._should_stop)
        self._save_pictures(case, score, probability)
        save_score(path, score)
        return score

    def picture(self, score: CaseScore) -> Path:
        return self.folder / f"{score.name}.png"

    def finding_pictures(self, score: CaseScore) -> list[Path]:
        """Of the false findings, largest first; real CTs without fracture have them."""
        count = min(score.false_positives, MOST_PICTURES)
        paths = [self.folder / "findings" / f"{score.name}-{number}.png" for number in range(1, count + 1)]
        return [path for path in paths if path.exists()]

    def _save_pictures(self, case: Case, score: CaseScore, probability: np.ndarray) -> None:
        dice = f"Dice {score.dice:.2f}  " if score.reference else ""
        title = f"{case.name}  {dice}{score.false_positives} false"
        sagittal_picture(case.hu, probability, case.fracture_mask, case.bodies > 0, title).save(self.picture(score))
        if not (case.truth.get("as_scanned") and not case.has_fracture):
            return
        card, voxel_mm3 = self.model.card, case.spacing_mm**3
        mask = remove_small_components(threshold_mask(probability, card.threshold), card.min_volume_mm3, voxel_mm3)
        labels, count = label_components(mask)
        sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        for number, label in enumerate(np.argsort(-sizes, kind="stable")[:MOST_PICTURES] + 1, start=1):
            finding = labels == label
            title = f"{sizes[label - 1] * voxel_mm3 / 1000:.1f} mL, highest {probability[finding].max():.2f}"
            path = self.folder / "findings" / f"{case.name}-{number}.png"
            finding_picture(case.hu, probability, finding, case.spacing_mm, title).save(path)
