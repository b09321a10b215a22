"""Time and memory of one segmentation, and the machine they were measured on."""

import platform
import statistics
import sys

import SimpleITK as sitk
import torch

from SpineFractureSegLib.engine.model_file import Model
from SpineFractureSegLib.engine.pipeline import segment_ct


def measure_speed(ct: sitk.Image, model: Model, device: str = "auto", repeats: int = 3) -> dict:
    """Segments the CT ``repeats`` times.

    Returns: seconds (all, median), largest memory of this process in GB since its start (None on Windows), device,
        precision, batch, threads, machine.
    """
    results = [segment_ct(ct, model, device=device) for _ in range(repeats)]
    seconds = [result.seconds for result in results]
    return {
        "size": list(ct.GetSize()),
        "spacing_mm": [round(float(value), 4) for value in ct.GetSpacing()],
        "seconds": [round(value, 2) for value in seconds],
        "seconds_median": round(statistics.median(seconds), 2),
        "peak_memory_gb": _peak_memory_gb(),
        "device": results[0].device,
        "precision": results[0].precision,
        "batch_size": results[0].batch_size,
        "threads": torch.get_num_threads(),
        "machine": f"{platform.machine()}, {platform.system()}",
        "torch": torch.__version__,
    }


def _peak_memory_gb() -> float | None:
    if sys.platform == "win32":
        return None
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux kibibytes
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9, 2)
