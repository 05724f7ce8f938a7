"""A plugin of avalanche-lib as a strategy of the suite: its MAS, which is handed the hooks that it has."""

from avalanche.training.plugins import MASPlugin
from avalanche.training.utils import ParamData
from pydantic import Field
from torch import Tensor

from strategies.base import Settings, Strategy, Trainer
from strategies.state import from_state, to_state


class AvalancheMASSettings(Settings):
    """Settings of avalanche-lib's MAS."""

    weight: float = Field(1.0, ge=0, le=1e9, description="weight of the penalty")


class AvalancheMAS(Strategy):
    """MAS as avalanche-lib has it, whose importances grow with the area of a patch."""

    name = "avalanche_mas"
    Settings = AvalancheMASSettings

    def __init__(self, settings: AvalancheMASSettings, seed: int = 0) -> None:
        super().__init__(settings, seed)
        self.plugin = MASPlugin(lambda_reg=settings.weight)

    def before_backward(self, trainer: Trainer) -> None:
        """Add the penalty to the loss."""
        self.plugin.before_backward(trainer)

    def after_training_exp(self, trainer: Trainer) -> None:
        """Find out which weights are important to the task."""
        self.plugin.after_training_exp(trainer)

    def state(self) -> dict[str, Tensor]:
        """What the plugin carries from task to task, which its own checkpoints would pickle."""
        kept = {"params": self.plugin.params, "importance": self.plugin.importance}
        return {key: one.data for of, data in kept.items() for key, one in to_state(of, data or {}).items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take it up again."""
        for of in ("params", "importance"):
            data = {name: ParamData(name, init_tensor=value) for name, value in from_state(of, state).items()}
            setattr(self.plugin, of, data or None)
