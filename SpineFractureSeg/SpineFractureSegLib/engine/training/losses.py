"""Binary cross-entropy and soft Dice, pixel by pixel masked and sample by sample, so that kinds can be told apart.

``known`` is 1 where the truth is known and 0 where neither a fracture nor its absence is claimed: such pixels give no
loss and no gradient. All maps are (B, H, W); targets and masks are 0 or 1, logits any number.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F

# Pixels added to both sides of the Dice ratio: an empty target then asks for an empty answer with a gradient that
# does not explode, and one wrong pixel in a slice without a fracture does not cost as much as a missed vertebra.
DICE_SMOOTHING = 20.0
CROSS_ENTROPY_WEIGHT = 2.0  # beside Dice's 1: most pixels are background, whose mean cross-entropy is small


class LossTerms(NamedTuple):
    """Each a (B,) tensor, one number per sample; ``vertebra`` and ``refined`` are 0 where they were left out."""

    total: torch.Tensor
    fracture: torch.Tensor
    vertebra: torch.Tensor
    refined: torch.Tensor


def dice_loss(
    probability: torch.Tensor, target: torch.Tensor, known: torch.Tensor, batch_dice: bool = False
) -> torch.Tensor:
    """1 - soft Dice over the known pixels of each sample. (B, H, W) each -> (B,), in [0, 1].

    With ``batch_dice`` all samples count as one, whose loss each of them has.
    """
    probability, target = probability * known, target * known
    overlap = (probability * target).sum((1, 2))
    size = probability.sum((1, 2)) + target.sum((1, 2))
    if batch_dice:
        overlap, size = overlap.sum().expand_as(overlap), size.sum().expand_as(size)
    return 1 - (2 * overlap + DICE_SMOOTHING) / (size + DICE_SMOOTHING)


def mask_loss(
    logits: torch.Tensor, target: torch.Tensor, known: torch.Tensor, batch_dice: bool = False
) -> torch.Tensor:
    """Weighted sum of mean cross-entropy and Dice over the known pixels of each sample. (B, H, W) each -> (B,)."""
    cross_entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none") * known
    mean_cross_entropy = cross_entropy.sum((1, 2)) / known.sum((1, 2)).clamp(min=1)
    return CROSS_ENTROPY_WEIGHT * mean_cross_entropy + dice_loss(logits.sigmoid(), target, known, batch_dice)


def training_loss(
    fracture_logits: torch.Tensor,
    vertebra_logits: torch.Tensor | None,
    refined_logits: torch.Tensor | None,
    fracture: torch.Tensor,
    vertebra: torch.Tensor,
    known: torch.Tensor,
    has_vertebrae: torch.Tensor,
    vertebra_weight: float,
    refined_weight: float,
    batch_dice: bool = False,
) -> LossTerms:
    """The loss of a batch, sample by sample.

    Args:
        fracture_logits, vertebra_logits, refined_logits: (B, H, W); None where the network has no such output.
        fracture, vertebra: (B, H, W), targets.
        known: (B, H, W), where the fracture target is known. The vertebra target is known there and in all bodies: an
            ungraded vertebra is a vertebra all the same, one that nobody labelled is not to be called background.
        has_vertebrae: (B,), 0 for samples whose vertebral bodies were never labelled: their vertebra loss is left out.
        vertebra_weight, refined_weight: weights beside the fracture's 1.
        batch_dice: Dice over all samples at once; else sample by sample.
    """
    fracture_loss = mask_loss(fracture_logits, fracture, known, batch_dice)
    vertebra_loss = refined_loss = torch.zeros_like(fracture_loss)
    if vertebra_logits is not None and vertebra_weight > 0:
        labelled = torch.maximum(known, vertebra) * has_vertebrae[:, None, None]
        vertebra_loss = mask_loss(vertebra_logits, vertebra, labelled, batch_dice) * has_vertebrae
    if refined_logits is not None and refined_weight > 0:
        refined_loss = mask_loss(refined_logits, fracture, known, batch_dice)
    total = fracture_loss + vertebra_weight * vertebra_loss + refined_weight * refined_loss
    return LossTerms(total, fracture_loss, vertebra_loss, refined_loss)
