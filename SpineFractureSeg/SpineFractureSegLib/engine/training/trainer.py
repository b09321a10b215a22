"""The training loop: one file to read from top to bottom. ``train`` says what happens, ``_Run`` how."""

import dataclasses
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from SpineFractureSegLib.engine.case import Case
from SpineFractureSegLib.engine.device import Placement
from SpineFractureSegLib.engine.errors import Cancelled, UserError
from SpineFractureSegLib.engine.inference import SlicePredictor
from SpineFractureSegLib.engine.model_file import ModelCard
from SpineFractureSegLib.engine.network import NetworkConfig, SliceNetwork, build_network
from SpineFractureSegLib.engine.preprocessing import Preprocessing
from SpineFractureSegLib.engine.progress import ProgressCallback, StopQuery, never_stop, no_progress
from SpineFractureSegLib.engine.training.config import TrainingConfig
from SpineFractureSegLib.engine.training.dataset import EpochSampler, Sample, SliceDataset
from SpineFractureSegLib.engine.training.epoch_log import LOG_COLUMNS, EpochLog, TensorBoardLog, epoch_row
from SpineFractureSegLib.engine.training.learner import Learner
from SpineFractureSegLib.engine.training.run_folder import RunFolder
from SpineFractureSegLib.engine.training.schedule import Plateau, cosine_factor
from SpineFractureSegLib.engine.training.team import Team
from SpineFractureSegLib.engine.training.validation import (
    ScoredCase,
    ValidationScores,
    choose_min_volume,
    score_cases,
    validation_scores,
)

EpochCallback = Callable[[dict[str, Any]], None]  # gets the epoch's row of the log, see ``epoch_log.LOG_COLUMNS``


def no_epoch_callback(row: dict[str, Any]) -> None:
    """Default ``on_epoch``: the log is enough."""


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """What a finished run left."""

    model_path: Path
    scores: ValidationScores  # of the best weights, on every slice of the validation cases
    best_epoch: int
    epochs: int
    minutes: float  # of all parts of the run
    ended_by: str  # "epochs", "time" or "no improvement"
    warnings: tuple[str, ...] = ()  # what the user must be told, one sentence each


def train(
    config: TrainingConfig,
    network_config: NetworkConfig,
    preprocessing: Preprocessing,
    train_cases: Iterable[Case],
    validation_cases: Iterable[Case],
    run_folder: str | Path,
    *,
    device: str = "auto",
    card: ModelCard | None = None,
    start_from: SliceNetwork | None = None,
    on_progress: ProgressCallback = no_progress,
    on_epoch: EpochCallback = no_epoch_callback,
    should_stop: StopQuery = never_stop,
) -> TrainingResult:
    """Trains a network, or goes on where a killed run in the same folder stopped.

    A resumed run computes what the uninterrupted one would have (on the CPU bit for bit), unless a time budget rules
    its learning rate. No random state needs keeping: samples depend on seed, epoch and index alone.

    Started by ``torchrun``, several processes (on one machine or more, all of which see the run's folder) share every
    batch: same samples, same steps, up to the normalization layers, which see each process' part. Each holds all
    training cases in memory.

    Args:
        config, network_config, preprocessing: see there; ``presets`` has combinations of them.
        train_cases: read once; pass a generator (``map(load_case, paths)``) to hold each in memory only once.
        validation_cases: cases of other patients, with fractures and without.
        run_folder: gets ``last.pt``, ``best.pt``, ``log.csv``, ``report.html`` and ``model.safetensors``.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        card: of the model file; threshold, smallest lesion and validation scores are filled in.
        start_from: a network of the same config whose weights are the first ones (fine-tuning); None: random ones.
        on_progress: called after every step ("epoch N") and every validation case.
        on_epoch: called after every epoch with its row of the log.
        should_stop: asked after every step and between the batches of a validation; then the state is saved.

    Raises:
        UserError: nothing to train or validate on, another run in the folder, a loss that is no longer a number, or
            too little memory.
        Cancelled: on ``should_stop``; calling again resumes.
    """
    folder = Path(run_folder)
    run = _Run(config, network_config, preprocessing, folder, device, card, on_progress, on_epoch, should_stop)
    try:
        run.prepare(train_cases, validation_cases, start_from)
        while not (ended_by := run.ended_by()):
            run.train_epoch()
            run.validate_epoch()
        return run.finish(ended_by)
    finally:
        run.close()


@dataclasses.dataclass
class _State:
    """Where a run stands; with what the learner knows all that a resumed run needs."""

    epoch: int = 0
    step_in_epoch: int = 0
    step: int = 0
    seconds: float = 0.0  # spent, in all parts
    epoch_seconds: float = 0.0  # spent on the steps of this epoch
    plateau: Plateau = dataclasses.field(default_factory=Plateau)


class _Run:
    def __init__(
        self,
        config: TrainingConfig,
        network_config: NetworkConfig,
        preprocessing: Preprocessing,
        folder: Path,
        device: str,
        card: ModelCard | None,
        on_progress: ProgressCallback,
        on_epoch: EpochCallback,
        should_stop: StopQuery,
    ) -> None:
        if network_config.input_channels != len(preprocessing.context_mm):
            raise ValueError(
                f"the network takes {network_config.input_channels} channels, context_mm has "
                f"{len(preprocessing.context_mm)}"
            )
        self.config, self.network_config, self.preprocessing = config, network_config, preprocessing
        card = card or ModelCard(name=folder.name or "trained")
        self.folder = RunFolder(folder, config, network_config, preprocessing, card)
        self.team = Team(device)
        self.on_progress = on_progress if self.team.is_lead else no_progress
        self.on_epoch = on_epoch
        self.should_stop = should_stop
        if config.batch_size % self.team.size:
            raise UserError(f"A batch of {config.batch_size} slices cannot be shared by {self.team.size} processes.")
        self.steps_per_epoch = max(config.slices_per_epoch // config.batch_size, 1)
        self.state = _State()
        self.log: EpochLog | None = None  # the lead's
        self.tensorboard: TensorBoardLog | None = None

    # -- before ------------------------------------------------------------------------------------------------------

    def prepare(
        self, train_cases: Iterable[Case], validation_cases: Iterable[Case], start_from: SliceNetwork | None
    ) -> None:
        self.folder.path.mkdir(parents=True, exist_ok=True)
        config = self.config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            network = build_network(self.network_config)
        if start_from is not None:
            network.load_state_dict(start_from.state_dict())
        self.learner = Learner(network, config, self.team)
        if checkpoint := self.folder.load_last():
            state = dict(checkpoint["state"])
            self.state = _State(**{**state, "plateau": Plateau(**state["plateau"])})
            self.learner.restore(checkpoint)
        self.team.by_lead(self._open_logs)
        self.dataset = SliceDataset(train_cases, self.preprocessing, config.balance, config.augmentation, config.seed)
        self.validation_cases = list(validation_cases)
        if not self.validation_cases:
            raise UserError("There are no validation cases; threshold and best weights are chosen on them.")
        if config.observed_score == "dice_mean" and not any(case.has_fracture for case in self.validation_cases):
            raise UserError(
                "No validation case has a fracture, which the observed score dice_mean needs; add some or observe "
                "dice_pooled."
            )

    def _open_logs(self) -> None:
        self.log = EpochLog(self.folder.path / "log.csv", LOG_COLUMNS, self.state.epoch)
        if self.config.tensorboard:
            self.tensorboard = TensorBoardLog(self.folder.path / "tensorboard", self.state.epoch)

    def _loader(self, epoch: int, first_step: int) -> DataLoader:
        config, team = self.config, self.team
        size = config.batch_size
        fork = config.workers > 0 and sys.platform == "linux"  # shares the cases in memory instead of copying them
        return DataLoader(
            self.dataset,
            batch_size=size // team.size,
            sampler=EpochSampler(epoch, self.steps_per_epoch * size, first_step * size + team.rank, team.size),
            num_workers=config.workers,
            multiprocessing_context=multiprocessing.get_context("fork") if fork else None,
            prefetch_factor=3 if config.workers else None,
            pin_memory=team.device.type == "cuda",
        )

    # -- an epoch ----------------------------------------------------------------------------------------------------

    def train_epoch(self) -> None:
        state = self.state
        if state.step_in_epoch >= self.steps_per_epoch:
            return  # resumed between the last step and the validation
        self.learner.network.train()
        clock, saved = time.monotonic(), state.seconds
        for batch in self._loader(state.epoch, state.step_in_epoch):
            self.learner.step(Sample(*batch), state.step, self._learning_rate())
            state.step_in_epoch += 1
            state.step += 1
            now = time.monotonic()
            # what decides over the next collective call is the lead's word: clocks and requests differ
            spent, stop = self.team.from_lead((now - clock, self.should_stop()))
            state.seconds += spent
            state.epoch_seconds += spent
            clock = now
            if stop:
                self._save()
                raise Cancelled(f"Stopped on request; {self.folder.path} can be resumed.")
            if state.seconds - saved > 60 * self.config.checkpoint_minutes:
                self._save()
                saved = state.seconds
            self.on_progress(state.step_in_epoch, self.steps_per_epoch, f"epoch {state.epoch + 1}")
            if self._time_is_over():
                break
        self._save()

    def _learning_rate(self) -> float:
        config, state = self.config, self.state
        if config.schedule == "plateau":
            return config.learning_rate * state.plateau.factor
        fraction = state.step / (config.max_epochs * self.steps_per_epoch)
        if config.max_minutes is not None:
            fraction = max(fraction, state.seconds / (60 * config.max_minutes))
        return config.learning_rate * cosine_factor(state.step, config.warmup_steps, fraction)

    def _time_is_over(self) -> bool:
        return self.config.max_minutes is not None and self.state.seconds >= 60 * self.config.max_minutes

    def _save(self) -> None:
        learned = self.learner.state()
        self.team.by_lead(lambda: self.folder.save_last({"state": dataclasses.asdict(self.state), **learned}))

    # -- after an epoch ----------------------------------------------------------------------------------------------

    def validate_epoch(self) -> None:
        config, state = self.config, self.state
        start = time.monotonic()
        self.learner.average_statistics()
        scored = self._score(
            self.learner.evaluated, config.validation_slice_step, config.validation_negative_slice_step
        )
        scores = self.team.by_lead(lambda: validation_scores(scored))
        rate = self._learning_rate()
        state.seconds += self.team.from_lead(time.monotonic() - start)
        observed = float(state.epoch) if config.observed_score == "last" else getattr(scores, config.observed_score)
        better = state.plateau.observe(state.epoch, observed, config.plateau_epochs, config.plateau_factor)
        row = epoch_row(
            state.epoch,
            state.step,
            rate,
            self.learner.loss_sums(),
            scores,
            minutes=state.seconds / 60,
            slices_per_second=state.step_in_epoch * config.batch_size / max(state.epoch_seconds, 1e-9),
        )
        self.team.by_lead(lambda: self._keep(row, scores, scored, better))
        state.epoch += 1
        state.step_in_epoch, state.epoch_seconds = 0, 0.0
        self.learner.forget_losses()
        self._save()
        self.team.by_lead(lambda: self.on_epoch(row))

    def _score(self, network: SliceNetwork, *steps: int) -> list[ScoredCase]:
        """The validation cases on every n-th slice (and of real cases without fracture), for the lead."""
        placement = Placement(self.team.device, self.learner.dtype, self.config.batch_size)
        outputs = len(self.network_config.outputs)
        predictor = SlicePredictor(network, outputs, self.preprocessing, placement, should_stop=self.should_stop)
        scored = score_cases(predictor, self.validation_cases, *steps, self.team, self.on_progress)
        self.learner.warnings += predictor.warnings
        return scored

    def _keep(self, row: dict[str, Any], scores: ValidationScores, scored: list[ScoredCase], better: bool) -> None:
        if better:
            self.folder.save_best(self.learner.evaluated, self.state.epoch, scores)
        self.log.append(row)
        if self.tensorboard is not None:
            self.tensorboard.append(row)
        self.folder.write_report(self.log.rows(), scored, scores, "weights of the last epoch, every n-th slice")

    # -- the end -----------------------------------------------------------------------------------------------------

    def ended_by(self) -> str:
        """Why the run is over; empty while it is not."""
        config, state = self.config, self.state
        if self._time_is_over() and state.step_in_epoch == 0 and state.epoch > 0:
            return "time"
        if state.epoch >= config.max_epochs:
            return "epochs"
        if 0 < config.early_stopping_epochs <= state.plateau.epochs_without_better:
            return "no improvement"
        return ""

    def finish(self, ended_by: str) -> TrainingResult:
        """Chooses threshold and smallest lesion of the best weights, on every slice, and writes the model."""
        best = self.folder.load_best()
        network = self.learner.placed(build_network(self.network_config))
        network.load_state_dict(best["network"])
        scored = self._score(network, 1, 2)
        scores, path = self.team.by_lead(lambda: self._keep_model(network, scored))
        state = self.state
        warnings = tuple(dict.fromkeys(self.learner.warnings))
        return TrainingResult(path, scores, best["epoch"], state.epoch, state.seconds / 60, ended_by, warnings)

    def _keep_model(self, network: SliceNetwork, scored: list[ScoredCase]) -> tuple[ValidationScores, Path]:
        scores = validation_scores(scored)
        scores = dataclasses.replace(scores, min_volume_mm3=choose_min_volume(scored, scores.threshold))
        path = self.folder.save_model(network, scores)
        self.folder.write_report(self.log.rows(), scored, scores, "the best weights, on every slice")
        return scores, path

    def close(self) -> None:
        if self.tensorboard is not None:
            self.tensorboard.close()
