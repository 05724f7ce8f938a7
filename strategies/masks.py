"""Masks over weights that are learned: trained as real numbers, used as zeros and ones, kept as bits."""

import torch
from torch import Tensor


def straight_through(scores: Tensor, chosen: Tensor) -> Tensor:
    """Ones where ``chosen``, else zeros; scores get the gradient that this mask gets.

    The derivative of a step is zero almost everywhere, so that of the identity is taken in its place (Hinton's
    straight-through estimator; Bengio et al., 2013).

    Args:
        scores: what the choice was made by; of any shape.
        chosen: bool, of the same shape.
    """
    return chosen.to(scores) + (scores - scores.detach())


def to_bits(chosen: Tensor) -> Tensor:
    """A mask, eight weights to a byte, the first in the lowest bit: (⌈m / 8⌉,) uint8."""
    bits = torch.zeros(-(-chosen.numel() // 8) * 8, dtype=torch.uint8, device=chosen.device)
    bits[: chosen.numel()] = chosen.flatten()
    return (bits.view(-1, 8) << torch.arange(8, dtype=torch.uint8, device=bits.device)).sum(1, dtype=torch.uint8)


def from_bits(bits: Tensor, shape: torch.Size) -> Tensor:
    """The mask that :func:`to_bits` was given, bool of that shape."""
    each = bits[:, None] >> torch.arange(8, dtype=torch.uint8, device=bits.device) & 1
    return each.flatten()[: shape.numel()].view(shape).bool()
