"""The few settings of a fine-tuning run, and the training configuration that they stand for."""

import math
import sys
from dataclasses import dataclass
from pathlib import Path

from SpineFractureSegLib.engine.training.config import Balance, TrainingConfig

_REAL_NEGATIVE_SHARE = 1 / 3  # of the replay, where there are real CTs without fracture
_FRACTURED_SHARE = 0.45  # of the other slices; more than 40 % of all push the network towards yes
_PARTS_SHARE = 0.2  # of the fractured slices, where bodies and parts are fractured: parts would be forgotten first


@dataclass(frozen=True)
class FinetuneSettings:
    """How a model is fine-tuned.

    Raises: ValueError, when a field cannot be used; the message quotes it.
    """

    minutes: float | None = 10.0  # time budget of training; None: ``epochs`` alone end it, and a seed gives one model
    epochs: int = 20  # at most; the best one is kept
    slices_per_epoch: int = 800  # slices drawn between two validations
    learning_rate: float = 1e-4  # a tenth of the parent's
    mix: float = 0.3  # share of the training slices that are replay, against forgetting
    replay_cases: int = 16  # simulated cases that this share is drawn from
    seed: int = 0  # of the held-out choice, the replay and every sample
    device: str = "auto"
    library: Path | None = None  # spines to simulate on; None: the clone's shape library, else those in the package
    name: str = ""  # of the new model; empty: its file's
    label_meaning: str = ""  # what a drawn voxel is; empty: "as drawn by the owner of the cases"
    whole_bodies: bool = False  # the masks are whole vertebral bodies, as the parent's labels are

    def __post_init__(self) -> None:
        self._require("minutes", self.minutes is None or 0 < self.minutes < math.inf, "must be positive or None")
        for name in ("epochs", "slices_per_epoch", "learning_rate"):
            self._require(name, 0 < getattr(self, name) < math.inf, "must be positive")
        self._require("mix", 0 <= self.mix < 1, "must be a share in [0, 1)")
        self._require("replay_cases", self.replay_cases > 0, "must be positive; a mix of 0 leaves replay out")
        self._require("seed", self.seed >= 0, "must not be negative")

    def _require(self, name: str, holds: bool, rule: str) -> None:
        if not holds:
            raise ValueError(f"{name} {rule}, not {getattr(self, name)}")


def training_config(settings: FinetuneSettings, real_negatives: bool) -> TrainingConfig:
    """The trainer's configuration.

    Args:
        settings: of the user.
        real_negatives: whether the replay holds real CTs without fracture.
    """
    return TrainingConfig(
        learning_rate=settings.learning_rate,
        weight_decay=1e-4,
        ema_decay=0.99,
        max_epochs=settings.epochs,
        slices_per_epoch=settings.slices_per_epoch,
        max_minutes=settings.minutes,
        early_stopping_epochs=0,
        schedule="cosine",
        warmup_steps=50,
        balance=balance(settings.mix, real_negatives),
        workers=1 if sys.platform == "linux" else 0,  # elsewhere a worker gets its own copy of all cases
        validation_slice_step=2,
        validation_negative_slice_step=4,
        seed=settings.seed,
        checkpoint_minutes=1.0,
    )


def balance(mix: float, real_negatives: bool) -> Balance:
    """What the training slices show, so that ``mix`` of them are replay: simulated slices and real negatives.

    The user's CTs count as scanned, simulated ones do not: that tells the two apart.

    >>> shares = balance(0.3, real_negatives=True)
    >>> replay = shares.real_negative + (shares.fractured + shares.intact) * (1 - shares.scanned)
    >>> round(replay, 6), round(shares.real_negative, 6)
    (0.3, 0.1)
    """
    real = mix * _REAL_NEGATIVE_SHARE if real_negatives else 0.0
    rest = 1 - real
    return Balance(
        fractured=rest * _FRACTURED_SHARE,
        intact=rest * (1 - _FRACTURED_SHARE),
        real_negative=real,
        parts=_PARTS_SHARE,
        scanned=1 - (mix - real) / rest,
    )
