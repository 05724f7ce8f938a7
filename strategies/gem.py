"""Gradient Episodic Memory (Lopez-Paz and Ranzato, NeurIPS 2017)."""

import numpy as np
import torch
from pydantic import Field
from scipy.optimize import nnls
from torch import Tensor

from strategies.rehearsal import Rehearsal, RehearsalSettings, gradient, gradient_on, set_gradient
from strategies.trainer import Trainer


class GEMSettings(RehearsalSettings):
    """Settings of GEM."""

    strength: float = Field(0.5, ge=0, le=1e3, description="γ: weight of every earlier task in a projection, at least")


class GEM(Rehearsal):
    """GEM: a gradient that would raise any earlier task's loss on its stored patches, to first order, is projected.

    From the second task on, every update also takes the gradients g_k of the loss on a batch of stored patches of each
    earlier task k, as large as the batch of new patches, at the cost of a forward and a backward pass for each: of four
    tasks the last costs four times as much as the first. Where the gradient g of the new batch has ``g·g_k < 0`` for
    some k, it becomes ``g + Gᵀv`` with the rows g_k of G and the v that solves the dual problem of Eq. 11,

        min_v ½ vᵀGGᵀv + gᵀGᵀv   with v ≥ γ.

    At γ = 0 that is the nearest vector whose product with no g_k is negative; with one earlier task it is A-GEM's
    projection. With a γ above 0, which bounds v here as in the authors' code, the step turns further towards what helps
    earlier tasks.

    What differs from the paper: the loss is that of images; the memory is shared equally by the tasks seen, as that of
    every other strategy here, and g_k is taken on a batch of it and not on all of it, which would make an update as
    long as the memory is large. The authors train with plain gradient descent, and here as for all strategies it is
    Adam, so the promise is one about the gradient and not about the step, as :class:`strategies.agem.AGEM` tells.
    """

    name = "gem"
    relative_cost = 4.0
    Settings = GEMSettings
    settings: GEMSettings
    references: Tensor

    def before_training_iteration(self, trainer: Trainer) -> None:
        """Take the gradient on stored patches of each earlier task, if there are any."""
        rows = []
        for task in self.stored.labels.unique().tolist():
            batch = self.stored.draw(trainer.train_mb_size, self.rng(trainer, "gem", task), task)
            rows.append(gradient_on(batch, trainer))
        if rows:
            self.references = torch.stack(rows)

    def after_backward(self, trainer: Trainer) -> None:
        """Project the gradient of the new batch where it conflicts with any of the others."""
        if len(self.stored):
            g = gradient(trainer.model)
            products = self.references.double() @ g.double()
            if products.isfinite().all() and products.min() < 0:
                v = multipliers(self.references, g, self.settings.strength)
                set_gradient(trainer.model, g + torch.from_numpy(v).to(g) @ self.references)


def multipliers(references: Tensor, g: Tensor, least: float) -> np.ndarray:
    """The v of ``min_v ½ vᵀGGᵀv + gᵀGᵀv, v ≥ least``, by non-negative least squares.

    The objective is ½‖Gᵀv + g‖² up to a constant, so with ``v = least + u`` it is a problem of least squares in u ≥ 0.
    Its p rows become k by a root of GGᵀ from eigenvalues, of which those that are zero are left out; gradients that
    depend on each other are no trouble. All in float64, and with every g_k scaled to length 1.

    Args:
        references: G (k, p), finite and not zero.
        g: the gradient (p,), finite.
        least: γ ≥ 0.

    Returns:
        v (k,), float64.
    """
    rows = references.double()
    gram, slope = (rows @ rows.T).cpu().numpy(), (rows @ g.double()).cpu().numpy()
    lengths = np.sqrt(np.diag(gram))
    lengths[lengths == 0] = 1
    gram = gram / np.outer(lengths, lengths)
    slope = slope / lengths + gram @ (least * lengths)
    values, vectors = np.linalg.eigh(gram)
    counts = values > values.max() * len(values) * np.finfo(float).eps
    roots, basis = np.sqrt(values[counts]), vectors[:, counts].T
    u, _ = nnls(roots[:, None] * basis, -(basis @ slope) / roots, maxiter=100 * len(values))
    return least + u / lengths
