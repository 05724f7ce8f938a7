"""Dark Experience Replay, DER and DER++ (Buzzega et al., NeurIPS 2020), with images as outputs."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from strategies.base import EXEMPLARS, evaluating
from strategies.rehearsal import Rehearsal, RehearsalSettings, placed
from strategies.trainer import Trainer


class DERSettings(RehearsalSettings):
    """Settings of DER."""

    alpha: float = Field(1.0, ge=0, le=1e6, description="weight α of the distance to stored outputs")


class DER(Rehearsal):
    """Dark Experience Replay: on stored patches, the network keeps to the outputs that are stored beside them.

    The loss gains ``α E ‖f(x) − z‖²`` over stored patches x and their stored outputs z, for which every update draws
    as many patches as it has new ones, at the cost of one more forward and backward pass.

    What differs from the paper. Its z are logits of classes; here they are restored images, and the squared distance
    is averaged over channels and pixels as the loss is, so that α means the same for every patch size. The authors fill
    their memory while they train, by reservoir sampling, as they know no tasks, and so store outputs from all along the
    way. Here a task's patches and outputs are stored at its end. So the patches are those of ``replay`` and ``agem``,
    to the bit, which leaves the loss as all that differs; z is the best that the network knew; and nothing grows within
    a task that its checkpoints would have to hold. Outputs are float32: a patch takes nine bytes a value, not five,
    one of them for clean patches, which DER++ needs and DER does not.
    """

    name = "der"
    relative_cost = 2.5
    Settings: ClassVar[type[DERSettings]] = DERSettings
    settings: DERSettings

    def __init__(self, settings: DERSettings, seed: int = 0) -> None:
        super().__init__(settings, seed)
        self.outputs = torch.empty(0)

    def before_backward(self, trainer: Trainer) -> None:
        """Add the distance to stored outputs, if there are any."""
        if len(self.stored) and self.settings.alpha:
            chosen = self.stored.choose(trainer.train_mb_size, self.rng(trainer, "der"))
            restored = trainer.model(placed(self.stored.degraded[chosen], trainer.device))
            trainer.loss += self.settings.alpha * F.mse_loss(restored, self.outputs[chosen].to(trainer.device))

    def after_training_exp(self, trainer: Trainer) -> None:
        """Store patches of the task, and what the network makes of them now."""
        kept = self.stored.add(trainer.experience.current_experience, trainer.experience.dataset)
        with torch.no_grad(), evaluating(trainer.model.modules()):
            batches = self.stored.degraded[len(kept) :].split(trainer.train_mb_size)
            new = [trainer.model(placed(batch, trainer.device)).cpu().contiguous() for batch in batches]
        self.outputs = torch.cat([self.outputs[kept], *new] if kept else new)

    def state(self) -> dict[str, Tensor]:
        """The stored patches and their outputs."""
        return {**super().state(), f"{EXEMPLARS}outputs": self.outputs}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take up the stored patches and their outputs."""
        super().load_state(state)
        self.outputs = state[f"{EXEMPLARS}outputs"]


class DERppSettings(DERSettings):
    """Settings of DER++."""

    beta: float = Field(1.0, ge=0, le=1e6, description="weight β of the loss on stored patches")


class DERpp(DER):
    """DER++: Dark Experience Replay that also learns from the stored patches as from new ones.

    The loss is ``ℓ(f(x), y) + α E ‖f(x') − z'‖² + β E ℓ(f(x''), y'')`` with two draws of stored patches, x' and x'', at
    the cost of two more forward and backward passes. What is stored and what differs from the paper: see :class:`DER`,
    which it is at β = 0.

    Patches x'' are drawn as ``replay`` draws its own. Replay's loss is the mean over new and stored patches, half of
    each, so with α = 0 and β = 1 the loss, and its gradient, is twice that of ``replay`` at the same weights (up to
    rounding, and without normalisation over a batch, which here sees the new and the stored patches by themselves).
    """

    name = "derpp"
    relative_cost = 4.0
    Settings = DERppSettings
    settings: DERppSettings

    def before_backward(self, trainer: Trainer) -> None:
        """Add DER's term, and the loss on stored patches."""
        super().before_backward(trainer)
        if len(self.stored) and self.settings.beta:
            degraded, clean, _ = self.stored.draw(trainer.train_mb_size, self.rng(trainer, "replay"))
            restored = trainer.model(placed(degraded, trainer.device))
            trainer.loss += self.settings.beta * trainer.loss_function(restored, clean.to(trainer.device))
