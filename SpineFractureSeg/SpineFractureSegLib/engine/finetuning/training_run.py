"""The training itself: the ordinary trainer, told where to begin, with pause and stop."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from SpineFractureSegLib.engine.case import Case, load_case
from SpineFractureSegLib.engine.errors import Cancelled
from SpineFractureSegLib.engine.finetuning.run_control import RunControl
from SpineFractureSegLib.engine.finetuning.tuning_progress import (
    TuningCallback,
    epochs_in,
    of_epoch,
    of_trainer_step,
)
from SpineFractureSegLib.engine.model_file import Model, ModelCard
from SpineFractureSegLib.engine.progress import StopQuery
from SpineFractureSegLib.engine.training.config import TrainingConfig
from SpineFractureSegLib.engine.training.trainer import TrainingResult, train


@dataclass(frozen=True)
class TrainingRun:
    """What is trained on what, in which folder, and who listens."""

    parent: Model
    config: TrainingConfig
    card: ModelCard
    training: Sequence[Path]  # case files
    validation: Sequence[Path]
    folder: Path
    device: str
    on_progress: TuningCallback

    def run(self, control: RunControl) -> TrainingResult:
        """Trains to the end or to a stop; a run that was cut off goes on, and tells the epochs before it again.

        Raises: UserError, as the trainer; Cancelled, also when it was stopped before an epoch was over.
        """
        for epoch in epochs_in(self._log):
            self.on_progress(epoch)
        try:
            return control.through_pauses(lambda: self._train(self.config, control.interrupts))
        except Cancelled:
            epochs = len(epochs_in(self._log))
            if not control.is_stopped or not epochs:
                raise
        # without an epoch to go the trainer does nothing but choose the threshold of the best weights and write them
        ended = replace(self.config, max_epochs=epochs)
        return control.through_pauses(lambda: self._train(ended, control.interrupts_ending))

    @property
    def _log(self) -> Path:
        return self.folder / "log.csv"

    def _train(self, config: TrainingConfig, should_stop: StopQuery) -> TrainingResult:
        parent = self.parent
        return train(
            config,
            parent.network_config,
            parent.preprocessing,
            _loaded(self.training),
            _loaded(self.validation),
            self.folder,
            device=self.device,
            card=self.card,
            start_from=parent.network,
            on_progress=lambda *step: self.on_progress(of_trainer_step(*step)),
            on_epoch=lambda row: self.on_progress(of_epoch(row)),
            should_stop=should_stop,
        )


def _loaded(paths: Sequence[Path]) -> Iterator[Case]:
    return (load_case(path) for path in paths)
