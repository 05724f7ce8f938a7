"""A small generator of degraded patches, and the base of strategies that rehearse what it generates."""

import copy
import math
import warnings
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.core.addresses import torch_seed
from strategies.base import Settings, Strategy
from strategies.state import from_state, load_moments, moments, to_state
from strategies.trainer import Trainer, cosine

SCALE = 8
"""Pixels of a patch's side to a latent."""
LEVEL = 1 / 255
"""The least standard deviation that is generated: one level of an image of 8 bits."""
RATE = 2e-3
"""Adam's learning rate at the start of a task; it falls to zero as a cosine does."""


class PatchVAE(nn.Module):
    """A variational autoencoder of patches (Kingma and Welling, ICLR 2014), convolutional throughout.

    Its latents are a map of ``width // 2`` channels with an eighth of a patch's height and width and a standard normal
    prior, so that its size does not depend on that of patches. The decoder gives a mean and a standard deviation for
    every value of a patch, and a sample is drawn from both: what means alone would blur away, as the noise that is to
    be removed, is generated, too, though always as white noise. No layer works at more than half the resolution.

    Args:
        width: channels of its layers, 2 at least.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.latents = width // 2
        down = [nn.Conv2d(3, width, 3, 2, 1), nn.Conv2d(width, width, 3, 2, 1), nn.Conv2d(width, width, 3, 2, 1)]
        up = [nn.Conv2d(self.latents, 4 * width, 3, padding=1), nn.Conv2d(width, 4 * width, 3, padding=1)]
        self.encoder = nn.Sequential(*[part for conv in down for part in (conv, nn.ReLU())])
        self.encoded = nn.Conv2d(width, 2 * self.latents, 1)
        self.decoder = nn.Sequential(*[part for conv in up for part in (conv, nn.PixelShuffle(2), nn.ReLU())])
        self.decoded = nn.Sequential(nn.Conv2d(width, 4 * 6, 3, padding=1), nn.PixelShuffle(2))

    def encode(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Means and standard deviations of the latents (N, latents, ⌈H/8⌉, ⌈W/8⌉) of patches (N, 3, H, W)."""
        mean, spread = self.encoded(self.encoder(patches)).chunk(2, 1)
        return mean, 1e-3 + F.softplus(spread)

    def decode(self, latents: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
        """Means and standard deviations of patches (N, 3, height, width) with such latents."""
        mean, spread = self.decoded(self.decoder(latents))[..., :height, :width].chunk(2, 1)
        return mean, LEVEL + F.softplus(spread)

    def bound(self, patches: Tensor, rng: torch.Generator) -> Tensor:
        """What is minimised: the negative evidence lower bound of patches (N, 3, H, W) in nats a value, up to ½ log 2π.

        Args:
            patches: float, around [0, 1].
            rng: on the CPU; draws the latents.

        Returns:
            One number for each patch (N,).
        """
        mean, deviation = self.encode(patches)
        expected, spread = self.decode(mean + deviation * normal(mean, rng), *patches.shape[-2:])
        misfit = ((patches - expected) / spread).square() / 2 + spread.log()
        divergence = (mean.square() + deviation.square() - 1) / 2 - deviation.log()
        return (misfit.flatten(1).sum(1) + divergence.flatten(1).sum(1)) / patches[0].numel()

    @torch.no_grad()
    def sample(self, like: Tensor, rng: torch.Generator) -> Tensor:
        """As many patches of the same size, on the same device, as there are in ``like`` (N, 3, H, W)."""
        count, _, height, width = like.shape
        places = like.new_empty(count, self.latents, math.ceil(height / SCALE), math.ceil(width / SCALE))
        mean, spread = self.decode(normal(places, rng).to(next(self.parameters()).dtype), height, width)
        return (mean + spread * normal(mean, rng)).to(like.dtype)


def normal(like: Tensor, rng: torch.Generator) -> Tensor:
    """Standard normal numbers in the shape of a tensor and on its device, the same on all."""
    return torch.randn(like.shape, generator=rng, dtype=like.dtype).to(like.device)


def interleaved(new: Tensor, old: Tensor) -> Tensor:
    """Rows of two tensors in turn, a new one first; so equal shares of them hold as many of one as of the other."""
    return torch.stack([new, old], 1).flatten(0, 1)


class GeneratedRehearsalSettings(Settings):
    """Settings of a strategy that rehearses generated patches."""

    r: float | None = Field(
        None, gt=0, le=1, description="importance of the new task beside all earlier ones; by default 1/t in task t"
    )
    width: int = Field(32, ge=2, le=512, description="channels of the generator's layers")
    generator_updates: float = Field(
        0.5, gt=0, le=1, description="updates of the generator, as a share of the updates of a task"
    )


class GeneratedRehearsal(Strategy):
    """Base of strategies that join generated patches of earlier tasks to every batch; subclasses say their targets.

    The generator G learns along with the network, on the new task's degraded patches and on as many samples of a copy
    of it from before the task, in ``generator_updates`` of the task's updates, which are spread evenly. So it needs no
    patches but those of the batches, and a run may stop and go on at every update. The same samples are rehearsed: from
    the second task on, a batch holds new and generated patches in turn, and the loss is ``r · new + (1 − r) · old`` for
    network and generator alike. Where several processes train together, each trains the whole generator.
    """

    Settings: ClassVar[type[GeneratedRehearsalSettings]] = GeneratedRehearsalSettings
    settings: GeneratedRehearsalSettings
    optimizer: torch.optim.Optimizer
    earlier: PatchVAE | None = None

    def __init__(self, settings: GeneratedRehearsalSettings, seed: int = 0) -> None:
        super().__init__(settings, seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch_seed("generator", seed))
            self.generator = PatchVAE(settings.width)

    def restored_before(self, trainer: Trainer, patches: Tensor) -> Tensor:
        """What the network of before the task makes of patches (N, 3, H, W), without a gradient."""
        raise NotImplementedError

    def before_training_exp(self, trainer: Trainer) -> None:
        """Keep the generator as it is, if it has learned anything, and let it learn on.

        Warns:
            UserWarning: a task has too few updates for the generator to have one.
        """
        updates, share = trainer.training_settings.updates, self.settings.generator_updates
        if int(updates * share) == 0:
            warnings.warn(
                f"{self.name}.generator_updates = {share:g} of {updates} updates is none: what is rehearsed comes from "
                f"a generator that learns nothing. Set it to {math.ceil(1e4 / updates) / 1e4:g} or more.",
                stacklevel=2,
            )
        self.generator.to(trainer.device)
        first = trainer.experience.current_experience == 0
        self.earlier = None if first else copy.deepcopy(self.generator).requires_grad_(False)
        self.optimizer = torch.optim.Adam(self.generator.parameters(), foreach=True)

    def before_training_iteration(self, trainer: Trainer) -> None:
        """Join generated patches of the earlier tasks to the batch, and let the generator learn from both."""
        update, share = trainer.clock.train_exp_iterations, self.settings.generator_updates
        address = ("generator", self.seed, trainer.experience.current_experience, update)
        rng = torch.Generator().manual_seed(torch_seed(*address))
        if self.earlier is not None:
            old = self.earlier.sample(trainer.mb_x, rng)
            joined = ((trainer.mb_x, old), (trainer.mb_y, self.restored_before(trainer, old)))
            labels = trainer.mb_task_id.repeat_interleave(2)  # of what was generated, no one knows the task
            trainer.mbatch = [*(interleaved(*both) for both in joined), labels]
        if int((update + 1) * share) > int(update * share):
            for group in self.optimizer.param_groups:
                group["lr"] = RATE * cosine(update, trainer.training_settings.updates)
            self.optimizer.zero_grad()
            bounds = self.generator.bound(trainer.mb_x.to(next(self.generator.parameters()).dtype), rng)
            loss = bounds.mean() if self.earlier is None else self._weighed(trainer, bounds[::2], bounds[1::2])
            loss.backward()
            self.optimizer.step()

    def before_backward(self, trainer: Trainer) -> None:
        """Weigh new and old patches."""
        if self.earlier is not None:
            output, target = trainer.mb_output, trainer.mb_y
            losses = [trainer.loss_function(output[start::2], target[start::2]) for start in (0, 1)]
            trainer.loss = self._weighed(trainer, *losses)

    def _weighed(self, trainer: Trainer, new: Tensor, old: Tensor) -> Tensor:
        """``r · new + (1 − r) · old`` of the means of losses on new and on old patches."""
        r = self.settings.r or 1 / (trainer.experience.current_experience + 1)
        return r * new.mean() + (1 - r) * old.mean()

    def after_training_exp(self, trainer: Trainer) -> None:
        """Let go of the copy of the generator."""
        self.earlier = None

    def state(self) -> dict[str, Tensor]:
        """The generator."""
        return to_state("generator", self.generator.state_dict())

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take up the generator."""
        self.generator.load_state_dict(from_state("generator", state))

    def progress(self) -> dict[str, Tensor]:
        """The generator as it has come to be, and the moments of its optimizer."""
        return self.state() | to_state("moments", moments(self.optimizer))

    def load_progress(self, progress: dict[str, Tensor]) -> None:
        """Take up both again."""
        self.load_state(progress)
        load_moments(self.optimizer, from_state("moments", progress))
