"""The discriminator that SpineGAN is trained against: it learns to tell drawn masks from the network's answers."""

from typing import Any

import torch
from torch.nn import functional as F

from SpineFractureSegLib.engine.network.baselines.spinegan import Discriminator
from SpineFractureSegLib.engine.network.config import NetworkConfig
from SpineFractureSegLib.engine.training.team import Team

_LEARNING_RATE, _BETAS = 1e-4, (0.5, 0.999)  # Adam's, of SpineGAN's authors


class Adversary:
    """A discriminator with its own optimizer, the same in every process of the team.

    Pixels of which nothing is known are 0 in both masks. A batch gives it one step, before the network's.

    Args:
        config: of the network that it judges.
        seed: of its first weights.
        team: on whose device it is.
    """

    def __init__(self, config: NetworkConfig, seed: int, team: Team) -> None:
        self.team = team
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.discriminator = Discriminator(len(config.outputs), config.width).to(team.device)
        self.optimizer = torch.optim.Adam(self.discriminator.parameters(), _LEARNING_RATE, _BETAS)

    def loss(self, probability: torch.Tensor, drawn: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        """What the network adds to its loss: how sure the discriminator is that its masks are not drawn.

        Also leaves the gradient of the discriminator's own loss, to which later parts of a batch add.

        Args:
            probability: (B, outputs, H, W), the network's.
            drawn: (B, outputs, H, W), 0 or 1.
            known: (B, 1, H, W), 0 or 1.

        Returns: (B,), cross-entropy.
        """
        made, drawn = probability * known, drawn * known
        for masks, truth in ((drawn, 1.0), (made.detach(), 0.0)):
            self._cross_entropy(masks, truth).mean().backward()
        self.discriminator.requires_grad_(False)
        loss = self._cross_entropy(made, 1.0)
        self.discriminator.requires_grad_(True)
        return loss

    def forget_gradient(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)

    def step(self) -> None:
        """One step along the gradient that ``loss`` left, averaged over the processes."""
        self.team.average_gradients(self.discriminator)
        self.optimizer.step()

    def state(self) -> dict[str, Any]:
        """What ``restore`` takes; the same in every process."""
        self.team.average_statistics(self.discriminator)
        return {"discriminator": self.discriminator.state_dict(), "optimizer": self.optimizer.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        self.discriminator.load_state_dict(state["discriminator"])
        self.optimizer.load_state_dict(state["optimizer"])

    def _cross_entropy(self, masks: torch.Tensor, truth: float) -> torch.Tensor:
        """(B,)"""
        logits = self.discriminator(masks)
        return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, truth), reduction="none")
