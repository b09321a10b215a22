"""The learning rate over a run, as a factor on the configured one, and the end of a run that no longer improves."""

import math
from dataclasses import dataclass


def cosine_factor(step: int, warmup_steps: int, fraction: float) -> float:
    """Linear warm-up, then a half cosine down to 0.

    Args:
        step: optimizer steps taken so far.
        warmup_steps: length of the warm-up in steps.
        fraction: share of the run that is over, of its epochs or of its time budget, in [0, 1].

    >>> [round(cosine_factor(*run), 3) for run in ((0, 10, 0.0), (9, 10, 0.0), (500, 10, 0.5), (999, 10, 1.0))]
    [0.1, 1.0, 0.5, 0.0]
    """
    warmup = min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
    return warmup * 0.5 * (1 + math.cos(math.pi * min(max(fraction, 0.0), 1.0)))


@dataclass
class Plateau:
    """Follows the validation score: keeps the best, lowers the learning rate, says when to stop.

    A score counts as better when it is higher at all; the first one always is, and nan is lower than any.
    """

    best_score: float = -math.inf
    best_epoch: int = -1
    epochs_without_better: int = 0
    epochs_on_plateau: int = 0  # since the best score or the last lowering of the learning rate
    factor: float = 1.0  # of the learning rate

    def observe(self, epoch: int, score: float, plateau_epochs: int, plateau_factor: float) -> bool:
        """Takes in the score of an epoch; returns whether it is the best so far.

        >>> plateau = Plateau()
        >>> [plateau.observe(epoch, score, 2, 0.4) for epoch, score in enumerate((0.5, 0.6, 0.6, 0.55))]
        [True, True, False, False]
        >>> plateau.factor, plateau.best_epoch, plateau.epochs_without_better
        (0.4, 1, 2)
        """
        if self.best_epoch < 0 or score > self.best_score:
            self.best_score, self.best_epoch = -math.inf if math.isnan(score) else score, epoch
            self.epochs_without_better = self.epochs_on_plateau = 0
            return True
        self.epochs_without_better += 1
        self.epochs_on_plateau += 1
        if self.epochs_on_plateau >= plateau_epochs:
            self.factor *= plateau_factor
            self.epochs_on_plateau = 0
        return False
