"""Folded batch norms change the speed, not the result."""

import copy

import pytest
import torch
from torch import nn

from SpineFractureSegLib.engine.network import FractureNetwork, NetworkConfig, fuse_for_inference


def _network_with_history(config: NetworkConfig) -> FractureNetwork:
    """A network whose batch norms are far from their start."""
    torch.manual_seed(0)
    network = FractureNetwork(config)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
            nn.init.uniform_(module.running_mean, -0.3, 0.3)
            nn.init.uniform_(module.running_var, 0.3, 1.5)
    return network.eval()


CONFIGS = {
    "paper": NetworkConfig(width=8, input_channels=3),
    "skips": NetworkConfig(width=8, input_channels=3, decoder_skips=True),
    "ablated": NetworkConfig(
        width=8, input_channels=3, ffm=False, sem=False, aspp=False, rcbam=False, rbrab=False, lprab=False
    ),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_fused_network_gives_the_same_logits(config):
    network = _network_with_history(config)
    x = torch.rand(2, 3, 32, 48)
    with torch.no_grad():
        torch.testing.assert_close(fuse_for_inference(network)(x), network(x), atol=1e-4, rtol=1e-4)


def test_every_batch_norm_is_folded_but_the_merges():
    fused = fuse_for_inference(_network_with_history(CONFIGS["skips"]))
    assert [name for name, module in fused.named_modules() if isinstance(module, nn.BatchNorm2d)] == ["merge.norm"]


def test_the_original_network_stays_as_it_was():
    network = _network_with_history(CONFIGS["paper"]).train()
    before = copy.deepcopy(network.state_dict())
    fused = fuse_for_inference(network)
    assert network.training
    assert not fused.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_fused_network_keeps_channels_last():
    fused = fuse_for_inference(_network_with_history(CONFIGS["paper"]).to(memory_format=torch.channels_last))
    weights = [p for p in fused.parameters() if p.ndim == 4 and p.shape[1] > 1]
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
