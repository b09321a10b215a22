"""The files of a training run: what a resumed run needs, the best weights, the model."""

import dataclasses
import math
from pathlib import Path
from typing import Any

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.json_fields import to_fields
from SpineFractureSegLib.engine.model_file import ModelCard, save_model
from SpineFractureSegLib.engine.network import FractureNetwork, NetworkConfig
from SpineFractureSegLib.engine.preprocessing import Preprocessing
from SpineFractureSegLib.engine.training.checkpoint import load_checkpoint, save_atomically
from SpineFractureSegLib.engine.training.config import TrainingConfig
from SpineFractureSegLib.engine.training.validation import ValidationScores

# may differ between the parts of a resumed run: they do not change what a step computes
_FREE_ON_RESUME = ("max_epochs", "max_minutes", "early_stopping_epochs", "workers", "checkpoint_minutes")


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """``last.pt``, ``best.pt`` and ``model.safetensors`` of one run, each written whole or not at all."""

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
            fields = to_fields(config)
            stored = _filled(checkpoint["configs"][part], to_fields(type(config)()))
            for name in fields:
                if stored[name] != fields[name] and name not in _FREE_ON_RESUME:
                    raise UserError(
                        f"{self.path} holds a run with {name} = {stored[name]}, not {fields[name]}; "
                        "choose another folder or the same settings."
                    )
        return checkpoint

    def save_best(self, network: FractureNetwork, epoch: int, scores: ValidationScores) -> None:
        """Keeps the best weights, as a model too: a run that is never resumed leaves one all the same."""
        best = {"network": network.state_dict(), "epoch": epoch, "scores": dataclasses.asdict(scores)}
        save_atomically(self.path / "best.pt", best)
        self.save_model(network, scores)

    def load_best(self) -> dict[str, Any]:
        """What ``save_best`` kept: network, epoch, scores."""
        return load_checkpoint(self.path / "best.pt")

    def save_model(self, network: FractureNetwork, scores: ValidationScores) -> Path:
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

    def _configs(self) -> dict[str, dict[str, Any]]:
        return {part: to_fields(config) for part, config in self._parts().items()}

    def _parts(self) -> dict[str, Any]:
        return {"training": self.config, "network": self.network_config, "preprocessing": self.preprocessing}


def _filled(stored: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """A stored config where fields that its version did not know yet have their defaults."""
    return {
        name: _filled(stored.get(name, {}), default) if isinstance(default, dict) else stored.get(name, default)
        for name, default in defaults.items()
    }
