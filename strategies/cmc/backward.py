"""Backward transfer: once all tasks are learned, the earlier ones take what the later ones have learned.

The paper leaves this to future work (section 5), and this is our form of it. Task k learned its kernel when later tasks
owned nothing yet; now it learns a vector ``U_i`` over what each of them owns, started from zero::

    K'_k = K_k + Σ_{i>k} U_i · (M ⊙ H_i)

Nothing else changes: not the memory, nor what other tasks compute, nor K_k itself, which stays the K_old of those that
built upon it. A task learns on patches that were stored as it was learned, for one epoch with the learning rate falling
as a cosine; every fourth patch is not trained on, and a task keeps its new kernels only if they are better on those.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from benchmark.core.addresses import generator
from strategies.cmc.layer import CMCConv2d, with_later
from strategies.cmc.network import CMCNetwork
from strategies.rehearsal import StoredPatches, placed
from strategies.trainer import Trainer, cosine, psnr

CHOOSE = 4
"""Of so many stored patches one is not trained on, and decides which kernels are kept."""


def learn_from_later(task: int, trainer: Trainer, stored: StoredPatches, seed: int) -> bool:
    """Let a learned task have better kernels, if it finds some.

    Args:
        task: a learned task of the trainer's network, with others after it; the last may still be in training.
        trainer: its network, loss and learning rate; one epoch of updates is made.
        stored: patches of the task.
        seed: seed of the run.

    Returns:
        whether the kernels found are better on the patches that were not trained on, and are kept; not with less than
        CHOOSE patches, which a task of less in all has.
    """
    network = trainer.model
    assert isinstance(network, CMCNetwork)
    places = (stored.labels == task).nonzero().flatten()
    held = torch.arange(len(places)) % CHOOSE == CHOOSE - 1
    if not held.any():
        return False
    own = [layer.get_buffer(f"kernel_{task}") for layer in network.layers]
    terms = [layer.later_terms(task) for layer in network.layers]
    vectors = [nn.Parameter(parts.new_zeros(parts.shape[:2])) for parts in terms]
    rate, updates = trainer.training_settings.learning_rate, trainer.training_settings.updates_per_epoch
    optimizer = torch.optim.Adam(vectors, foreach=True)

    def kernels() -> list[Tensor]:
        return [with_later(*parts) for parts in zip(own, vectors, terms, strict=True)]

    for update in range(updates):
        optimizer.param_groups[0]["lr"] = rate * cosine(update, updates)
        draw = generator("cmc", "backward", seed, task, update)
        chosen = places[~held][torch.from_numpy(draw.integers(int((~held).sum()), size=trainer.train_mb_size))]
        optimizer.zero_grad()
        with given(network.layers, kernels()):
            restored = network(placed(stored.degraded[chosen], trainer.device), task)
            # within, as a part of a network that saves memory is computed again, and with what is given
            trainer.loss_function(restored, placed(stored.clean[chosen].float() / 255, trainer.device)).backward()
        optimizer.step()

    with torch.no_grad():
        before, after = (_quality(network, task, stored, places[held], found) for found in (own, kernels()))
        if after > before:
            for layer, vector in zip(network.layers, vectors, strict=True):
                layer.revise(task, vector.detach().clone())
    return after > before


@contextmanager
def given(layers: list[CMCConv2d], kernels: list[Tensor]) -> Iterator[None]:
    """Let layers compute with kernels (m,) that are not their own."""
    for layer, kernel in zip(layers, kernels, strict=True):
        layer.given = kernel.view(layer.kernel_shape)
    try:
        yield
    finally:
        for layer in layers:
            layer.given = None


def _quality(network: CMCNetwork, task: int, stored: StoredPatches, places: Tensor, kernels: list[Tensor]) -> float:
    """Mean PSNR in dB of a task on stored patches, with some kernels (m,)."""
    device = network.layers[0].memory.device
    with given(network.layers, kernels):
        values = [
            psnr(
                network(placed(stored.degraded[place, None], device), task),
                placed(stored.clean[place, None].float() / 255, device),
            )
            for place in places.tolist()
        ]
    return sum(values) / len(values)
