"""Training on prepared cases. Needs torch, numpy, scipy, safetensors, and pillow for the report; no SimpleITK or MONAI.

Read in this order: ``config`` (every setting), ``settings`` (the same as a file), ``split`` (which patient goes where),
``dataset`` (cases -> samples), ``augmentation`` (what a sample goes through), ``losses``, ``adversary`` (SpineGAN's
discriminator), ``learner`` (one step), ``schedule`` (learning rate), ``validation`` (whole volumes), ``team`` (several
processes), ``run_folder`` (what is kept), ``trainer`` (the loop), ``epoch_log`` and ``report`` (what is told of it).
"""

from SpineFractureSegLib.engine.training.config import TrainingConfig
from SpineFractureSegLib.engine.training.split import split_by_patient
from SpineFractureSegLib.engine.training.trainer import TrainingResult, train

__all__ = ["TrainingConfig", "TrainingResult", "split_by_patient", "train"]
