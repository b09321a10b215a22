import math

import pytest
import torch

from SpineFractureSegLib.engine.training.losses import DICE_SMOOTHING, dice_loss, mask_loss, training_loss

ALL_KNOWN = torch.ones(2, 8, 8)


def test_dice_loss_by_hand():
    probability, target = torch.zeros(2, 8, 8), torch.zeros(2, 8, 8)
    probability[0, :4], target[0, :2] = 1, 1  # 32 predicted, 16 true, 16 shared; the second sample is empty and right
    expected = 1 - (2 * 16 + DICE_SMOOTHING) / (32 + 16 + DICE_SMOOTHING)
    assert dice_loss(probability, target, ALL_KNOWN).tolist() == pytest.approx([expected, 0.0])


def test_dice_loss_equals_monais():
    from monai.losses import DiceLoss

    generator = torch.Generator().manual_seed(0)
    probability = torch.rand(2, 8, 8, generator=generator)
    target = (torch.rand(2, 8, 8, generator=generator) > 0.6).float()
    monai = DiceLoss(smooth_nr=DICE_SMOOTHING, smooth_dr=DICE_SMOOTHING, reduction="none")
    expected = monai(probability[:, None], target[:, None]).flatten()
    assert torch.allclose(dice_loss(probability, target, ALL_KNOWN), expected, atol=1e-6)


def test_batch_dice_equals_monais_and_that_of_one_large_slice():
    from monai.losses import DiceLoss

    generator = torch.Generator().manual_seed(0)
    probability = torch.rand(2, 8, 8, generator=generator)
    target = (torch.rand(2, 8, 8, generator=generator) > 0.6).float()
    target[1] = 0
    monai = DiceLoss(smooth_nr=DICE_SMOOTHING, smooth_dr=DICE_SMOOTHING, batch=True)
    loss = dice_loss(probability, target, ALL_KNOWN, batch_dice=True)
    assert torch.allclose(loss, monai(probability[:, None], target[:, None]).expand(2), atol=1e-6)
    one_slice = dice_loss(probability.reshape(1, 16, 8), target.reshape(1, 16, 8), torch.ones(1, 16, 8))
    assert torch.allclose(loss, one_slice.expand(2))


def test_batch_dice_pulls_less_on_what_is_uncertain_in_slices_without_fracture():
    target = torch.zeros(2, 8, 8)
    target[0, 2:] = 1
    pull = {}
    for batch_dice in (False, True):
        logits = torch.full((2, 8, 8), -2.0, requires_grad=True)
        dice_loss(logits.sigmoid(), target, ALL_KNOWN, batch_dice).mean().backward()
        pull[batch_dice] = logits.grad[1].mean() / -logits.grad[0, 2:].mean()
    assert 0 < pull[True] < 0.5 * pull[False]


def test_mask_loss_of_an_undecided_network_by_hand():
    logits, target = torch.zeros(1, 8, 8), torch.zeros(1, 8, 8)
    expected = 2 * math.log(2) + 1 - DICE_SMOOTHING / (32 + DICE_SMOOTHING)
    assert mask_loss(logits, target, torch.ones(1, 8, 8)).item() == pytest.approx(expected, rel=1e-5)


def losses(**changes):
    zeros = torch.zeros(2, 8, 8)
    arguments = {
        "fracture_logits": zeros,
        "vertebra_logits": zeros,
        "refined_logits": zeros,
        "fracture": zeros,
        "vertebra": torch.ones(2, 8, 8),
        "known": ALL_KNOWN,
        "has_vertebrae": torch.ones(2),
        "vertebra_weight": 0.3,
        "refined_weight": 0.5,
    }
    return training_loss(**{**arguments, **changes})


def test_uncertain_pixels_get_no_gradient_and_others_do():
    known = ALL_KNOWN.clone()
    known[:, :3] = 0
    fracture = torch.zeros(2, 8, 8)
    fracture[:, 1:5] = 1
    logits = torch.zeros(2, 8, 8, requires_grad=True)
    refined = torch.zeros(2, 8, 8, requires_grad=True)
    losses(fracture_logits=logits, refined_logits=refined, fracture=fracture, known=known).total.sum().backward()
    for gradient in (logits.grad, refined.grad):
        assert torch.all(gradient[:, :3] == 0)
        assert torch.all(gradient[:, 3:] != 0)


@pytest.mark.parametrize("batch_dice", [False, True])
def test_samples_without_labelled_bodies_give_no_vertebra_gradient(batch_dice):
    vertebra = torch.zeros(2, 8, 8, requires_grad=True)
    terms = losses(vertebra_logits=vertebra, has_vertebrae=torch.tensor([1.0, 0.0]), batch_dice=batch_dice)
    terms.total.sum().backward()
    assert torch.all(vertebra.grad[0] != 0)
    assert torch.all(vertebra.grad[1] == 0)
    assert terms.vertebra[1] == 0


def test_unknown_pixels_give_a_vertebra_gradient_in_bodies_alone():
    known, vertebra = torch.ones(2, 8, 8), torch.zeros(2, 8, 8)
    known[:, :4] = 0
    vertebra[:, :2] = 1  # an ungraded body; the next two rows may hold vertebrae that nobody labelled
    logits = torch.zeros(2, 8, 8, requires_grad=True)
    losses(vertebra_logits=logits, vertebra=vertebra, known=known).total.sum().backward()
    assert torch.all(logits.grad[:, 2:4] == 0)
    assert torch.all(logits.grad[:, :2] != 0)
    assert torch.all(logits.grad[:, 4:] != 0)


def test_total_is_the_weighted_sum_and_missing_outputs_are_left_out():
    terms = losses()
    assert torch.allclose(terms.total, terms.fracture + 0.3 * terms.vertebra + 0.5 * terms.refined)
    alone = losses(vertebra_logits=None, refined_logits=None)
    assert torch.equal(alone.total, alone.fracture)


def test_extreme_logits_give_finite_gradients():
    logits = torch.full((2, 8, 8), 200.0, requires_grad=True)
    losses(fracture_logits=logits).total.sum().backward()
    assert torch.isfinite(logits.grad).all()
