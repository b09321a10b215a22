"""Every setting of a training run. The defaults are the paper's protocol where it states one.

Marks: *paper* is stated in its text; *ours* is where it is silent or where we do otherwise. The label policy and the
numbers of the balance come from trials with simulated fractures.
"""

from dataclasses import dataclass, field

from SpineFractureSegLib.engine.training.augmentation import Augmentation

SCHEDULES = ("plateau", "cosine")
PRECISIONS = ("auto", "float32", "bfloat16")
OBSERVED_SCORES = ("dice_pooled", "dice_mean", "last")


@dataclass(frozen=True)
class Balance:
    """Shares of the training slices by what they show; they are scaled to sum to 1, and empty kinds drop out.

    More than 40 % slices with a fracture push the network towards yes; too few real slices without one leave it
    painting bodies of real CT.
    """

    fractured: float = 0.40  # share of slices with a fracture
    intact: float = 0.35  # share of slices without, from labelled cases (simulated intact vertebrae, or lateral slices)
    real_negative: float = 0.25  # share of slices of real CT without any fracture
    lateral: float = 0.20  # part of ``intact`` that goes to slices without vertebral bodies
    # part of ``fractured`` that goes to slices where an arch, a process or the dens is fractured and no body; None: as
    # many as there are. They are few and small: unasked, a network learns that there is nothing outside of bodies
    parts: float | None = None
    # 0: every slice with a fracture is drawn alike, 1: every lesion is, in however few slices it lies; 0.5: between
    lesion_evenness: float = 0.0
    scanned: float | None = None  # part of ``fractured`` and of ``intact`` from real CTs; None: as many as there are

    def __post_init__(self) -> None:
        shares = (self.fractured, self.intact, self.real_negative)
        if min(shares) < 0 or sum(shares) <= 0:
            raise ValueError(f"balance must be shares of at least 0 with a positive sum, not {shares}")
        if not 0 <= self.lateral <= 1:
            raise ValueError(f"lateral must be a share in [0, 1], not {self.lateral}")
        if not 0 <= self.lesion_evenness <= 1:
            raise ValueError(f"lesion_evenness must be in [0, 1], not {self.lesion_evenness}")
        for name in ("parts", "scanned"):
            share = getattr(self, name)
            if share is not None and not 0 <= share <= 1:
                raise ValueError(f"{name} must be a share in [0, 1] or None, not {share}")


@dataclass(frozen=True)
class TrainingConfig:
    """How a network is trained.

    Raises: ValueError, when a field cannot be used; the message quotes it.
    """

    # optimization
    learning_rate: float = 1e-3  # Adam's step size; paper
    batch_size: int = 16  # slices; paper
    weight_decay: float = 0.0  # decoupled (AdamW), per step and unit of learning rate; 0 is plain Adam, the paper's
    gradient_clip: float = 2.0  # largest L2 norm of a step's gradient; 0 is off; ours
    ema_decay: float = 0.0  # weights kept as a moving average with this decay per step; 0 is off, the paper's
    # length and learning rate
    max_epochs: int = 150  # epochs; paper
    slices_per_epoch: int = 8000  # slices drawn in one epoch; ours, the paper goes once through its images
    max_minutes: float | None = None  # time budget in minutes, over all resumed parts; None is off; ours
    early_stopping_epochs: int = 5  # epochs without a better validation score before the end; 0 is off; paper
    schedule: str = "plateau"  # "plateau" (paper) or "cosine" (ours: linear warm-up, then a half cosine down to 0)
    plateau_factor: float = 0.4  # learning rate is multiplied by it on a plateau; paper
    plateau_epochs: int = 2  # epochs without a better score that make a plateau; ours, the paper does not state it
    warmup_steps: int = 100  # optimizer steps of the cosine's linear warm-up; ours
    # data
    split: tuple[float, float, float] = (0.70, 0.10, 0.20)  # shares of patients: train, validation, test; paper
    balance: Balance = field(default_factory=Balance)  # what the slices of an epoch show; ours
    augmentation: Augmentation = field(default_factory=Augmentation)  # how they vary; ours
    workers: int = 1  # processes that prepare samples; 0 prepares them in the training process
    # loss
    vertebra_loss_weight: float = 0.3  # weight of the vertebra channel beside the fracture's 1; ours
    refined_mask_loss_weight: float = 0.3  # weight of RBRAB's refined mask (deep supervision); 0 leaves it out; ours
    # Dice over all slices that are computed together, a process' part of a batch, instead of slice by slice: slices
    # without a fracture then pull down less what is uncertain; ours
    batch_dice: bool = False
    # validation
    validation_slice_step: int = 4  # every n-th slice of a case is scored after an epoch
    validation_negative_slice_step: int = 8  # the same for real CT without fracture
    # chooses the best weights, lowers the learning rate and ends the run: "dice_pooled", over the voxels of all cases,
    # those without fracture included, or "dice_mean", by case with a fracture; "last": every epoch counts as better
    observed_score: str = "dice_pooled"  # ours
    # running
    seed: int = 0  # of initial weights and of every sample
    precision: str = "auto"  # "float32", "bfloat16", or "auto": bfloat16 where the device computes in it natively
    channels_last: bool = True  # memory format; the same numbers, up to 2.5 times as fast on a CPU
    checkpoint_minutes: float = 5.0  # minutes between checkpoints inside an epoch; one follows every epoch anyway
    tensorboard: bool = False  # the numbers of log.csv for TensorBoard as well; needs the package tensorboard

    def __post_init__(self) -> None:
        for name in ("learning_rate", "batch_size", "max_epochs", "slices_per_epoch", "plateau_epochs"):
            self._require(name, getattr(self, name) > 0, "must be positive")
        for name in ("validation_slice_step", "validation_negative_slice_step", "checkpoint_minutes"):
            self._require(name, getattr(self, name) > 0, "must be positive")
        for name in ("weight_decay", "gradient_clip", "early_stopping_epochs", "warmup_steps", "workers", "seed"):
            self._require(name, getattr(self, name) >= 0, "must not be negative")
        for name in ("vertebra_loss_weight", "refined_mask_loss_weight"):
            self._require(name, getattr(self, name) >= 0, "must not be negative")
        self._require("max_minutes", self.max_minutes is None or self.max_minutes > 0, "must be positive or None")
        self._require("ema_decay", 0 <= self.ema_decay < 1, "must be in [0, 1)")
        self._require("plateau_factor", 0 < self.plateau_factor < 1, "must be in (0, 1)")
        self._require("schedule", self.schedule in SCHEDULES, f"must be one of {SCHEDULES}")
        self._require("precision", self.precision in PRECISIONS, f"must be one of {PRECISIONS}")
        self._require("observed_score", self.observed_score in OBSERVED_SCORES, f"must be one of {OBSERVED_SCORES}")
        followed = self.schedule == "cosine" and not self.early_stopping_epochs
        self._require(
            "observed_score",
            self.observed_score != "last" or followed,
            "must be a score where it ends or slows the run",
        )
        self._require("split", len(self.split) == 3 and min(self.split) >= 0, "must be three shares of at least 0")
        self._require("split", abs(sum(self.split) - 1) < 1e-6, "must sum to 1")

    def _require(self, name: str, holds: bool, rule: str) -> None:
        if not holds:
            raise ValueError(f"{name} {rule}, not {getattr(self, name)}")
