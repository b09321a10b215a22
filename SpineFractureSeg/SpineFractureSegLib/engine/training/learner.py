"""The network while it learns: its weights, their moving average, its adversary, the optimizer, the losses so far."""

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from SpineFractureSegLib.engine.device import choose_precision, is_out_of_memory
from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.network import SliceNetwork
from SpineFractureSegLib.engine.training.adversary import Adversary
from SpineFractureSegLib.engine.training.config import TrainingConfig
from SpineFractureSegLib.engine.training.dataset import Kind, Sample
from SpineFractureSegLib.engine.training.losses import training_loss
from SpineFractureSegLib.engine.training.team import Team

MOST_LOST_STEPS = 10  # in a row, before training ends


class Learner:
    """Takes one optimizer step per batch, the same in every process of the team.

    Args:
        network: its first weights; moved to the team's device.
        config: learning rate, loss weights, moving average, precision.
        team: whose gradients are averaged.

    Attributes:
        average: the network with the moving average of the weights; None without ``config.ema_decay``.
        adversary: that judges its masks; None but for SpineGAN.
        dtype: that activations are computed in.
        warnings: what the user must be told, one sentence each.
    """

    def __init__(self, network: SliceNetwork, config: TrainingConfig, team: Team) -> None:
        self.config, self.team = config, team
        self._memory_format = torch.channels_last if config.channels_last else torch.contiguous_format
        self.network = self.placed(network)
        self.average = copy.deepcopy(self.network).requires_grad_(False) if config.ema_decay else None
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        adversarial = network.config.architecture == "spinegan"
        self.adversary = Adversary(network.config, config.seed, team) if adversarial else None
        self.dtype = _training_precision(config.precision, team.device)
        self.warnings: list[str] = []
        self._lost_in_a_row = 0
        self._parts = 1  # that a batch is computed in, one after the other; more after memory ran out
        on_cpu = team.device.type == "mps"  # which has no float64
        self._sum_device = torch.device("cpu") if on_cpu else team.device
        # per kind: samples, total, fracture, vertebra, refined loss, samples with vertebrae; of this process
        self._loss_sums = torch.zeros(len(Kind), 6, dtype=torch.float64, device=self._sum_device)

    @property
    def evaluated(self) -> SliceNetwork:
        """The network that is scored and kept: the average where there is one."""
        return self.average if self.average is not None else self.network

    def placed(self, network: SliceNetwork) -> SliceNetwork:
        """The network on the device, in the configured memory format."""
        return network.to(self.team.device).to(memory_format=self._memory_format)

    def step(self, batch: Sample, number: int, learning_rate: float) -> None:
        """One step on this process' part of a batch.

        Args:
            batch: samples of shape (B, ...).
            number: steps taken before.
            learning_rate: of this step.

        A step whose gradient is no number is left out, as it would spoil all weights: on a CPU in bfloat16 FCN-8s has
        one in some hundred steps, with memory that others used before.

        Raises: UserError, when memory does not suffice for two samples at a time, or when no gradient is a number.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        batch = Sample(*(part.to(self.team.device, non_blocking=True) for part in batch))
        with self._random_by_step(number):
            losses = self._backward(batch)
        self.team.average_gradients(self.network)
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.gradient_clip or math.inf)
        if torch.isfinite(norm):
            self._lost_in_a_row = 0
            self.optimizer.step()
            if self.adversary is not None:
                self.adversary.step()
            self._update_average(number)
        else:
            self._lose_step()
        self._loss_sums.index_add_(0, batch.kind.to(self._sum_device), losses.to(self._sum_device, torch.float64))

    def loss_sums(self) -> torch.Tensor:
        """float64 (kinds, 6), over all processes since the last ``forget_losses``.

        The columns: samples; sums of total, fracture, vertebra and refined mask loss; samples with vertebrae.

        Raises: UserError, in every process, when a loss is no longer a number.
        """
        sums = self.team.sum(self._loss_sums)
        if not torch.isfinite(sums).all():
            raise UserError("The loss is no longer a number; train with a lower learning rate or in float32.")
        return sums.cpu()

    def forget_losses(self) -> None:
        self._loss_sums.zero_()

    def average_statistics(self) -> None:
        """Gives every process the same normalization layers, as before a validation or a checkpoint."""
        self.team.average_statistics(self.network)
        if self.average is not None:
            self.team.average_statistics(self.average)

    def state(self) -> dict[str, Any]:
        """What ``restore`` takes; the same in every process after ``average_statistics``, which this calls."""
        self.average_statistics()
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict() if self.average is not None else None,
            "optimizer": self.optimizer.state_dict(),
            "adversary": self.adversary.state() if self.adversary is not None else None,
            "loss_sums": self.loss_sums(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.adversary is not None:
            self.adversary.restore(state["adversary"])
        if self.team.is_lead:  # they are summed over the processes
            self._loss_sums = state["loss_sums"].to(self._sum_device)

    def _backward(self, batch: Sample) -> torch.Tensor:
        """Leaves the gradient of the batch's mean loss; returns (B, 6), see ``loss_sums``."""
        while True:
            self.optimizer.zero_grad(set_to_none=True)
            if self.adversary is not None:
                self.adversary.forget_gradient()
            try:
                parts = zip(*(tensor.tensor_split(self._parts) for tensor in batch), strict=True)
                return torch.cat([self._backward_part(Sample(*part), len(batch.kind)) for part in parts])
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            self._retreat(len(batch.kind))

    def _backward_part(self, batch: Sample, batch_size: int) -> torch.Tensor:
        config, device = self.config, self.team.device
        image = batch.image.contiguous(memory_format=self._memory_format)
        with torch.autocast(device.type, self.dtype, enabled=self.dtype != torch.float32):
            logits, refined = self.network.forward_with_refined_mask(image)
        channel = {name: logits[:, i].float() for i, name in enumerate(self.network.config.outputs)}
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
            config.batch_dice,
        )
        if self.adversary is not None:
            terms = terms._replace(total=terms.total + self._adversarial_loss(logits, batch))
        (terms.total.sum() / batch_size).backward()
        return torch.stack((torch.ones_like(terms.total), *terms, batch.has_vertebrae), 1).detach()

    def _adversarial_loss(self, logits: torch.Tensor, batch: Sample) -> torch.Tensor:
        drawn = {"fracture": batch.fracture, "vertebra": batch.vertebra}
        masks = torch.stack([drawn[name] for name in self.network.config.outputs], 1).float()
        return self.adversary.loss(logits.float().sigmoid(), masks, batch.known[:, None].float())

    @contextmanager
    def _random_by_step(self, number: int) -> Iterator[None]:
        """What a step drops out depends on its number alone, as its samples do: a resumed run drops the same."""
        with torch.random.fork_rng(devices=[self.team.device] if self.team.device.type == "cuda" else []):
            torch.manual_seed((self.config.seed * 1_000_003 + number) * self.team.size + self.team.rank)
            yield

    def _lose_step(self) -> None:
        self._lost_in_a_row += 1
        if self._lost_in_a_row > MOST_LOST_STEPS:
            raise UserError("The gradient is no longer a number; train with a lower learning rate or in float32.")
        self.warnings.append("The gradient of some steps was no number: they were left out.")

    def _retreat(self, batch_size: int) -> None:
        # normalization needs two samples at least
        if batch_size // (2 * self._parts) < 2:
            raise UserError(
                f"Memory of {self.team.device} ran out at {batch_size // self._parts} slices at a time: choose a "
                "smaller window or network, or the CPU."
            )
        self._parts *= 2
        self.warnings.append(
            f"Memory of {self.team.device} ran out: batches are computed in {self._parts} parts, which is slower."
        )
        if self.team.device.type == "cuda":
            torch.cuda.empty_cache()

    @torch.no_grad()
    def _update_average(self, number: int) -> None:
        if self.average is None:
            return
        decay = min(self.config.ema_decay, (1 + number) / (10 + number))  # the first weights are soon forgotten
        current = self.network.state_dict()
        for name, kept in self.average.state_dict().items():
            if kept.is_floating_point():
                kept.lerp_(current[name], 1 - decay)
            else:
                kept.copy_(current[name])


def _training_precision(name: str, device: torch.device) -> torch.dtype:
    if name == "float32":
        return torch.float32
    if name == "bfloat16":
        return torch.bfloat16
    # float16 would need scaled gradients; devices without bfloat16 train in float32
    return torch.bfloat16 if choose_precision(device) == torch.bfloat16 else torch.float32
