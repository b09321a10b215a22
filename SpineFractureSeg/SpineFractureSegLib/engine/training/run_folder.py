"""The files of a training run: what a resumed run needs, the best weights, the model, the report."""

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from SpineFractureSegLib.engine.atomic_file import written_whole
from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.json_fields import to_fields
from SpineFractureSegLib.engine.model_file import ModelCard, save_model
from SpineFractureSegLib.engine.network import NetworkConfig, SliceNetwork
from SpineFractureSegLib.engine.preprocessing import Preprocessing
from SpineFractureSegLib.engine.training.checkpoint import load_checkpoint, save_atomically
from SpineFractureSegLib.engine.training.config import TrainingConfig
from SpineFractureSegLib.engine.training.validation import ScoredCase, ValidationScores

# may differ between the parts of a resumed run: they do not change what a step computes
_FREE_ON_RESUME = (
    "max_epochs",
    "max_minutes",
    "early_stopping_epochs",
    "workers",
    "checkpoint_minutes",
    "tensorboard",
)


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """``last.pt``, ``best.pt``, ``model.safetensors`` and ``report.html`` of one run, each written whole or not at
    all."""

    path: Path
    config: TrainingConfig
    network_config: NetworkConfig
    preprocessing: Preprocessing
    card: ModelCard

    def save_last(self, parts: dict[str, Any]) -> None:
        """Keeps all that a resumed run needs."""
        save_atomically(self.path / "last.pt", {**parts, "configs": self._configs()})

    def load_last(self) -> dict[str, Any] | None:
        """What ``save_last`` kept; None at the start of a run.

        Raises: UserError, when the folder holds a run with other settings.
        """
        if not (self.path / "last.pt").exists():
            return None
        checkpoint = load_checkpoint(self.path / "last.pt")
        for part, config in self._parts().items():
            refuse_other_settings(self.path, checkpoint["configs"][part], config, free=_FREE_ON_RESUME)
        return checkpoint

    def save_best(self, network: SliceNetwork, epoch: int, scores: ValidationScores) -> None:
        """Keeps the best weights, as a model too: a run that is never resumed leaves one all the same."""
        best = {"network": network.state_dict(), "epoch": epoch, "scores": dataclasses.asdict(scores)}
        save_atomically(self.path / "best.pt", best)
        self.save_model(network, scores)

    def load_best(self) -> dict[str, Any]:
        """What ``save_best`` kept: network, epoch, scores."""
        return load_checkpoint(self.path / "best.pt")

    def save_model(self, network: SliceNetwork, scores: ValidationScores) -> Path:
        """Writes the model file; threshold, smallest lesion and scores go into its card."""
        numbers = {name: value for name, value in dataclasses.asdict(scores).items() if math.isfinite(value)}
        card = dataclasses.replace(
            self.card,
            threshold=scores.threshold,
            min_volume_mm3=scores.min_volume_mm3,
            scores={**self.card.scores, "validation": numbers},
        )
        path = self.path / "model.safetensors"
        save_model(path, network, self.network_config, self.preprocessing, card)
        return path

    def write_report(
        self, rows: Sequence[Mapping[str, str]], scored: Sequence[ScoredCase], scores: ValidationScores, of: str
    ) -> None:
        """Writes ``report.html``; the arguments are those of ``report.training_report``."""
        # pillow and the drawing are the lead's business alone
        from SpineFractureSegLib.engine.training.report import training_report

        plane = self.preprocessing.planes[0]
        text = training_report(self.card.name, rows, scored, plane, scores, of, self._configs())
        with written_whole(self.path / "report.html") as partial:
            partial.write_text(text, encoding="utf-8")

    def _configs(self) -> dict[str, dict[str, Any]]:
        return {part: to_fields(config) for part, config in self._parts().items()}

    def _parts(self) -> dict[str, Any]:
        return {"training": self.config, "network": self.network_config, "preprocessing": self.preprocessing}


def refuse_other_settings(folder: Path, stored: dict[str, Any], config: Any, free: Collection[str] = ()) -> None:
    """Holds a config against the one that a folder's content was made with.

    Args:
        folder: for the message.
        stored: the fields then; absent ones had their defaults.
        config: a dataclass whose fields all have defaults.
        free: fields that may differ.

    Raises: UserError, naming a field that differs.
    """
    fields = to_fields(config)
    stored = _filled(stored, to_fields(type(config)()))
    for name in fields:
        if stored[name] != fields[name] and name not in free:
            raise UserError(
                f"{folder} holds a run with {name} = {stored[name]}, not {fields[name]}; "
                "choose another folder or the same settings."
            )


def _filled(stored: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """A stored config where fields that its version did not know yet have their defaults."""
    return {
        name: _filled(stored.get(name, {}), default) if isinstance(default, dict) else stored.get(name, default)
        for name, default in defaults.items()
    }
