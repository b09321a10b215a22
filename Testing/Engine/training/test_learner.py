import copy
import dataclasses

import pytest
import torch

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.network import FractureNetwork, NetworkConfig
from SpineFractureSegLib.engine.training import TrainingConfig
from SpineFractureSegLib.engine.training.dataset import Kind, Sample
from SpineFractureSegLib.engine.training.learner import MOST_LOST_STEPS, Learner
from SpineFractureSegLib.engine.training.team import Team

NETWORK = NetworkConfig(width=4, outputs=("fracture", "vertebra"), attention_pooling=1)
CONFIG = TrainingConfig(precision="float32", ema_decay=0.9, learning_rate=1e-2)
NAMES = [name for name, _ in FractureNetwork(NETWORK).named_parameters()]


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    """Nothing here is large."""


def batch(seed, size=4):
    random = torch.Generator().manual_seed(seed)
    shape = (size, 32, 32)
    return Sample(
        torch.rand((size, 1, 32, 32), generator=random),
        torch.rand(shape, generator=random) > 0.7,
        torch.rand(shape, generator=random) > 0.5,
        torch.rand(shape, generator=random) > 0.1,
        torch.tensor([1.0, 1.0, 0.0, 1.0])[:size],
        torch.tensor([Kind.FRACTURED, Kind.INTACT, Kind.REAL_NEGATIVE, Kind.FRACTURED])[:size],
    )


def learner(config=CONFIG, *, normalizes_batches=False):
    torch.manual_seed(0)
    made = Learner(FractureNetwork(NETWORK), config, Team("cpu"))
    made.network.train(normalizes_batches)
    return made


def parameters(network):
    return {name: parameter.detach().clone() for name, parameter in network.named_parameters()}


def test_the_average_follows_the_weights_faster_in_the_beginning():
    made = learner(normalizes_batches=True)
    expected = parameters(made.network)
    for number, decay in enumerate((1 / 10, 2 / 11, 3 / 12)):
        made.step(batch(number), number, 1e-2)
        current = parameters(made.network)
        expected = {name: decay * expected[name] + (1 - decay) * current[name] for name in expected}
    kept = parameters(made.average)
    for name in NAMES:
        torch.testing.assert_close(kept[name], expected[name])
    later, before = learner(), parameters(learner().network)
    later.step(batch(0), 10_000, 1e-2)
    name = NAMES[0]
    torch.testing.assert_close(
        parameters(later.average)[name], 0.9 * before[name] + 0.1 * parameters(later.network)[name]
    )
    assert made.evaluated is made.average
    assert learner(TrainingConfig(ema_decay=0.0)).evaluated.training is False


def test_statistics_of_the_average_are_averaged_too():
    made = learner(normalizes_batches=True)
    before = {name: buffer.clone() for name, buffer in made.average.named_buffers()}
    made.step(batch(0), 0, 1e-2)
    for name, buffer in made.network.named_buffers():
        kept = dict(made.average.named_buffers())[name]
        if buffer.is_floating_point():
            torch.testing.assert_close(kept, 0.1 * before[name] + 0.9 * buffer)
        else:
            assert torch.equal(kept, buffer)


def test_losses_are_kept_by_what_the_sample_shows():
    made = learner()
    made.step(batch(0), 0, 1e-2)
    made.step(batch(1), 1, 1e-2)
    sums = made.loss_sums()
    assert sums[:, 0].tolist() == [4, 2, 2]
    assert sums[:, 5].tolist() == [4, 2, 0]  # those with vertebrae
    total, fracture, vertebra, refined = sums[:, 1:5].T
    weights = CONFIG.vertebra_loss_weight, CONFIG.refined_mask_loss_weight
    torch.testing.assert_close(total, fracture + weights[0] * vertebra + weights[1] * refined)
    assert vertebra[Kind.REAL_NEGATIVE] == 0
    made.forget_losses()
    assert not made.loss_sums().any()


def test_the_dice_is_of_the_batch_or_of_each_slice_as_configured():
    of_slices, of_batch = learner(), learner(dataclasses.replace(CONFIG, batch_dice=True))
    for made in (of_slices, of_batch):
        made.step(batch(0), 0, 1e-2)
    each, all_at_once = ((made.loss_sums()[:, 2] / made.loss_sums()[:, 0]) for made in (of_slices, of_batch))
    assert all_at_once.std() < 0.5 * each.std()  # kinds differ in their cross-entropy alone


class Short:
    """A network whose memory holds a few samples only."""

    def __init__(self, network, room):
        self.inner, self.room, self.calls = network.forward_with_refined_mask, room, []

    def __call__(self, image):
        self.calls.append(len(image))
        if len(image) > self.room:
            raise torch.OutOfMemoryError("no room")
        return self.inner(image)


def test_a_batch_that_does_not_fit_is_computed_in_parts_with_the_same_result(monkeypatch):
    whole, parted = learner(), learner()
    short = Short(parted.network, 2)
    monkeypatch.setattr(parted.network, "forward_with_refined_mask", short)
    for number in range(2):
        whole.step(batch(number), number, 1e-2)
        parted.step(batch(number), number, 1e-2)
    assert short.calls == [4, 2, 2, 2, 2]  # it is not tried again
    assert len(parted.warnings) == 1
    assert "2 parts" in parted.warnings[0]
    first, second = parameters(whole.network), parameters(parted.network)
    for name in NAMES:
        torch.testing.assert_close(first[name], second[name], rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(whole.loss_sums(), parted.loss_sums(), rtol=1e-4, atol=1e-6)


def test_too_little_memory_for_two_samples_is_said(monkeypatch):
    made = learner()
    monkeypatch.setattr(made.network, "forward_with_refined_mask", Short(made.network, 1))
    with pytest.raises(UserError, match="2 slices at a time"):
        made.step(batch(0), 0, 1e-2)


def test_another_error_of_torch_is_not_taken_for_a_lack_of_memory(monkeypatch):
    made = learner()

    def broken(image):
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(made.network, "forward_with_refined_mask", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        made.step(batch(0), 0, 1e-2)


def test_what_was_learned_is_restored_with_optimizer_and_losses():
    first, second = learner(normalizes_batches=True), learner(normalizes_batches=True)
    first.step(batch(0), 0, 1e-2)
    second.restore(copy.deepcopy(first.state()))
    for made in (first, second):
        made.step(batch(1), 1, 1e-2)
    one, other = first.state(), second.state()
    for part in ("network", "average"):
        for name in one[part]:
            assert torch.equal(one[part][name], other[part][name])
    assert torch.equal(one["loss_sums"], other["loss_sums"])


def spoil(made, steps):
    """Makes the gradient of these steps of the learner no number."""
    parameter = next(made.network.parameters())
    number = iter(range(1000))
    parameter.register_hook(lambda gradient: gradient * float("nan") if next(number) in steps else gradient)


def test_a_step_without_a_finite_gradient_is_left_out():
    made = learner(dataclasses.replace(CONFIG, gradient_clip=0.0))
    spoil(made, {1})
    made.step(batch(0), 0, 1e-2)
    before, average = parameters(made.network), parameters(made.average)
    made.step(batch(1), 1, 1e-2)
    for name in NAMES:
        assert torch.equal(parameters(made.network)[name], before[name])
        assert torch.equal(parameters(made.average)[name], average[name])
    made.step(batch(2), 2, 1e-2)
    after = parameters(made.network)
    assert all(torch.isfinite(after[name]).all() for name in NAMES)
    assert not torch.equal(after[NAMES[0]], before[NAMES[0]])
    assert len(made.warnings) == 1
    assert "left out" in made.warnings[0]
    made.loss_sums()


def test_gradients_that_stay_no_number_end_the_training():
    made = learner()
    spoil(made, set(range(1000)))
    for number in range(MOST_LOST_STEPS):
        made.step(batch(number), number, 1e-2)
    with pytest.raises(UserError, match=r"gradient is no longer a number.*float32"):
        made.step(batch(0), MOST_LOST_STEPS, 1e-2)
