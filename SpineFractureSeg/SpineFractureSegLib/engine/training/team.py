"""The processes that train one network together, as ``torchrun`` starts them; usually there is one.

Every process holds the same weights and draws its part of each batch; gradients are averaged before every step. The
first process (the *lead*) keeps the clock, validates with the others' help, and alone writes files.

Every method but the properties is for all processes at once: one that raises between two of them leaves the others
waiting. What can fail in one process alone goes through ``by_lead`` or ``any``, so that all of them fail.
"""

import os
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as distributed
from torch import Tensor, nn

from SpineFractureSegLib.engine.device import choose_device
from SpineFractureSegLib.engine.errors import Cancelled, UserError, one_line

T = TypeVar("T")

# The others wait while the lead simulates thousands of cases. A process that ends is noticed all the same, by its
# closed connections or by torchrun.
_PATIENCE = timedelta(days=2)


class Team:
    """This process among those that train together.

    Args:
        device_name: as for ``choose_device``; "auto" and "cuda" are another GPU for each process of a machine.

    Attributes:
        device: that this process trains on.
        size: number of processes.
        rank: of this process, from 0.

    Raises: UserError, when the device does not exist here.
    """

    def __init__(self, device_name: str = "auto") -> None:
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        if self.size > 1 and device_name in ("auto", "cuda") and torch.cuda.is_available():
            device_name = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        self.device, _ = choose_device(device_name)
        if self.size > 1 and not distributed.is_initialized():
            backend = "gloo"
            if self.device.type == "cuda":
                torch.cuda.set_device(self.device)
                backend = "cpu:gloo,cuda:nccl"  # Python objects need not pass through the GPUs
            distributed.init_process_group(backend, timeout=_PATIENCE)
        self.rank = distributed.get_rank() if self.size > 1 else 0

    @property
    def is_lead(self) -> bool:
        return self.rank == 0

    def by_lead(self, work: Callable[[], T]) -> T:
        """What ``work`` returns in the lead, in every process; the others do not call it and wait.

        Raises: in the lead what ``work`` raises, in the others UserError or Cancelled.
        """
        if self.size == 1:
            return work()
        if not self.is_lead:
            result, failure = self.from_lead(None)
            if failure is not None:
                raise failure
            return result
        try:
            result = work()
        except BaseException as error:
            stopped = isinstance(error, (Cancelled, KeyboardInterrupt))
            failure = Cancelled(str(error)) if stopped else UserError(f"The lead process failed: {one_line(error)}.")
            self.from_lead((None, failure))
            raise
        self.from_lead((result, None))
        return result

    def from_lead(self, value: Any) -> Any:
        """The lead's value, in every process."""
        if self.size == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0)
        return box[0]

    def gathered(self, values: list) -> list:
        """All processes' values in order of rank, for the lead; nothing for the others."""
        if self.size == 1:
            return values
        everyone = [None] * self.size if self.is_lead else None
        distributed.gather_object(values, everyone, dst=0)
        return [value for part in everyone or [] for value in part]

    def any(self, condition: bool) -> bool:
        """Whether it holds in one process at least."""
        return bool(self.sum(torch.tensor([int(condition)])).item())

    def sum(self, tensor: Tensor) -> Tensor:
        """Over all processes; the tensor itself where there is one."""
        if self.size == 1:
            return tensor
        total = tensor.clone()
        distributed.all_reduce(total)
        return total

    def average_gradients(self, network: nn.Module) -> None:
        """Every process then has the mean gradient over the whole batch."""
        self._average([p.grad for p in network.parameters() if p.grad is not None])

    def average_statistics(self, network: nn.Module) -> None:
        """The running means and variances of normalization layers, which each process gathered of its own samples.

        When it is done changes nothing, as both are linear in what was gathered.
        """
        self._average([buffer for buffer in network.buffers() if buffer.is_floating_point()])

    def _average(self, tensors: Iterable[Tensor]) -> None:
        tensors = list(tensors)
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        distributed.all_reduce(flat)
        flat /= self.size
        for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(mean.view_as(tensor))
