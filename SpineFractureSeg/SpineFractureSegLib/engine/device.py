"""Where the network runs, in which number format and how many windows at once: the fastest that is safe here.

*Precision*: the format of weights and activations. Half formats are chosen only where the hardware computes in them;
emulated ones are slower than float32. *Placement*: device, precision and batch size together.
"""

from dataclasses import dataclass, replace

import torch

from SpineFractureSegLib.engine.errors import UserError

# Windows per batch. On a CPU more gain nothing, and the user's cancel waits for one batch.
DEFAULT_BATCH_SIZE = {"cpu": 2, "cuda": 16, "mps": 4}


@dataclass(frozen=True)
class Placement:
    """Where and how batches run."""

    device: torch.device
    precision: torch.dtype
    batch_size: int  # windows per batch

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {self.batch_size}")

    @property
    def precision_name(self) -> str:
        """The precision as reported to the user, for example "bfloat16"."""
        return str(self.precision).removeprefix("torch.")


def choose_placement(device_name: str = "auto", batch_size: int | None = None) -> tuple[Placement, list[str]]:
    """The placement on this device, with its usual batch size where none is given, and warnings.

    Raises: UserError, when the device does not exist here or the batch is empty.
    """
    if batch_size is not None and batch_size < 1:
        raise UserError(f"The batch size must be at least 1, not {batch_size}.")
    device, warnings = choose_device(device_name)
    return Placement(device, choose_precision(device), batch_size or DEFAULT_BATCH_SIZE[device.type]), warnings


def smaller_placement(placement: Placement) -> tuple[Placement, str]:
    """What to try when the memory did not suffice, and the warning: half the batch, after a batch of one the CPU.

    Raises: UserError, when one window at a time on the CPU is too much.
    """
    if placement.batch_size > 1:
        smaller = replace(placement, batch_size=placement.batch_size // 2)
        return smaller, f"Memory of {placement.device} ran out: the batch was reduced to {smaller.batch_size}."
    if placement.device.type != "cpu":
        cpu, _ = choose_placement("cpu")
        return cpu, f"Memory of {placement.device} ran out even for one window: the CPU took over."
    raise UserError("Memory ran out at one window at a time: close other programs or crop the CT.")


def choose_device(name: str = "auto") -> tuple[torch.device, list[str]]:
    """The device of this name, and what the user should know about the choice.

    Args:
        name: "auto" (a working CUDA device, else the CPU), "cpu", "cuda", "cuda:N" or "mps" (never chosen by "auto":
            its results are not tested).

    Raises: UserError, when the device does not exist here: a named device is never replaced silently.
    """
    if name == "auto":
        return _working_cuda_or_cpu()
    kind, _, index = name.partition(":")
    if kind == "cpu" and not index:
        return torch.device("cpu"), []
    if kind == "mps" and not index:
        if not torch.backends.mps.is_available():
            raise UserError('Device "mps" needs a Mac with Apple silicon; use "auto" or "cpu".')
        return torch.device("mps"), []
    if kind == "cuda" and (not index or index.isdecimal()):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(index or 0) >= count:
            raise UserError(
                f'Device "{name}" was asked for, but torch finds {count} CUDA devices; use "auto" or "cpu".'
            )
        return torch.device(name), []
    raise UserError(f'Unknown device "{name}"; use auto, cpu, cuda, cuda:N or mps.')


def choose_precision(device: torch.device) -> torch.dtype:
    """The fastest safe number format of the device: bfloat16, float16 or float32."""
    if device.type == "cuda":
        major, _ = torch.cuda.get_device_capability(device)
        if major >= 8:
            return torch.bfloat16
        return torch.float16 if major >= 7 else torch.float32
    if device.type == "cpu" and _cpu_computes_bfloat16():
        return torch.bfloat16
    return torch.float32


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch raised it because memory did not suffice, on whatever device."""
    # Apple's backend and the CPU's allocator raise plain RuntimeErrors
    return isinstance(error, torch.OutOfMemoryError) or any(
        words in str(error) for words in ("out of memory", "can't allocate memory")
    )


def _working_cuda_or_cpu() -> tuple[torch.device, list[str]]:
    if not torch.cuda.is_available():
        return torch.device("cpu"), []
    device = torch.device("cuda")
    try:
        torch.ones(1, device=device).add(1).item()
    except RuntimeError as error:  # too old for this torch, or all of its memory is taken
        reason = str(error).splitlines()[0]
        return torch.device("cpu"), [f"The graphics card cannot be used ({reason}); the CPU was used."]
    return device, []


def _cpu_computes_bfloat16() -> bool:
    # torch has no public query for these two instruction sets
    queries = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, query, bool)() for query in queries)
