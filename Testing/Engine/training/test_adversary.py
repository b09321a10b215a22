"""SpineGAN's discriminator learns to tell masks apart, and moves the network towards those it takes for drawn."""

import pytest
import torch

from SpineFractureSegLib.engine.network import NetworkConfig, build_network
from SpineFractureSegLib.engine.training.adversary import Adversary
from SpineFractureSegLib.engine.training.checkpoint import load_checkpoint, save_atomically
from SpineFractureSegLib.engine.training.config import TrainingConfig
from SpineFractureSegLib.engine.training.dataset import Sample
from SpineFractureSegLib.engine.training.learner import Learner
from SpineFractureSegLib.engine.training.team import Team

NETWORK = NetworkConfig(architecture="spinegan", width=4, outputs=("fracture", "vertebra"))

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def batch():
    torch.manual_seed(3)
    fracture = torch.zeros(4, 32, 32, dtype=torch.bool)
    fracture[:, 8:24, 8:24] = True
    return Sample(
        image=torch.rand(4, 1, 32, 32),
        fracture=fracture,
        vertebra=fracture,
        known=torch.ones_like(fracture),
        has_vertebrae=torch.ones(4),
        kind=torch.zeros(4, dtype=torch.int64),
    )


def _learner():
    torch.manual_seed(0)
    return Learner(build_network(NETWORK), TrainingConfig(precision="float32"), Team("cpu"))


def test_it_learns_to_tell_drawn_masks_from_smooth_ones(batch):
    adversary = Adversary(NETWORK, 0, Team("cpu"))
    drawn = torch.stack([batch.fracture, batch.vertebra], 1).float()
    made, known = torch.full_like(drawn, 0.5), torch.ones(4, 1, 32, 32)
    adversary.discriminator.eval()  # without dropout
    before = adversary.loss(made, drawn, known).mean().item()
    for _ in range(30):
        adversary.forget_gradient()
        after = adversary.loss(made, drawn, known).mean().item()
        adversary.step()
    assert after > before  # a mask that is found out costs the network more


def test_its_loss_pulls_at_the_network_and_only_where_something_is_known(batch):
    adversary = Adversary(NETWORK, 0, Team("cpu"))
    drawn = torch.stack([batch.fracture, batch.vertebra], 1).float()
    made = torch.full_like(drawn, 0.5).requires_grad_()
    known = torch.ones(4, 1, 32, 32)
    known[:, :, :, 16:] = 0
    loss = adversary.loss(made, drawn, known)
    of_its_own = [p.grad.clone() for p in adversary.discriminator.parameters()]
    loss.sum().backward()
    assert loss.shape == (4,)
    assert made.grad[:, :, :, :16].any()
    assert not made.grad[:, :, :, 16:].any()
    # the network's loss leaves no gradient in the discriminator, which would make it help
    for parameter, gradient in zip(adversary.discriminator.parameters(), of_its_own, strict=True):
        assert torch.equal(parameter.grad, gradient)


def test_a_step_moves_network_and_discriminator_and_tells_the_adversarial_loss_in_the_total(batch):
    learner = _learner()
    before = {
        name: value.clone()
        for module in (learner.network, learner.adversary.discriminator)
        for name, value in module.named_parameters(prefix=type(module).__name__)
    }
    learner.step(batch, 0, 1e-3)
    after = {
        name: value
        for module in (learner.network, learner.adversary.discriminator)
        for name, value in module.named_parameters(prefix=type(module).__name__)
    }
    assert [name for name in before if torch.equal(before[name], after[name])] == []
    samples, total, fracture, vertebra, _, _ = learner.loss_sums()[0].tolist()
    assert samples == 4
    assert total > fracture + 0.3 * vertebra


def test_a_restored_learner_goes_on_bit_for_bit_dropout_included(batch, tmp_path):
    whole = _learner()
    for number in range(3):
        whole.step(batch, number, 1e-3)
    first = _learner()
    first.step(batch, 0, 1e-3)
    save_atomically(tmp_path / "last.pt", first.state())
    second = _learner()
    second.restore(load_checkpoint(tmp_path / "last.pt"))
    torch.manual_seed(77)  # what else drew numbers in between is of no account
    for number in (1, 2):
        second.step(batch, number, 1e-3)
    for of in ("network", "adversary"):
        expected, found = (_tensors(learner.state()[of]) for learner in (whole, second))
        assert len(expected) == len(found) > 10
        assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


def test_other_networks_have_no_adversary():
    assert Learner(build_network(NetworkConfig(width=4)), TrainingConfig(), Team("cpu")).adversary is None


def _tensors(state):
    if isinstance(state, torch.Tensor):
        return [state]
    values = state.values() if isinstance(state, dict) else state if isinstance(state, list) else []
    return [tensor for value in values for tensor in _tensors(value)]
