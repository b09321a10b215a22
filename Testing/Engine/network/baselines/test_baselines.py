"""The networks of the paper's Table 2: they have their publications' sizes, learn, and answer like any other."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from SpineFractureSegLib.engine.inference import SlicePredictor
from SpineFractureSegLib.engine.model_file import ModelCard, load_model, save_model
from SpineFractureSegLib.engine.network import ARCHITECTURES, NetworkConfig, build_network, fuse_for_inference
from SpineFractureSegLib.engine.network.baselines.fcn8s import _bilinear_enlargement
from SpineFractureSegLib.engine.network.baselines.resnet50 import ResNet50
from SpineFractureSegLib.engine.network.baselines.segnet import _unpooled
from SpineFractureSegLib.engine.network.baselines.vgg16 import vgg16_blocks
from SpineFractureSegLib.engine.preprocessing import Preprocessing

BASELINES = ARCHITECTURES[1:]


def _network(name, *, width=4, channels=3, outputs=("fracture", "vertebra")):
    torch.manual_seed(0)
    return build_network(NetworkConfig(architecture=name, width=width, input_channels=channels, outputs=outputs))


def _slices(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1))


def _count(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize(
    "size", [(16, 16), (16, 80), (48, 32)]
)  # all but the last have odd lengths below a stride of 16
def test_output_has_the_size_of_the_slice_and_the_configured_channels(name, size):
    network = _network(name).eval()
    with torch.no_grad():
        logits, refined = network.forward_with_refined_mask(_slices(2, 3, *size))
    assert logits.shape == (2, 2, *size)
    assert refined is None


@pytest.mark.parametrize("name", BASELINES)
def test_steps_lower_the_loss_and_gradients_reach_every_parameter(name):
    network = _network(name)
    x = _slices(2, 3, 32, 32)
    truth = torch.zeros(2, 2, 32, 32)
    truth[:, :, 8:24, 8:24] = 1
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    losses = []
    for step in range(6):
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(network(x), truth)
        loss.backward()
        if step == 0:
            assert [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.95 * losses[0], losses


@pytest.mark.parametrize("name", BASELINES)
def test_a_batch_gives_what_its_slices_give_alone(name):
    network = _network(name).eval()
    x = _slices(3, 3, 32, 48)
    with torch.no_grad():
        alone = torch.cat([network(one[None]) for one in x])
        torch.testing.assert_close(network(x), alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", BASELINES)
def test_what_is_fused_for_inference_answers_the_same(name):
    network = _network(name)
    with torch.no_grad():
        network(_slices(4, 3, 32, 32) * 3)  # running statistics that are not those of the start
    network.eval()
    x = _slices(2, 3, 32, 32)
    fused = fuse_for_inference(network)
    with torch.no_grad():
        torch.testing.assert_close(fused(x), network(x), atol=1e-4, rtol=1e-4)
    folded = [isinstance(module, nn.BatchNorm2d) for module in fused.modules()]
    assert not any(folded)


@pytest.mark.parametrize("name", BASELINES)
def test_half_precision_and_channels_last_stay_near_fp32(name):
    network = _network(name)
    x = _slices(4, 3, 64, 64)
    with torch.autocast("cpu", torch.bfloat16):
        network(x.contiguous(memory_format=torch.channels_last)).float().square().mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())
    network.eval()
    with torch.no_grad():
        exact = network(x)
        half = fuse_for_inference(network).to(torch.bfloat16, memory_format=torch.channels_last)
        rounded = half(x.to(torch.bfloat16).contiguous(memory_format=torch.channels_last)).float()
    assert (rounded - exact).abs().mean() < 0.1 * exact.std() + 0.01 * exact.abs().mean()


# The publications count biases where these networks have scale and shift of a batch norm: half a percent at most.
@pytest.mark.parametrize(
    ("name", "width", "millions", "decimals"),
    [
        ("unet", 32, 7.76, 0.01),  # Zhou et al. 2018, Table 2
        ("unet++", 32, 9.04, 0.01),  # the same
        ("unet", 64, 31.0, 0.1),  # Ronneberger et al. 2015, counted from its Figure 1
        ("fcn8s", 64, 134, 0.5),  # Shelhamer et al. 2017, Table 1
        ("segnet", 64, 29.5, 0.1),  # Badrinarayanan et al. 2017, Table 6
    ],
)
def test_parameter_counts_are_those_published(name, width, millions, decimals):
    with torch.device("meta"):
        network = _network(name, width=width, channels=1, outputs=("fracture",))
    assert _count(network) / 1e6 == pytest.approx(millions, abs=decimals)


def test_encoders_have_their_published_parameters():
    with torch.device("meta"):
        vgg, resnet = vgg16_blocks(3, 64), ResNet50(3, 64)
    # torchvision's vgg16_bn, its three fully connected layers and the 4224 biases before batch norms taken off
    assert _count(vgg) == 138_365_992 - (25088 * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * 1000 + 1000) - 4224
    assert _count(resnet) == 25_557_032 - 2048 * 1000 - 1000  # torchvision's resnet50 without its last layer


def test_unpooling_is_torchs_own_for_odd_lengths_too():
    x = _slices(2, 3, 7, 10)
    pooled, indices = F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)
    expected = F.max_unpool2d(pooled, indices, 2, output_size=(7, 10))
    assert torch.equal(_unpooled(pooled, x.shape[2:], indices), expected)


def test_learned_enlargement_begins_as_bilinear():
    x = _slices(1, 2, 5, 6)
    expected = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    with torch.no_grad():  # beyond the border the transposed convolution meets zeros
        torch.testing.assert_close(_bilinear_enlargement(2)(x)[:, :, 1:-1, 1:-1], expected[:, :, 1:-1, 1:-1])


def test_the_recurrent_layer_hears_the_whole_map_in_both_directions():
    local = _network("spinegan").eval().local
    x = _slices(1, 16, 24, 24)
    with torch.no_grad():
        for changed_part, heard_part in (((0, 4), (16, 24)), ((20, 24), (0, 8))):
            changed = x.clone()
            changed[:, :, slice(*changed_part), slice(*changed_part)] += 1
            difference = (local(changed) - local(x)).abs()[:, :, slice(*heard_part), slice(*heard_part)]
            assert difference.max() > 0


@pytest.mark.parametrize("name", BASELINES)
def test_a_model_file_brings_it_back_and_the_predictor_runs_it(name, tmp_path):
    from SpineFractureSegLib.engine.device import choose_placement

    network = _network(name, channels=1)
    path = tmp_path / "m.safetensors"
    save_model(path, network, network.config, Preprocessing(window_size=(32, 32)), ModelCard("m"))
    model = load_model(path)
    assert model.network_config.architecture == name
    x = _slices(1, 1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(model.network(x), network.eval()(x), atol=0.02, rtol=0.02)  # halves are stored
    hu = (_slices(4, 40, 40).numpy() * 1000).astype("int16")
    placement, _ = choose_placement("cpu")
    predictor = SlicePredictor(model.network, 2, model.preprocessing, placement)
    probability = predictor.predict(hu, "sagittal", [(0, 4), (0, 40), (0, 40)], [3, 4], "slices")
    assert probability.shape == (2, 2, 4, 40)
    assert probability.min() > 0
    assert probability.max() < 1


@pytest.mark.parametrize("name", BASELINES)
def test_switches_of_the_proposed_network_are_refused(name):
    for field, value in (("ffm", False), ("decoder_skips", True), ("attention_pooling", 1)):
        with pytest.raises(ValueError, match=f"{field} belongs to the proposed network"):
            NetworkConfig(architecture=name, **{field: value})


def test_an_unknown_architecture_is_refused_and_quoted():
    with pytest.raises(ValueError, match=r"unet\+\+, .* not 'vnet'"):
        NetworkConfig(architecture="vnet")


@pytest.mark.parametrize("name", BASELINES)
def test_sizes_and_channels_that_do_not_fit_are_refused(name):
    network = _network(name)
    with pytest.raises(ValueError, match="multiples of 16, not 40 and 32"):
        network(torch.zeros(1, 3, 40, 32))
    with pytest.raises(ValueError, match=r"\(B, 3, H, W\)"):
        network(torch.zeros(1, 1, 32, 32))


def test_width_is_that_of_the_first_convolution():
    for name in BASELINES:
        first = next(module for module in _network(name, width=8).modules() if isinstance(module, nn.Conv2d))
        assert first.out_channels == 8
        assert math.prod(first.kernel_size) in (9, 49)
