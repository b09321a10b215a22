"""The processes that train one network together, as ``torchrun`` starts them; usually there is one.

Every process holds the same weights and draws its part of each batch; gradients are averaged before every step. The
first process (the *lead*) keeps the clock, validates with the others' help, and alone writes files.
"""

import os
from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as distributed
from torch import Tensor, nn


def own_device(name: str) -> str:
    """The device of this process: on a machine with several GPUs "auto" is another one for each."""
    if name == "auto" and "LOCAL_RANK" in os.environ and torch.cuda.is_available():
        return f"cuda:{os.environ['LOCAL_RANK']}"
    return name


class Team:
    """This process among those that train together.

    Args:
        device: that this process trains on; decides how the processes talk (NCCL between CUDA devices, else Gloo).
    """

    def __init__(self, device: torch.device) -> None:
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        if self.size > 1 and not distributed.is_initialized():
            distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        self.rank = distributed.get_rank() if self.size > 1 else 0
        self._device = device

    @property
    def is_lead(self) -> bool:
        return self.rank == 0

    def average_gradients(self, network: nn.Module) -> None:
        """Every process then has the mean gradient over the whole batch."""
        if self.size > 1:
            gradients = [p.grad for p in network.parameters() if p.grad is not None]
            self._average(gradients)

    def average_statistics(self, network: nn.Module) -> None:
        """The running means and variances of normalization layers, which each process gathered of its own samples."""
        if self.size > 1:
            self._average([buffer for buffer in network.buffers() if buffer.is_floating_point()])

    def sum(self, tensor: Tensor) -> Tensor:
        """Over all processes; the tensor itself where there is one."""
        if self.size == 1:
            return tensor
        total = tensor.clone().to(self._device)
        distributed.all_reduce(total)
        return total.to(tensor.device)

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

    def _average(self, tensors: Iterable[Tensor]) -> None:
        tensors = list(tensors)
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        distributed.all_reduce(flat)
        flat /= self.size
        for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(mean.view_as(tensor))
