"""The training loop: one file to read from top to bottom. ``train`` says what happens, ``_Run`` how."""

import copy
import dataclasses
import multiprocessing
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from SpineFractureSegLib.engine.case import Case
from SpineFractureSegLib.engine.device import Placement, choose_device, choose_precision
from SpineFractureSegLib.engine.errors import Cancelled, UserError
from SpineFractureSegLib.engine.inference import SlicePredictor
from SpineFractureSegLib.engine.model_file import ModelCard
from SpineFractureSegLib.engine.network import FractureNetwork, NetworkConfig
from SpineFractureSegLib.engine.preprocessing import Preprocessing
from SpineFractureSegLib.engine.progress import ProgressCallback, StopQuery, never_stop, no_progress
from SpineFractureSegLib.engine.training.checkpoint import EpochLog
from SpineFractureSegLib.engine.training.config import TrainingConfig
from SpineFractureSegLib.engine.training.dataset import EpochSampler, Kind, Sample, SliceDataset
from SpineFractureSegLib.engine.training.losses import training_loss
from SpineFractureSegLib.engine.training.run_folder import RunFolder
from SpineFractureSegLib.engine.training.schedule import Plateau, cosine_factor
from SpineFractureSegLib.engine.training.team import Team, own_device
from SpineFractureSegLib.engine.training.validation import (
    ScoredCase,
    ValidationScores,
    choose_min_volume,
    score_cases,
    validation_scores,
)

LOG_COLUMNS = (
    "epoch",
    "steps",
    "learning_rate",
    "loss",
    # the fracture loss by what the slice shows: one can get worse while their mean gets better
    "fracture_loss_fractured",
    "fracture_loss_intact",
    "fracture_loss_real_negative",
    "vertebra_loss",
    "refined_mask_loss",
    "dice_pooled",
    "dice_mean",
    "vertebra_auc",
    "false_positive_ml",
    "threshold",
    "minutes",
    "slices_per_second",
)


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """What a finished run left."""

    model_path: Path
    scores: ValidationScores  # of the best weights, on every slice of the validation cases
    best_epoch: int
    epochs: int
    minutes: float  # of all parts of the run
    ended_by: str  # "epochs", "time" or "no improvement"


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
    start_from: FractureNetwork | None = None,
    on_progress: ProgressCallback = no_progress,
    should_stop: StopQuery = never_stop,
) -> TrainingResult:
    """Trains a network, or goes on where a killed run in the same folder stopped.

    A resumed run computes what the uninterrupted one would have (on the CPU bit for bit), unless a time budget rules
    its learning rate. No random state needs keeping: samples depend on seed, epoch and index alone.

    Started by ``torchrun``, several processes (on one machine or more, all of which see the run's folder) share every
    batch: same samples, same steps, up to the normalization layers, which see each process' part.

    Args:
        config, network_config, preprocessing: see there; ``presets`` has combinations of them.
        train_cases: read once; pass a generator (``map(load_case, paths)``) to hold each in memory only once.
        validation_cases: cases of other patients, with fractures and without.
        run_folder: gets ``last.pt``, ``best.pt``, ``log.csv`` and ``model.safetensors``.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        card: of the model file; threshold, smallest lesion and validation scores are filled in.
        start_from: a network of the same config whose weights are the first ones (fine-tuning); None: random ones.
        on_progress: called after every step ("epoch N") and every validation case.
        should_stop: asked after every step; then the state is saved.

    Raises:
        UserError: nothing to train or validate on, another run in the folder, or a loss that is no longer a number.
        Cancelled: on ``should_stop``; calling again resumes.
    """
    run = _Run(config, network_config, preprocessing, Path(run_folder), device, card, on_progress, should_stop)
    run.prepare(train_cases, validation_cases, start_from)
    while not (ended_by := run.ended_by()):
        run.train_epoch()
        run.validate_epoch()
    return run.finish(ended_by)


@dataclasses.dataclass
class _State:
    """Where a run stands; with weights and optimizer all that a resumed run needs."""

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
        self.device, _ = choose_device(own_device(device))
        self.team = Team(self.device)
        self.on_progress = on_progress if self.team.is_lead else no_progress
        self.should_stop = should_stop
        if config.batch_size % self.team.size:
            raise UserError(f"A batch of {config.batch_size} slices cannot be shared by {self.team.size} processes.")
        self.dtype = _training_precision(config.precision, self.device)
        self.steps_per_epoch = max(config.slices_per_epoch // config.batch_size, 1)
        self.state = _State()
        # per kind: samples, total, fracture, vertebra, refined loss, samples with vertebrae
        self.loss_sums = torch.zeros(len(Kind), 6, dtype=torch.float64, device=self._sum_device)

    @property
    def _sum_device(self) -> torch.device:
        return torch.device("cpu") if self.device.type == "mps" else self.device  # mps has no float64

    # -- before ------------------------------------------------------------------------------------------------------

    def prepare(
        self, train_cases: Iterable[Case], validation_cases: Iterable[Case], start_from: FractureNetwork | None
    ) -> None:
        self.folder.path.mkdir(parents=True, exist_ok=True)
        config = self.config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            network = FractureNetwork(self.network_config)
        if start_from is not None:
            network.load_state_dict(start_from.state_dict())
        self.network = self._place(network)
        self.average = copy.deepcopy(self.network).requires_grad_(False) if config.ema_decay else None
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        if checkpoint := self.folder.load_last():
            self._restore(checkpoint)
        if self.team.is_lead:
            self.log = EpochLog(self.folder.path / "log.csv", LOG_COLUMNS, self.state.epoch)
        self.dataset = SliceDataset(train_cases, self.preprocessing, config.balance, config.augmentation, config.seed)
        self.validation_cases = list(validation_cases)
        if not self.validation_cases:
            raise UserError("There are no validation cases; threshold and best weights are chosen on them.")

    def _place(self, network: FractureNetwork) -> FractureNetwork:
        memory_format = torch.channels_last if self.config.channels_last else torch.contiguous_format
        return network.to(self.device).to(memory_format=memory_format)

    def _loader(self, epoch: int, first_step: int) -> DataLoader:
        config = self.config
        size = config.batch_size
        sampler = EpochSampler(
            epoch, self.steps_per_epoch * size, first_step * size + self.team.rank, self.team.size
        )
        fork = config.workers > 0 and sys.platform == "linux"  # shares the cases in memory instead of copying them
        return DataLoader(
            self.dataset,
            batch_size=size // self.team.size,
            sampler=sampler,
            num_workers=config.workers,
            multiprocessing_context=multiprocessing.get_context("fork") if fork else None,
            prefetch_factor=3 if config.workers else None,
            pin_memory=self.device.type == "cuda",
        )

    # -- an epoch ----------------------------------------------------------------------------------------------------

    def train_epoch(self) -> None:
        state = self.state
        if state.step_in_epoch >= self.steps_per_epoch:
            return  # resumed between the last step and the validation
        self.network.train()
        clock, saved = time.monotonic(), state.seconds
        for batch in self._loader(state.epoch, state.step_in_epoch):
            self._step(Sample(*(part.to(self.device, non_blocking=True) for part in batch)))
            state.step_in_epoch += 1
            state.step += 1
            now = time.monotonic()
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

    def _step(self, batch: Sample) -> None:
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        image = batch.image.contiguous(
            memory_format=torch.channels_last if config.channels_last else torch.contiguous_format
        )
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            logits, refined = self.network.forward_with_refined_mask(image)
        channel = {name: logits[:, i].float() for i, name in enumerate(self.network_config.outputs)}
        terms = training_loss(
            channel["fracture"],
            channel.get("vertebra"),
            refined[:, 0].float() if refined is not None else None,
            batch.fracture.float(),
            batch.vertebra.float(),
            batch.known.float(),
            batch.has_vertebrae,
            config.vertebra_loss_weight,
            config.refined_mask_loss_weight,
        )
        self.optimizer.zero_grad(set_to_none=True)
        terms.total.mean().backward()
        self.team.average_gradients(self.network)
        if config.gradient_clip:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), config.gradient_clip)
        self.optimizer.step()
        self._update_average()
        columns = (torch.ones_like(terms.total), *terms, batch.has_vertebrae)
        numbers = torch.stack(columns, 1).detach().to(self._sum_device, torch.float64)
        self.loss_sums.index_add_(0, batch.kind.to(self._sum_device), numbers)

    def _learning_rate(self) -> float:
        config, state = self.config, self.state
        if config.schedule == "plateau":
            return config.learning_rate * state.plateau.factor
        fraction = state.step / (config.max_epochs * self.steps_per_epoch)
        if config.max_minutes is not None:
            fraction = max(fraction, state.seconds / (60 * config.max_minutes))
        return config.learning_rate * cosine_factor(state.step, config.warmup_steps, fraction)

    @torch.no_grad()
    def _update_average(self) -> None:
        if self.average is None:
            return
        step = self.state.step
        decay = min(self.config.ema_decay, (1 + step) / (10 + step))  # the first weights are soon forgotten
        current = self.network.state_dict()
        for name, kept in self.average.state_dict().items():
            if kept.is_floating_point():
                kept.lerp_(current[name], 1 - decay)
            else:
                kept.copy_(current[name])

    def _time_is_over(self) -> bool:
        return self.config.max_minutes is not None and self.state.seconds >= 60 * self.config.max_minutes

    # -- after an epoch ----------------------------------------------------------------------------------------------

    def validate_epoch(self) -> None:
        config, state = self.config, self.state
        start = time.monotonic()
        self.team.average_statistics(self._evaluated())
        scored = self._score(self._evaluated(), config.validation_slice_step, config.validation_negative_slice_step)
        scores = self.team.from_lead(validation_scores(scored) if self.team.is_lead else None)
        rate = self._learning_rate()
        state.seconds += self.team.from_lead(time.monotonic() - start)
        better = state.plateau.observe(state.epoch, scores.dice_pooled, config.plateau_epochs, config.plateau_factor)
        row = self._log_row(scores, rate)
        if self.team.is_lead:
            if better:
                self.folder.save_best(self._evaluated(), state.epoch, scores)
            self.log.append(row)
        state.epoch += 1
        state.step_in_epoch, state.epoch_seconds = 0, 0.0
        self.loss_sums.zero_()
        self._save()

    def _evaluated(self) -> FractureNetwork:
        return self.average if self.average is not None else self.network

    def _score(self, network: FractureNetwork, step: int, negative_step: int) -> list[ScoredCase]:
        """The validation cases, scored by all processes; the lead gets them, the others nothing."""
        placement = Placement(self.device, self.dtype, self.config.batch_size)
        outputs = len(self.network_config.outputs)
        predictor = SlicePredictor(network, outputs, self.preprocessing, placement, should_stop=self.should_stop)
        own = self.validation_cases[self.team.rank :: self.team.size]
        scored = score_cases(predictor, own, step, negative_step, self.on_progress)
        # cases are large and known to the lead: only what was found is sent
        found = self.team.gathered([(item.case.name, dataclasses.replace(item, case=None)) for item in scored])
        cases = {case.name: case for case in self.validation_cases}
        return [dataclasses.replace(item, case=cases[name]) for name, item in found]

    def _log_row(self, scores: ValidationScores, learning_rate: float) -> dict[str, Any]:
        state = self.state
        count, total, fracture, vertebra, refined, with_vertebrae = self.team.sum(self.loss_sums).cpu().T
        by_kind = (fracture / count).tolist()  # nan where there was no such slice
        return {
            "epoch": state.epoch,
            "steps": state.step,
            "learning_rate": learning_rate,
            "loss": float(total.sum() / count.sum()),
            "fracture_loss_fractured": by_kind[Kind.FRACTURED],
            "fracture_loss_intact": by_kind[Kind.INTACT],
            "fracture_loss_real_negative": by_kind[Kind.REAL_NEGATIVE],
            "vertebra_loss": float(vertebra.sum() / with_vertebrae.sum()),
            "refined_mask_loss": float(refined.sum() / count.sum()),
            "dice_pooled": scores.dice_pooled,
            "dice_mean": scores.dice_mean,
            "vertebra_auc": scores.vertebra_auc,
            "false_positive_ml": scores.false_positive_ml,
            "threshold": scores.threshold,
            "minutes": state.seconds / 60,
            "slices_per_second": state.step_in_epoch * self.config.batch_size / max(state.epoch_seconds, 1e-9),
        }

    def _save(self) -> None:
        loss_sums = self.team.sum(self.loss_sums)
        if not torch.isfinite(loss_sums).all():
            raise UserError("The loss is no longer a number; train with a lower learning rate or in float32.")
        if not self.team.is_lead:
            return
        self.folder.save_last(
            {
                "state": dataclasses.asdict(self.state),
                "network": self.network.state_dict(),
                "average": self.average.state_dict() if self.average is not None else None,
                "optimizer": self.optimizer.state_dict(),
                "loss_sums": loss_sums,
            }
        )

    def _restore(self, checkpoint: dict[str, Any]) -> None:
        state = dict(checkpoint["state"])
        self.state = _State(**{**state, "plateau": Plateau(**state["plateau"])})
        self.network.load_state_dict(checkpoint["network"])
        if self.average is not None:
            self.average.load_state_dict(checkpoint["average"])
        self.optimizer.load_state_dict(checkpoint["optimizer"])
        if self.team.is_lead:
            self.loss_sums = checkpoint["loss_sums"].to(self._sum_device)

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
        network = self._place(FractureNetwork(self.network_config))
        network.load_state_dict(best["network"])
        scored = self._score(network, 1, 2)
        scores, path = None, None
        if self.team.is_lead:
            scores = validation_scores(scored)
            scores = dataclasses.replace(scores, min_volume_mm3=choose_min_volume(scored, scores.threshold))
            path = self.folder.save_model(network, scores)
        scores, path = self.team.from_lead((scores, path))
        state = self.state
        return TrainingResult(path, scores, best["epoch"], state.epoch, state.seconds / 60, ended_by)


def _training_precision(name: str, device: torch.device) -> torch.dtype:
    if name == "float32":
        return torch.float32
    if name == "bfloat16":
        return torch.bfloat16
    # float16 would need scaled gradients; devices without bfloat16 train in float32
    return torch.bfloat16 if choose_precision(device) == torch.bfloat16 else torch.float32
