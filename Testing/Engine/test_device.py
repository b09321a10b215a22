"""Device, precision and what to do without memory: decisions only, no accelerator is needed."""

import pytest
import torch

from SpineFractureSegLib.engine import device as device_module
from SpineFractureSegLib.engine.device import (
    Placement,
    choose_device,
    choose_placement,
    choose_precision,
    smaller_placement,
)
from SpineFractureSegLib.engine.errors import UserError

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture
def no_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def one_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)


@pytest.mark.usefixtures("no_cuda")
def test_auto_is_the_cpu_without_cuda():
    assert choose_device("auto") == (CPU, [])


@pytest.mark.usefixtures("one_cuda")
def test_auto_falls_back_to_the_cpu_with_a_warning_when_the_card_cannot_be_used(monkeypatch):
    def broken(*_args, **_keywords):
        raise RuntimeError("CUDA error: no kernel image is available\nmore lines")

    monkeypatch.setattr(torch, "ones", broken)
    device, warnings = choose_device("auto")
    assert device == CPU
    assert warnings == [
        "The graphics card cannot be used (CUDA error: no kernel image is available); the CPU was used."
    ]


@pytest.mark.usefixtures("no_cuda")
@pytest.mark.parametrize("name", ["cuda", "cuda:1", "gpu", "cpu:0", "cuda:x", "", "CPU"])
def test_a_named_device_that_is_not_there_is_refused_not_replaced(name):
    with pytest.raises(UserError, match="evice"):
        choose_device(name)


@pytest.mark.usefixtures("one_cuda")
def test_cuda_devices_are_taken_by_number():
    assert choose_device("cuda:0")[0] == CUDA
    with pytest.raises(UserError, match="torch finds 1"):
        choose_device("cuda:1")


def test_mps_is_only_for_those_who_ask(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("auto")[0] == CPU
    assert choose_device("mps")[0] == torch.device("mps")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UserError, match="Apple"):
        choose_device("mps")


@pytest.mark.parametrize(
    ("capability", "precision"), [((6, 1), torch.float32), ((7, 5), torch.float16), ((9, 0), torch.bfloat16)]
)
def test_cuda_precision_follows_the_hardware(monkeypatch, capability, precision):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    assert choose_precision(CUDA) == precision


@pytest.mark.parametrize(("native", "precision"), [(True, torch.bfloat16), (False, torch.float32)])
def test_the_cpu_uses_bfloat16_only_where_it_is_native(monkeypatch, native, precision):
    monkeypatch.setattr(device_module, "_cpu_computes_bfloat16", lambda: native)
    assert choose_precision(CPU) == precision


def test_mps_runs_in_float32():
    assert choose_precision(torch.device("mps")) == torch.float32


def test_the_batch_size_is_the_callers_or_the_devices():
    assert choose_placement("cpu", 5)[0].batch_size == 5
    assert choose_placement("cpu")[0].batch_size == device_module.DEFAULT_BATCH_SIZE["cpu"]
    with pytest.raises(UserError, match="batch size"):
        choose_placement("cpu", 0)


def test_without_memory_the_batch_is_halved_and_then_the_cpu_takes_over():
    placement, batches = Placement(CUDA, torch.bfloat16, 5), []
    while placement.device == CUDA:
        placement, warning = smaller_placement(placement)
        assert "ran out" in warning
        batches.append(placement.batch_size)
    assert batches[:2] == [2, 1]
    assert placement == choose_placement("cpu")[0]
    assert "CPU" in warning


def test_the_cpu_without_memory_for_one_window_is_the_end():
    with pytest.raises(UserError, match="Memory ran out"):
        smaller_placement(Placement(CPU, torch.float32, 1))
