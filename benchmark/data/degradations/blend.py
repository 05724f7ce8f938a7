"""Several degradations as one."""

from typing import Any, ClassVar

import numpy as np
from pydantic import Field, field_validator

from benchmark.core.errors import UserError
from benchmark.data.degradations.base import Degradation, make, register


@register
class Blend(Degradation):
    """Several degradations, one after another."""

    name: ClassVar[str] = "blend"
    steps: tuple[Degradation, ...] = Field(
        min_length=1, description="degradations in the order in which they are applied, each as {name: {parameters}}"
    )

    @property
    def context(self) -> int:
        """What the steps need, added up."""
        return sum(step.context for step in self.steps)

    @property
    def longest(self) -> int:
        """What every step takes."""
        return min(step.longest for step in self.steps)

    @field_validator("steps", mode="before")
    @classmethod
    def _made(cls, steps: Any) -> Any:
        if not isinstance(steps, list | tuple):
            raise ValueError("a list such as [{blur: {std: 2}}, {jpeg: {quality: 20}}] is accepted")
        made = []
        for step in steps:
            if isinstance(step, Degradation):
                made.append(step)
                continue
            if not (isinstance(step, dict) and len(step) == 1 and isinstance(next(iter(step.values())), dict | None)):
                raise ValueError(
                    f"a step is a degradation with its parameters, such as {{blur: {{std: 2}}}}, not {step!r}"
                )
            ((name, parameters),) = step.items()
            try:
                made.append(make(str(name), parameters or {}))
            except UserError as error:
                raise ValueError(str(error).rstrip(".")) from error
        return tuple(made)

    def numbers(self, height: int, width: int, rng: np.random.Generator) -> list[Any]:
        """Those of every step."""
        return [step.numbers(height, width, rng) for step in self.steps]

    def apply(self, image: np.ndarray, numbers: list[Any]) -> np.ndarray:
        """Apply every step to the result of the one before it."""
        for step, drawn in zip(self.steps, numbers, strict=True):
            image = step.apply(image, drawn)
        return image
