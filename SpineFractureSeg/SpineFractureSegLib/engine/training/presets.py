"""The training runs that have a name: the three configurations that belong together."""

from dataclasses import dataclass

from SpineFractureSegLib.engine.network import NetworkConfig
from SpineFractureSegLib.engine.preprocessing import Preprocessing
from SpineFractureSegLib.engine.training.config import TrainingConfig


@dataclass(frozen=True)
class Preset:
    """What ``train`` needs beside cases and a folder."""

    training: TrainingConfig
    network: NetworkConfig
    preprocessing: Preprocessing


def paper() -> Preset:
    """The paper's network and protocol: width 64, single axial and sagittal slices of 256x256, the fracture alone."""
    return Preset(
        TrainingConfig(),
        NetworkConfig(),
        Preprocessing(planes=("sagittal", "axial"), plane_weights=(1.0, 1.0)),
    )


def bundled_cpu(max_minutes: float = 90.0, width: int = 16) -> Preset:
    """The bundled model on a machine without a GPU (ours): sagittal slices with neighbours, a fixed time budget.

    Args:
        max_minutes: time budget in minutes; the learning rate reaches 0 at its end.
        width: base width of the network.
    """
    context_mm = (-6.0, -3.0, 0.0, 3.0, 6.0)
    return Preset(
        TrainingConfig(
            weight_decay=1e-4,
            ema_decay=0.995,
            max_epochs=1000,  # the time budget ends the run
            slices_per_epoch=6000,
            max_minutes=max_minutes,
            early_stopping_epochs=0,
            schedule="cosine",
        ),
        NetworkConfig(
            width=width,
            input_channels=len(context_mm),
            outputs=("fracture", "vertebra"),
            decoder_skips=True,
            attention_pooling=16,  # a third faster to train on a CPU than 8
        ),
        # a grid of 1.5 mm takes a third of the time of 1 mm per window of the same size in mm
        Preprocessing(spacing_mm=1.5, context_mm=context_mm, window_size=(128, 96)),
    )
