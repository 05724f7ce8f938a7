"""Memory Aware Synapses (Aljundi et al., ECCV 2018)."""

from typing import Any

import torch
from avalanche.training.plugins import MASPlugin
from avalanche.training.utils import ParamData, copy_params_dict
from pydantic import Field
from torch import Tensor

from strategies.base import Settings, Strategy
from strategies.importance import count_experiences, from_state, move, to_state


class MASSettings(Settings):
    """Settings of MAS."""

    weight: float = Field(1000.0, ge=0, le=1e6, description="weight λ of the penalty")
    samples: int = Field(200, ge=1, le=100_000, description="patches of a task on which importance is measured")


class PatchwiseMAS(MASPlugin):
    """Avalanche's MAS with importances from a few patches one by one, in evaluation mode.

    Avalanche takes the gradient of whole batches, of the whole training set (here: of every patch of every epoch, which
    costs as much as training), in training mode. The squared output is the same as Avalanche's: summed over channels
    and averaged over pixels, so that λ means the same for every patch size.
    """

    def __init__(self, weight: float, samples: int) -> None:
        super().__init__(lambda_reg=weight)
        self.samples = samples

    def _get_importance(self, strategy: Any) -> dict[str, ParamData]:
        model, dataset = strategy.model, strategy.experience.dataset
        parameters = {name: value for name, value in model.named_parameters() if value.requires_grad}
        importance = {name: torch.zeros_like(value) for name, value in parameters.items()}
        samples = min(self.samples, len(dataset))
        was_training = model.training
        model.eval()
        for index in range(samples):
            output = model(dataset[index][0].unsqueeze(0).to(strategy.device))
            squared_length = output.square().sum(1).mean()
            gradients = torch.autograd.grad(squared_length, list(parameters.values()))
            for total, gradient in zip(importance.values(), gradients, strict=True):
                total += gradient.abs() / samples
        model.train(was_training)
        return {name: ParamData(name, init_tensor=total, device=total.device) for name, total in importance.items()}


class MAS(Strategy):
    """Memory Aware Synapses: weights that the outputs are sensitive to are pulled back to their old values.

    Over Avalanche's plugin. The loss gains ``λ Σ_k Ω_k (θ_k − θ*_k)²`` (Eq. 4), where θ* are the weights after the
    previous task. Ω_k is the mean of ``|∂‖f(x)‖² / ∂θ_k|`` over patches x (Eq. 2-3), each patch's gradient by itself,
    measured after each task on its first ``samples`` training patches; over tasks it is a running mean with equal
    weight for each. θ* is not stored, because it is what the network starts the next task from.
    """

    name = "mas"
    Settings = MASSettings
    settings: MASSettings

    def __init__(self, settings: MASSettings, seed: int = 0) -> None:
        super().__init__(settings, seed)
        self.plugin = PatchwiseMAS(settings.weight, settings.samples)

    def before_training_exp(self, template: Any, *args: Any, **kwargs: Any) -> None:
        """Anchor the weights where they are."""
        count_experiences(template)
        self.plugin.params = copy_params_dict(template.model)
        move(self.plugin.importance or {}, template.device)

    def before_backward(self, template: Any, *args: Any, **kwargs: Any) -> None:
        """Add the penalty to the loss."""
        self.plugin.before_backward(template)

    def after_training_exp(self, template: Any, *args: Any, **kwargs: Any) -> None:
        """Measure importance and average it with that of the earlier tasks."""
        earlier = template.experience.current_experience
        self.plugin.alpha = earlier / (earlier + 1)
        self.plugin.after_training_exp(template)

    def state(self) -> dict[str, Tensor]:
        """The importances."""
        return to_state("importance", self.plugin.importance or {})

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take up the importances."""
        self.plugin.importance = from_state("importance", state)
