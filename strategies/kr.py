"""Knowledge replay for restoration (Cheng et al., IEEE Transactions on Multimedia 2024)."""

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.core.addresses import generator, torch_seed
from benchmark.core.errors import UserError
from strategies.base import evaluating
from strategies.copies import refuse_functions_that_stay, settled_copy
from strategies.rehearsal import Rehearsal, RehearsalSettings, StoredPatches, placed
from strategies.state import from_state, to_state
from strategies.trainer import Trainer


class KnowledgeReplaySettings(RehearsalSettings):
    """Settings of knowledge replay."""

    patches: int = Field(500, ge=1, le=1_000_000, description="degraded patches stored in all, shared by tasks seen")
    weight: float = Field(1.0, ge=0, le=1e6, description="weight α of what is replayed; at 0 nothing is")
    feature_weight: float = Field(1.0, ge=0, le=1e6, description="weight λ of projected features beside outputs")
    reduction: int = Field(4, ge=1, le=1024, description="channels of the features for each one they are projected to")
    autoencoder_updates: int = Field(200, ge=1, le=1_000_000, description="updates of the autoencoder after a task")


class KnowledgeReplay(Rehearsal):
    """Knowledge replay: on stored degraded patches, outputs and projected features stay those of the network before.

    Only degraded patches x̃ are stored, 500 of them in all, and no targets: as in the paper, and by default twice the
    bytes that replay has. With a frozen copy f_old of the network from before the task, and as many x̃ in an update as
    it has new patches, the loss gains

        α (ℓ(f(x̃), f_old(x̃)) + λ MSE(P h(x̃), P h_old(x̃))).

    h are features, and P is the encoder of a small autoencoder, which is trained at the end of every task on the
    features of stored patches, from the one before, and frozen in between: what matters is to be kept, and the rest
    is left free. An update costs a forward pass of the old network and a forward and a backward pass of the new one.

    The paper, "Continual All-in-One Adverse Weather Removal with Knowledge Replay on a Unified Network Structure", is
    about haze, rain and snow. Its memory, the parts of its loss and the decoder (3×3, ReLU, 3×3) are here as in the
    authors' public code. Ours are: squared errors where they take absolute ones, as all strategies here minimise one
    loss; no contrastive loss, as it needs a network trained on other data; h as what goes into the convolution that
    runs last, which every backbone has, where theirs goes into the last two of one network; a quarter of its channels
    projected to, where they project 192 to 16; an encoder of one 1×1 convolution, so a linear projection of channels,
    where theirs attends over channels first; λ within α, so that α = 0 is plain training; and λ = 1 where they have
    0.3.
    """

    name = "kr"
    relative_cost = 3.0
    Settings = KnowledgeReplaySettings
    settings: KnowledgeReplaySettings
    autoencoder: nn.Sequential
    teacher: nn.Module | None = None

    def __init__(self, settings: KnowledgeReplaySettings, seed: int = 0) -> None:
        super().__init__(settings, seed)
        self.stored = StoredPatches(settings.patches, targets=False)

    def adapt(self, backbone: nn.Module, tasks: int) -> nn.Module:
        """The backbone itself, once its features are known.

        Raises:
            UserError: there is not room for every task, no convolution in the backbone, complex numbers enter the last
                one, or there is a function that would know parts of it in a copy, too.
        """
        refuse_functions_that_stay(backbone)
        image = torch.zeros(1, 3, 32, 32).to(next(backbone.parameters(), torch.empty(0)))
        with torch.no_grad(), evaluating(backbone.modules()):
            features = restored(backbone, image)[1]
        if features.is_complex():
            raise UserError(
                "kr projects the features before the network's last convolution by an autoencoder of real numbers, "
                f"and {type(backbone).__name__} has complex ones there. Use a backbone whose last convolution is of "
                "real numbers, or der, which needs outputs only."
            )
        width = features.shape[1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch_seed("kr", self.seed))
            self.autoencoder = autoencoder(width, max(1, width // self.settings.reduction)).to(features)
        return super().adapt(backbone, tasks)

    def before_training_exp(self, trainer: Trainer) -> None:
        """Freeze a copy of the network, if it has learned anything."""
        self.autoencoder.to(trainer.device)
        if trainer.experience.current_experience > 0:
            self.teacher = settled_copy(trainer.model)

    def before_backward(self, trainer: Trainer) -> None:
        """Add what is replayed, if anything is."""
        if self.teacher is not None and self.settings.weight:
            chosen = self.stored.choose(trainer.train_mb_size, self.rng(trainer, "kr"))
            images = placed(self.stored.degraded[chosen], trainer.device)
            (old, old_features), (new, new_features) = restored(self.teacher, images), restored(trainer.model, images)
            project = self.autoencoder[0]
            features = F.mse_loss(project(new_features), project(old_features))
            replayed = trainer.loss_function(new, old) + self.settings.feature_weight * features
            trainer.loss += self.settings.weight * replayed

    def after_training_exp(self, trainer: Trainer) -> None:
        """Store degraded patches of the task, and train the autoencoder on the features of all that are stored."""
        super().after_training_exp(trainer)
        updates, place = self.settings.autoencoder_updates, trainer.experience.current_experience
        optimizer = torch.optim.Adam(self.autoencoder.parameters(), lr=AUTOENCODER_RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, updates)
        for update in range(updates):
            rng = generator("kr", "autoencoder", self.seed, place, update)
            images = placed(self.stored.degraded[self.stored.choose(trainer.train_mb_size, rng)], trainer.device)
            with torch.no_grad(), evaluating(trainer.model.modules()):
                features = restored(trainer.model, images)[1]
            optimizer.zero_grad()
            F.mse_loss(self.autoencoder(features), features).backward()
            optimizer.step()
            schedule.step()

    def state(self) -> dict[str, Tensor]:
        """The stored patches and the autoencoder; the old network is the network itself as a task begins."""
        return {**super().state(), **to_state("autoencoder", self.autoencoder.state_dict())}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take up the stored patches and the autoencoder."""
        super().load_state(state)
        self.autoencoder.load_state_dict(from_state("autoencoder", state))


AUTOENCODER_RATE = 1e-2
"""Adam's learning rate for the autoencoder at the start, from which it falls to zero by a cosine.

The authors' code names 1e-3, sets 1e-4 in its place as training begins, and makes 50 passes over the memory. After 200
updates, features of a network of 16 channels came back through 4 with 15 % of their variance lost, where principal
components lose 10 %, and 47 % at 1e-3.
"""


def autoencoder(width: int, channels: int) -> nn.Sequential:
    """Takes features (N, width, H, W) through fewer channels and back; its first layer is the encoder.

    Args:
        width: channels of the features.
        channels: channels between.
    """
    inner, last = (nn.Conv2d(channels, to, 3, padding=1) for to in (channels, width))
    return nn.Sequential(nn.Conv2d(width, channels, 1), inner, nn.ReLU(), last)


def restored(network: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """What a network makes of images (N, 3, H, W), and the features (N, C, h, w) that its last convolution took.

    Raises:
        UserError: no ``nn.Conv2d`` has run.
    """
    taken: list[Tensor] = []

    def take(_layer: nn.Module, inputs: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
        taken[:] = [*inputs, *named.values()][:1]

    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    hooks = [layer.register_forward_pre_hook(take, with_kwargs=True) for layer in convolutions]
    try:
        output = network(images)
    finally:
        for hook in hooks:
            hook.remove()
    if not taken:
        raise UserError(
            f"kr matches the features before the network's last convolution, and {type(network).__name__} runs no "
            "nn.Conv2d. Use a backbone with convolutions, or der, which needs outputs only."
        )
    return output, taken[0]
