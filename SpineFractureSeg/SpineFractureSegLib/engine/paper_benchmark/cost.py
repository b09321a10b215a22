"""What a network costs: parameters, arithmetic and time for one slice."""

import time
from dataclasses import dataclass
from statistics import median

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from SpineFractureSegLib.engine.device import choose_device, choose_precision
from SpineFractureSegLib.engine.network import NetworkConfig, SliceNetwork, build_network, fuse_for_inference


@dataclass(frozen=True)
class Cost:
    """Of one window."""

    parameters: int
    gflops: float  # multiplications and additions apart, of convolutions and products of matrices
    ms_cpu: float
    ms_gpu: float | None  # None without a GPU


def measure_cost(config: NetworkConfig, window_size: tuple[int, int], device: str, repeats: int) -> Cost:
    """Builds the network with random weights and runs one window at a time, as the pipeline does.

    Args:
        config: of the network.
        window_size: rows, columns.
        device: of the training; a GPU is timed beside the CPU.
        repeats: runs whose median counts.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network(config).eval()
    chosen, _ = choose_device(device)
    window = torch.zeros(1, config.input_channels, *window_size)
    # the counter knows attention as two products of matrices, not as the one operation that CPUs have
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        network(window)
    return Cost(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        gflops=(counter.get_total_flops() + _lstm_flops(network, window_size)) / 1e9,
        ms_cpu=_milliseconds(network, window, torch.device("cpu"), repeats),
        ms_gpu=_milliseconds(network, window, chosen, repeats) if chosen.type != "cpu" else None,
    )


def _lstm_flops(network: SliceNetwork, window_size: tuple[int, int]) -> int:
    """Of SpineGAN's recurrent layer, which the counter passes over."""
    lstms = [module for module in network.modules() if isinstance(module, torch.nn.LSTM)]
    steps = window_size[0] * window_size[1] // 256  # one per 16x16 pixels
    weights = sum(p.numel() for lstm in lstms for name, p in lstm.named_parameters() if name.startswith("weight"))
    return 2 * steps * weights


@torch.inference_mode()
def _milliseconds(network: SliceNetwork, window: torch.Tensor, device: torch.device, repeats: int) -> float:
    precision = choose_precision(device)
    fused = fuse_for_inference(network).to(device, precision, memory_format=torch.channels_last)
    window = window.to(device, precision).contiguous(memory_format=torch.channels_last)
    seconds = []
    for _ in range(repeats + 1):  # the first one is slower
        start = time.perf_counter()
        fused(window).float().cpu()  # waits for a GPU
        seconds.append(time.perf_counter() - start)
    return 1000 * median(seconds[1:])
