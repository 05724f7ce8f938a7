"""Memory Aware Synapses (Aljundi et al., ECCV 2018)."""

from pydantic import Field

from strategies.base import Settings
from strategies.penalties import Anchored, mean_over_tasks, quadratic, sensitivity
from strategies.trainer import Trainer


class MASSettings(Settings):
    """Settings of MAS."""

    weight: float = Field(100.0, ge=0, le=1e6, description="weight λ of the penalty")
    samples: int = Field(200, ge=1, le=100_000, description="patches of a task on which importance is measured")


class MAS(Anchored):
    """Memory Aware Synapses: weights that the outputs are sensitive to are pulled back to their old values.

    The loss gains ``λ Σ_k Ω_k (θ_k − θ*_k)²`` (Eq. 4), with the weights θ* at the start of the task. After each task,
    Ω_k is the mean of ``|∂‖f(x)‖² / ∂θ_k|`` (Eq. 2-3) over its first ``samples`` training patches x, each by itself.
    ``‖f(x)‖²`` is summed over channels and averaged over pixels, so that λ means the same for every patch size. Over
    tasks Ω is a mean with equal weights, so that λ means the same after every task; that is chosen here, while the
    authors' own code adds the importances of tasks up.
    """

    name = "mas"
    Settings = MASSettings
    settings: MASSettings

    def before_backward(self, trainer: Trainer) -> None:
        """Add the penalty to the loss."""
        trainer.loss += self.settings.weight * quadratic(trainer.model, [(self.importance, self.anchor)])

    def after_training_exp(self, trainer: Trainer) -> None:
        """Measure importance and average it with that of the earlier tasks."""
        measured = sensitivity(trainer, self.settings.samples, lambda output, _: output.square().sum(1).mean())
        self.importance = mean_over_tasks(self.importance, measured, trainer.experience.current_experience)
