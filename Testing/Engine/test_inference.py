"""Batches through made networks: seams, skipped air, memory, cancel, progress, determinism."""

import numpy as np
import pytest
import torch
from torch import nn

from SpineFractureSegLib.engine.device import Placement
from SpineFractureSegLib.engine.errors import Cancelled, UserError
from SpineFractureSegLib.engine.inference import SlicePredictor, choose_planes, predict_planes
from SpineFractureSegLib.engine.intensity import normalize_hu
from SpineFractureSegLib.engine.network import FractureNetwork, NetworkConfig
from SpineFractureSegLib.engine.preprocessing import Preprocessing

PREPROCESSING = Preprocessing(window_size=(32, 32))
WHOLE = ((0, 50), (0, 40), (0, 12))


class CenterChannel(nn.Module):
    """Logit = intensity of one channel: geometry without training."""

    def __init__(self, channel: int = 0) -> None:
        super().__init__()
        self.channel = channel

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, self.channel : self.channel + 1]


class Constant(nn.Module):
    """The same logit everywhere; counts the windows it is asked for."""

    asked = 0  # of all copies: inference works on one

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        Constant.asked += len(x)
        return torch.ones_like(x[:, :1])


class OutOfMemory(nn.Module):
    """Answers as ``CenterChannel`` as long as the batch is small enough."""

    def __init__(self, largest: int) -> None:
        super().__init__()
        self.largest = largest

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > self.largest:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return x[:, :1]


@pytest.fixture
def hu():
    return np.random.default_rng(0).uniform(-200, 1100, (50, 40, 12)).astype(np.float32)


def predictor(network, preprocessing=PREPROCESSING, batch_size=4, **callbacks):
    placement = Placement(torch.device("cpu"), torch.float32, batch_size)
    return SlicePredictor(network, 1, preprocessing, placement, **callbacks)


def expected(hu):
    return 1 / (1 + np.exp(-normalize_hu(hu, PREPROCESSING.window_hu)))


@pytest.mark.parametrize("plane", ["sagittal", "axial", "coronal"])
@pytest.mark.parametrize("region", [WHOLE, ((3, 41), (7, 20), (2, 11)), ((20, 21), (20, 21), (5, 6))])
def test_a_pixelwise_network_gives_the_volume_back_in_every_plane(hu, plane, region):
    answer = predict_planes(predictor(CenterChannel()), hu, region, {plane: 1.0})
    box = tuple(slice(*axis) for axis in region)
    np.testing.assert_allclose(answer[0], expected(hu)[box], atol=1e-6)


@pytest.mark.parametrize("kind", ["int16", "read-only", "flipped"])
def test_arrays_of_any_type_and_layout_are_taken(hu, kind):
    volume = hu.astype(np.int16) if kind == "int16" else hu.copy()
    if kind == "read-only":
        volume.flags.writeable = False
    if kind == "flipped":
        volume = volume[::-1, :, ::-1]
    answer = predict_planes(predictor(CenterChannel()), volume, WHOLE, {"sagittal": 1.0})
    np.testing.assert_allclose(answer[0], expected(volume), atol=1e-6)


def test_context_channels_come_from_beyond_the_region(hu):
    preprocessing = Preprocessing(window_size=(32, 32), context_mm=(0.0, 3.0))
    region = ((0, 50), (0, 40), (4, 8))
    answer = predict_planes(predictor(CenterChannel(1), preprocessing), hu, region, {"sagittal": 1.0})
    np.testing.assert_allclose(answer[0], expected(hu)[:, :, 7:11], atol=1e-6)


def test_a_constant_answer_stays_constant_over_all_windows():
    answer = predict_planes(
        predictor(Constant()), np.zeros((90, 77, 3), np.float32), ((0, 90), (0, 77), (0, 3)), {"sagittal": 1.0}
    )
    np.testing.assert_allclose(answer, 1 / (1 + np.exp(-1)), rtol=1e-6)


def test_planes_are_fused_by_their_weights(hu):
    def only(plane):
        return predict_planes(predictor(Blur()), hu, WHOLE, {plane: 1.0})

    fused = predict_planes(predictor(Blur()), hu, WHOLE, {"sagittal": 0.75, "axial": 0.25})
    np.testing.assert_allclose(fused, 0.75 * only("sagittal") + 0.25 * only("axial"), atol=1e-6)
    assert np.abs(only("sagittal") - only("axial")).max() > 0.01


class Blur(nn.Module):
    """Along the rows of the slice only, so that planes differ."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :1].cumsum(2) / x.shape[2]


def test_windows_of_nothing_but_air_are_not_run():
    hu = np.full((32, 32, 10), -1000, np.float32)
    hu[5, 5, 4] = 100
    Constant.asked = 0
    region = ((0, 32), (0, 32), (0, 10))
    answer = predict_planes(predictor(Constant()), hu, region, {"sagittal": 1.0})[0]
    assert Constant.asked == 1
    assert (answer[:, :, 4] > 0.7).all()
    assert not np.delete(answer, 4, axis=2).any()


def test_a_window_is_run_when_only_a_context_channel_holds_anything():
    hu = np.full((32, 32, 10), -1000, np.float32)
    hu[5, 5, 4] = 100
    preprocessing = Preprocessing(window_size=(32, 32), context_mm=(-2.0, 0.0))
    answer = predict_planes(predictor(Constant(), preprocessing), hu, ((0, 32), (0, 32), (0, 10)), {"sagittal": 1.0})
    assert np.flatnonzero(answer[0].any(axis=(0, 1))).tolist() == [4, 6]


def test_without_memory_the_batch_shrinks_and_the_answer_stays_the_same(hu):
    reference = predict_planes(predictor(CenterChannel()), hu, WHOLE, {"sagittal": 1.0})
    small = predictor(OutOfMemory(largest=2), batch_size=8)
    np.testing.assert_array_equal(predict_planes(small, hu, WHOLE, {"sagittal": 1.0}), reference)
    assert small.placement.batch_size == 2
    assert [warning.rsplit(" ", 1)[1] for warning in small.warnings] == ["4.", "2."]


def test_after_a_batch_of_one_the_rest_runs_on_the_cpu(hu):
    """The meta device stands for a card without room for anything."""

    class FullCard(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.is_meta:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
            return x[:, :1]

    full = SlicePredictor(FullCard(), 1, PREPROCESSING, Placement(torch.device("meta"), torch.float32, 2))
    full._near = lambda tensor: tensor
    answer = predict_planes(full, hu, WHOLE, {"sagittal": 1.0})
    np.testing.assert_allclose(answer[0], expected(hu), atol=0.01)
    assert full.placement.device.type == "cpu"
    assert len(full.warnings) == 2


def test_a_card_without_room_for_the_weights_leaves_the_work_to_the_cpu():
    class NoRoom(CenterChannel):
        def to(self, device, *_args, **_keywords):
            if device.type != "cpu":
                raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
            return self

    moved = SlicePredictor(NoRoom(), 1, PREPROCESSING, Placement(torch.device("meta"), torch.float32, 8))
    assert moved.placement.device.type == "cpu"
    assert moved.warnings == ["Memory of meta ran out even for one window: the CPU took over."]


def test_a_cpu_without_memory_says_so_in_one_sentence(hu):
    with pytest.raises(UserError, match="Memory ran out"):
        predict_planes(predictor(OutOfMemory(largest=0)), hu, WHOLE, {"sagittal": 1.0})


def test_other_errors_of_the_network_are_not_swallowed(hu):
    with pytest.raises(RuntimeError, match="size of tensor"):
        predict_planes(predictor(Mismatch()), hu, WHOLE, {"sagittal": 1.0})


class Mismatch(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.zeros(7)


def test_cancel_is_asked_before_every_batch(hu):
    answers = iter([False, False, True])
    asked_before = Constant.asked = 0
    with pytest.raises(Cancelled):
        predict_planes(
            predictor(Constant(), batch_size=3, should_stop=lambda: next(answers)), hu, WHOLE, {"sagittal": 1.0}
        )
    assert Constant.asked - asked_before == 6


def test_progress_counts_up_to_a_total_known_from_the_start(hu):
    steps = []
    run = predictor(CenterChannel(), on_progress=lambda *step: steps.append(step))
    predict_planes(run, hu, WHOLE, {"sagittal": 0.5, "axial": 0.5})
    for stage in ("sagittal slices", "axial slices"):
        done, totals = zip(*[(done, total) for done, total, name in steps if name == stage], strict=True)
        assert len(set(totals)) == 1
        assert done[0] == 0
        assert done[-1] == totals[0]
        assert list(done) == sorted(done)


def test_the_callers_network_is_not_touched_and_two_runs_agree_bit_for_bit(hu):
    torch.manual_seed(0)
    network = FractureNetwork(NetworkConfig(width=4)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    placement = Placement(torch.device("cpu"), torch.bfloat16, 3)
    answers = [
        predict_planes(SlicePredictor(network, 1, PREPROCESSING, placement), hu, WHOLE, {"sagittal": 1.0})
        for _ in range(2)
    ]
    np.testing.assert_array_equal(answers[0], answers[1])
    assert network.training
    for name, value in network.state_dict().items():
        assert value.dtype == before[name].dtype
        assert value.stride() == before[name].stride()
        assert torch.equal(value, before[name])


def test_only_planes_the_model_was_trained_on_are_run():
    preprocessing = Preprocessing(planes=("sagittal", "axial"), plane_weights=(3.0, 1.0))
    assert choose_planes(preprocessing, None) == {"sagittal": 0.75, "axial": 0.25}
    assert choose_planes(preprocessing, ["axial"]) == {"axial": 1.0}
    for names in (["coronal"], ["sagittal", "diagonal"], []):
        with pytest.raises(UserError, match="the model knows sagittal, axial"):
            choose_planes(preprocessing, names)
