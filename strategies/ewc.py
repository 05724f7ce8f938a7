"""Elastic Weight Consolidation (Kirkpatrick et al., PNAS 2017)."""

from typing import Any

from avalanche.training.plugins import EWCPlugin
from avalanche.training.utils import copy_params_dict
from pydantic import Field
from torch import Tensor

from strategies.base import Settings, Strategy, Traits
from strategies.importance import count_experiences, from_state, move, to_state


class EWCSettings(Settings):
    """Settings of EWC."""

    weight: float = Field(1e9, ge=0, le=1e12, description="weight of the penalties (λ/2 in the paper)")
    samples: int = Field(200, ge=1, le=100_000, description="patches of a task on which Fisher information is measured")


class EWC(Strategy):
    """Elastic Weight Consolidation: one quadratic penalty per earlier task, weighted by Fisher information.

    Over Avalanche's plugin in its mode "separate". The loss gains ``weight · Σ_i Σ_k F_ik (θ_k − θ*_ik)²`` (Eq. 3),
    with the weights θ*_i after each earlier task i. F_i is the diagonal of the empirical Fisher information of a
    Gaussian likelihood, up to a constant: the mean over patches of ``(∂MSE / ∂θ_k)²``, each patch's gradient by itself,
    over the task's first ``samples`` training patches. Avalanche alone would square the gradients of whole batches, so
    that F would fall with the batch size, and go through the whole training set, here every patch of every epoch.
    What is stored grows by twice the network with every task.
    """

    name = "ewc"
    Settings = EWCSettings
    traits = Traits(grows=True)
    settings: EWCSettings

    def __init__(self, settings: EWCSettings, seed: int = 0) -> None:
        super().__init__(settings, seed)
        self.plugin = EWCPlugin(settings.weight, mode="separate")

    def before_training_exp(self, template: Any, *args: Any, **kwargs: Any) -> None:
        """Bring what is known of earlier tasks to the device."""
        count_experiences(template)
        for values in [*self.plugin.importances.values(), *self.plugin.saved_params.values()]:
            move(values, template.device)

    def before_backward(self, template: Any, *args: Any, **kwargs: Any) -> None:
        """Add the penalties to the loss."""
        self.plugin.before_backward(template)

    def after_training_exp(self, template: Any, *args: Any, **kwargs: Any) -> None:
        """Measure Fisher information and keep it with the weights."""
        task, dataset = template.experience.current_experience, template.experience.dataset
        fisher = self.plugin.compute_importances(
            template.model,
            template._criterion,
            template.optimizer,
            dataset.subset(range(min(self.settings.samples, len(dataset)))),
            template.device,
            batch_size=1,
        )
        self.plugin.update_importances(fisher, task)
        self.plugin.saved_params[task] = copy_params_dict(template.model)

    def state(self) -> dict[str, Tensor]:
        """Fisher information and weights of every task so far."""
        state: dict[str, Tensor] = {}
        for task, fisher in self.plugin.importances.items():
            state |= to_state(f"fisher.{task}", fisher)
            state |= to_state(f"anchor.{task}", self.plugin.saved_params[task])
        return state

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take up Fisher information and weights."""
        for task in sorted({int(key.split(".")[1]) for key in state}):
            self.plugin.importances[task] = from_state(f"fisher.{task}", state)
            self.plugin.saved_params[task] = from_state(f"anchor.{task}", state)
