"""Fine-tuning: a model learns from a site's own cases what this site calls a fracture, and forgets as little as it can.

Words: the *parent* is the model to start from, the *child* what comes of it. A *tuning case* is a CT with a drawn mask.
A case is *held out* when the network never trains on it: the epoch and the threshold are chosen on it, and parent and
child are compared on it. *Replay* are simulated cases, mixed in so that what the parent learned is not lost.

Read in this order: ``tuning`` (one line per step), ``settings``, ``case_list`` (what the user names), ``case_check``
(can it be used), ``hold_out`` (who trains), ``taught_cases`` (prepared, with the parent's vertebrae), ``replay``,
``training_run`` and ``run_control`` (pause and stop), ``comparison`` (before and after).
"""

from SpineFractureSegLib.engine.finetuning.case_check import CaseCheck, check_cases
from SpineFractureSegLib.engine.finetuning.case_list import TuningCase, read_cases
from SpineFractureSegLib.engine.finetuning.comparison import Comparison, HeldOutCase
from SpineFractureSegLib.engine.finetuning.estimate import Estimate, estimate
from SpineFractureSegLib.engine.finetuning.hold_out import assign_roles
from SpineFractureSegLib.engine.finetuning.settings import FinetuneSettings
from SpineFractureSegLib.engine.finetuning.tuning import FinetuneResult, finetune
from SpineFractureSegLib.engine.finetuning.tuning_progress import TuningProgress

__all__ = [
    "CaseCheck",
    "Comparison",
    "Estimate",
    "FinetuneResult",
    "FinetuneSettings",
    "HeldOutCase",
    "TuningCase",
    "TuningProgress",
    "assign_roles",
    "check_cases",
    "estimate",
    "finetune",
    "read_cases",
]
