"""The whole network: every configuration builds, learns and keeps its promises."""

import dataclasses

import pytest
import torch
from torch.nn import functional as F

from SpineFractureSegLib.engine.network import FractureNetwork, NetworkConfig

SMALL = NetworkConfig(width=8, input_channels=3, outputs=("fracture", "vertebra"))
MODULES = ("ffm", "sem", "aspp", "rcbam", "rbrab", "lprab")
CONFIGS = {
    "paper": SMALL,
    "skips": dataclasses.replace(SMALL, decoder_skips=True),
    "one channel, one output": NetworkConfig(width=8),
    "exact attention": dataclasses.replace(SMALL, attention_pooling=1),
    **{f"without {name}": dataclasses.replace(SMALL, **{name: False}) for name in MODULES},
    "without all": dataclasses.replace(SMALL, **dict.fromkeys(MODULES, False)),
}


def _network(config: NetworkConfig = SMALL) -> FractureNetwork:
    torch.manual_seed(0)
    return FractureNetwork(config)


def _slices(config: NetworkConfig = SMALL, batch: int = 2, size: tuple[int, int] = (32, 48)) -> torch.Tensor:
    return torch.rand(batch, config.input_channels, *size, generator=torch.Generator().manual_seed(1))


def _loss(network: FractureNetwork, x: torch.Tensor) -> torch.Tensor:
    """Against a bright square, for every output and for the refined mask."""
    logits, refined = network.forward_with_refined_mask(x)
    truth = torch.zeros_like(logits)
    truth[:, :, 8:24, 8:24] = 1
    loss = F.binary_cross_entropy_with_logits(logits, truth)
    return loss if refined is None else loss + F.binary_cross_entropy_with_logits(refined, truth[:, :1])


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_every_configuration_learns(config):
    network = _network(config)
    x = _slices(config)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        loss = _loss(network, x)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.95 * losses[0], losses


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_gradients_reach_every_parameter(config):
    network = _network(config)
    if config.rbrab:
        network.rbrab.attention.gain.data.fill_(1.0)  # it starts at 0, which holds back its queries, keys and values
    _loss(network, _slices(config)).backward()
    unreached = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert unreached == []


@pytest.mark.parametrize("name", MODULES)
def test_a_switched_off_module_is_gone_and_nothing_else(name):
    def blocks(network: FractureNetwork) -> set[str]:
        return {parameter.split(".")[0] for parameter, _ in network.named_parameters()}

    full, without = _network(), _network(dataclasses.replace(SMALL, **{name: False}))
    count = {network: sum(p.numel() for p in network.parameters()) for network in (full, without)}
    assert count[without] < count[full]
    # Without fusion its 1x1 convolutions remain; every other block leaves no parameter behind.
    assert blocks(full) - blocks(without) == (set() if name == "ffm" else {name})


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_a_batch_gives_what_its_slices_give_alone(config):
    network = _network(config).eval()
    x = _slices(config, batch=3)
    with torch.no_grad():
        alone = torch.cat([network(one[None]) for one in x])
        torch.testing.assert_close(network(x), alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("skips", [False, True])
@pytest.mark.parametrize("size", [(16, 16), (16, 96), (80, 48)])
def test_output_has_the_size_of_the_slice_and_the_configured_channels(skips, size):
    network = _network(dataclasses.replace(SMALL, decoder_skips=skips)).eval()
    with torch.no_grad():
        logits, refined = network.forward_with_refined_mask(_slices(size=size))
    assert logits.shape == (2, 2, *size)
    assert refined.shape == (2, 1, *size)


def test_refined_mask_is_of_the_fracture_only_and_absent_without_rbrab():
    x = _slices()
    network = _network().eval()
    with torch.no_grad():
        logits, _ = network.forward_with_refined_mask(x)
        assert torch.equal(logits, network(x))
        assert _network(CONFIGS["without rbrab"]).eval().forward_with_refined_mask(x)[1] is None


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_memory_format_changes_nothing(memory_format):
    network = _network(CONFIGS["skips"]).eval()
    x = _slices()
    with torch.no_grad():
        expected = network(x)
        network = network.to(memory_format=memory_format)
        torch.testing.assert_close(network(x.contiguous(memory_format=memory_format)), expected, atol=1e-5, rtol=1e-4)


def test_bfloat16_autocast_trains_and_stays_near_fp32():
    network = _network(CONFIGS["skips"])
    x = _slices()
    with torch.autocast("cpu", torch.bfloat16):
        _loss(network, x).backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())
    network.eval()
    with torch.no_grad():
        exact = network(x)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = network(x)
    assert rounded.dtype == torch.bfloat16
    assert (rounded.float() - exact).abs().mean() < 0.05 * exact.std()


@pytest.mark.parametrize("size", [(40, 32), (32, 24), (8, 16)])
def test_a_size_that_is_no_multiple_of_16_is_refused_and_quoted(size):
    with pytest.raises(ValueError, match=f"multiples of 16, not {size[0]} and {size[1]}"):
        _network()(torch.zeros(1, 3, *size))


@pytest.mark.parametrize("shape", [(1, 1, 32, 32), (3, 32, 32)])
def test_other_channels_than_configured_are_refused_and_quoted(shape):
    with pytest.raises(ValueError, match=r"\(B, 3, H, W\)"):
        _network()(torch.zeros(shape))


@pytest.mark.parametrize(("width", "millions"), [(64, 20.5), (32, 5.1), (16, 1.3)])
def test_parameter_counts_are_those_documented(width, millions):
    with torch.device("meta"):
        network = FractureNetwork(NetworkConfig(width=width))
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, rel=0.05)
