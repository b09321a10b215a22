"""The training runs that have a name: settings that belong together, from the files of ``Resources/Training``."""

from SpineFractureSegLib.engine.training.settings import Settings, read_preset


def paper() -> Settings:
    """The paper's network and protocol: width 64, single axial and sagittal slices of 256x256, the fracture alone."""
    return read_preset("paper")


def bundled_cpu() -> Settings:
    """The bundled model on a machine without a GPU (ours): sagittal slices with neighbors, a fixed time budget."""
    return read_preset("bundled")
