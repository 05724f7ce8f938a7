"""Masks over weights that are learned: trained as real numbers, used as zeros and ones, kept as bits."""

import numpy as np
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
    """A mask, eight weights to a byte: (⌈m / 8⌉,) uint8."""
    return torch.from_numpy(np.packbits(chosen.flatten().cpu().numpy())).to(chosen.device)


def from_bits(bits: Tensor, shape: torch.Size) -> Tensor:
    """The mask that :func:`to_bits` was given, bool of that shape."""
    mask = np.unpackbits(bits.cpu().numpy(), count=shape.numel()).astype(bool)
    return torch.from_numpy(mask).view(shape).to(bits.device)
