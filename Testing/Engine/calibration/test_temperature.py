import numpy as np
import pytest
import torch
from scipy.special import expit
from torch.nn import functional

from SpineFractureSegLib.engine.calibration.temperature import CrossEntropy, best_temperature, with_temperature
from SpineFractureSegLib.engine.network import FractureNetwork, NetworkConfig


@pytest.fixture(scope="module")
def drawn():
    """Logits and truths that fit them."""
    rng = np.random.default_rng(3)
    logits = rng.normal(-0.5, 1.5, 200_000)
    return logits, rng.random(logits.size) < expit(logits)


@pytest.mark.parametrize("sureness", [0.5, 1.0, 3.0])
def test_the_factor_by_which_logits_were_scaled_is_found_again(drawn, sureness):
    logits, truth = drawn

    def loss(temperature):
        entropy = CrossEntropy()
        for part in range(3):
            entropy.add(expit(sureness * logits[part::3] / temperature), truth[part::3])
        return entropy.mean

    assert best_temperature(loss) == pytest.approx(sureness, rel=0.02)
    torch_loss = functional.binary_cross_entropy_with_logits(
        torch.from_numpy(sureness * logits), torch.from_numpy(truth).double()
    )
    assert loss(1.0) == pytest.approx(float(torch_loss), rel=1e-4)


def test_voxels_that_the_network_was_not_asked_about_do_not_count():
    entropy = CrossEntropy()
    entropy.add(np.array([0.0, 0.0, 0.5]), np.array([True, False, True]))
    assert entropy.mean == pytest.approx(np.log(2))


def test_a_voxel_that_was_quite_wrong_costs_much_but_not_everything():
    entropy = CrossEntropy()
    entropy.add(np.array([1.0]), np.array([False]))
    assert 10 < entropy.mean < 20


def test_the_fracture_is_divided_and_nothing_else():
    torch.manual_seed(0)
    network = FractureNetwork(NetworkConfig(width=4, outputs=("fracture", "vertebra"))).eval()
    x = torch.rand(2, 1, 32, 32)
    with torch.no_grad():
        before = network(x)
        after = with_temperature(network, 2.5)(x)
        again = network(x)
    assert torch.allclose(after[:, 0], before[:, 0] / 2.5, atol=1e-6)
    assert torch.equal(after[:, 1], before[:, 1])
    assert torch.equal(again, before)
