"""Elastic Weight Consolidation (Kirkpatrick et al., PNAS 2017)."""

from pydantic import Field
from torch import Tensor

from strategies.base import Settings, Strategy, Traits
from strategies.penalties import Tensors, moved, patch_gradients, quadratic, squared, weights
from strategies.state import from_state, to_state
from strategies.trainer import Trainer


class EWCSettings(Settings):
    """Settings of EWC."""

    weight: float = Field(1e9, ge=0, le=1e12, description="weight of the penalties (λ/2 in the paper)")
    samples: int = Field(200, ge=1, le=100_000, description="patches of a task on which Fisher information is measured")


class EWC(Strategy):
    """Elastic Weight Consolidation: one quadratic penalty per earlier task, weighted by Fisher information.

    The loss gains ``weight · Σ_i Σ_k F_ik (θ_k − θ*_ik)²`` (Eq. 3), with the weights θ*_i after each earlier task i.
    F_i is the diagonal of the empirical Fisher information of a Gaussian likelihood, up to a constant: the mean of
    ``(∂MSE / ∂θ_k)²`` over the first ``samples`` training patches of the task, each by itself; the gradient of a whole
    batch would fall with its size. What is stored grows by twice the network with every task.
    """

    name = "ewc"
    Settings = EWCSettings
    traits = Traits(grows=True)
    settings: EWCSettings

    def __init__(self, settings: EWCSettings, seed: int = 0) -> None:
        super().__init__(settings, seed)
        self.fisher: list[Tensors] = []
        self.anchors: list[Tensors] = []

    def before_training_exp(self, trainer: Trainer) -> None:
        """Bring what is known of earlier tasks to the device."""
        self.fisher = [moved(fisher, trainer.device) for fisher in self.fisher]
        self.anchors = [moved(anchor, trainer.device) for anchor in self.anchors]

    def before_backward(self, trainer: Trainer) -> None:
        """Add the penalties to the loss."""
        earlier = zip(self.fisher, self.anchors, strict=True)
        trainer.loss += self.settings.weight * quadratic(trainer.model, earlier)

    def after_training_exp(self, trainer: Trainer) -> None:
        """Measure Fisher information and keep it with the weights."""
        samples = min(self.settings.samples, len(trainer.experience.dataset))
        total: Tensors = {}
        for gradients in patch_gradients(trainer, samples, trainer.loss_function):
            for name, gradient in gradients.items():
                total[name] = total.get(name, 0) + squared(gradient)
        self.fisher.append({name: value / samples for name, value in total.items()})
        self.anchors.append(weights(trainer.model))

    def state(self) -> dict[str, Tensor]:
        """Fisher information and weights of every task so far."""
        state: Tensors = {}
        for task, (fisher, anchor) in enumerate(zip(self.fisher, self.anchors, strict=True)):
            state |= to_state(f"fisher.{task}", fisher) | to_state(f"anchor.{task}", anchor)
        return state

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take up Fisher information and weights."""
        tasks = sorted({int(key.split(".")[1]) for key in state})
        self.fisher = [from_state(f"fisher.{task}", state) for task in tasks]
        self.anchors = [from_state(f"anchor.{task}", state) for task in tasks]
