"""The networks of the paper's two tables, with the figures that it gives for them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.network import NetworkConfig

COMPARISON, ABLATION, OURS = "comparison", "ablation", "ours"


@dataclass(frozen=True)
class Entry:
    """One row. ``paper_dice`` and ``paper_iou`` are percent, as printed; IoU above Dice cannot be."""

    name: str  # in folders and on the command line
    title: str
    table: str  # COMPARISON, ABLATION or OURS; the proposed network heads them all
    paper_dice: float | None
    paper_iou: float | None
    changes: dict[str, Any] = field(default_factory=dict)  # of NetworkConfig
    width_divisor: int = 1  # SpineGAN is published with half the channels of the others

    def config(self, width: int) -> NetworkConfig:
        """For single slices; ``width`` is that of the proposed network."""
        return NetworkConfig(width=width // self.width_divisor, **self.changes)


ENTRIES = (
    Entry("proposed", "Proposed", COMPARISON, 91.87, 93.36),
    Entry("unet", "U-Net", COMPARISON, 83.26, 84.39, {"architecture": "unet"}),
    Entry("unet++", "U-Net++", COMPARISON, 85.92, 85.37, {"architecture": "unet++"}),
    Entry("fcn8s", "FCN-8s", COMPARISON, 84.06, 85.62, {"architecture": "fcn8s"}),
    Entry("spinegan", "SpineGAN", COMPARISON, 78.31, 75.49, {"architecture": "spinegan"}, width_divisor=2),
    Entry("segnet", "SegNet", COMPARISON, 82.95, 83.62, {"architecture": "segnet"}),
    Entry("deeplabv3+", "DeepLabv3+", COMPARISON, 87.36, 88.15, {"architecture": "deeplabv3+"}),
    Entry("without-ffm", "without FFM", ABLATION, 86.18, 87.39, {"ffm": False}),
    Entry("without-sem", "without SEM", ABLATION, 86.08, 85.62, {"sem": False}),
    Entry("without-aspp", "without ASPP", ABLATION, 79.93, 82.48, {"aspp": False}),
    Entry("without-rcbam", "without RCBAM", ABLATION, 88.69, 89.01, {"rcbam": False}),
    Entry("without-rbrab", "without RBRAB", ABLATION, 82.95, 83.17, {"rbrab": False}),
    Entry("without-lprab", "without LPRAB", ABLATION, 87.23, 86.93, {"lprab": False}),
    Entry("decoder-skips", "Proposed with decoder skips (ours)", OURS, None, None, {"decoder_skips": True}),
)


def chosen_entries(names: Sequence[str] | None) -> list[Entry]:
    """Those with these names in the order of the tables; None: the paper's thirteen.

    Raises: UserError, naming one that does not exist.
    """
    known = [entry.name for entry in ENTRIES]
    if unknown := [name for name in names or () if name not in known]:
        raise UserError(f"There is no network {unknown[0]!r}; choose of {', '.join(known)}.")
    return [entry for entry in ENTRIES if (entry.name in names if names else entry.table != OURS)]
