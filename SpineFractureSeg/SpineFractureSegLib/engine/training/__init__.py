"""Training on prepared cases. Needs torch, numpy, scipy and safetensors only: no SimpleITK, no MONAI.

Read in this order: ``config`` (every setting), ``split`` (which patient goes where), ``dataset`` (cases -> samples),
``augmentation`` (what a sample goes through), ``losses``, ``schedule`` (learning rate), ``validation`` (whole volumes),
``checkpoint`` (resume after a kill), ``trainer`` (the loop).
"""

from SpineFractureSegLib.engine.training.config import TrainingConfig
from SpineFractureSegLib.engine.training.split import split_by_patient
from SpineFractureSegLib.engine.training.trainer import TrainingResult, train

__all__ = ["TrainingConfig", "TrainingResult", "split_by_patient", "train"]
