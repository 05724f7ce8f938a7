"""What a degradation is: its parameters, its random numbers, and how it is found by name."""

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from benchmark.core.errors import UserError, shortened, unknown
from benchmark.core.validation import reason_of

CONTEXT = 16
"""Pixels of surroundings a training patch needs on each side, so that its degraded pixels are those that degrading
the whole photograph would give: one block of JPEG's 4:2:0 chroma grid, and twice the reach of the widest blur."""

Real = float | tuple[float, float]
Whole = int | tuple[int, int]

Window = tuple[slice, slice]
"""Rows and columns of a part of an image, both ends given."""


def between(low: float, high: float, whole: bool = False) -> BeforeValidator:
    """Accepts a number from ``low`` to ``high``, or a range ``[low, high]`` of such numbers."""
    kind = "whole number" if whole else "number"

    def check(value: Any) -> Any:
        ends = tuple(value) if isinstance(value, list | tuple) else (value, value)
        if whole:
            ends = tuple(int(end) if isinstance(end, float) and end.is_integer() else end for end in ends)
        numbers = all(isinstance(end, int if whole else int | float) and not isinstance(end, bool) for end in ends)
        if not numbers or len(ends) != 2 or not low <= ends[0] <= ends[1] <= high:
            raise ValueError(f"a {kind} from {low:g} to {high:g} is accepted, or a range [low, high] of such numbers")
        return ends if isinstance(value, list | tuple) else ends[0]

    return BeforeValidator(check)


def draw(value: Real, rng: np.random.Generator) -> float:
    """The number itself, or one drawn uniformly from the range."""
    return rng.uniform(*value) if isinstance(value, tuple) else value


def draw_whole(value: Whole, rng: np.random.Generator) -> int:
    """The number itself, or one drawn uniformly from the range, both ends included."""
    return int(rng.integers(*value, endpoint=True)) if isinstance(value, tuple) else value


class Degradation(BaseModel, ABC):
    """Base of all degradations; the fields of a subclass are its parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
    name: ClassVar[str]

    @property
    def context(self) -> int:
        """Pixels of surroundings that a training patch needs on each side."""
        return CONTEXT

    @property
    def longest(self) -> int:
        """Pixels that a side of an image may have."""
        return sys.maxsize

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Degrade one image.

        Args:
            image: float32, height × width × 3, RGB, from 0 to 1.
            rng: the only source of randomness.

        Returns:
            float32, of the same size.
        """
        return self.apply(image, self.numbers(image.shape[0], image.shape[1], rng))

    @abstractmethod
    def numbers(self, height: int, width: int, rng: np.random.Generator) -> Any:
        """All that is random about the degradation of one image of this size, as :meth:`apply` takes it."""

    @abstractmethod
    def apply(self, image: np.ndarray, numbers: Any) -> np.ndarray:
        """What is left to compute, with nothing random in it; image and result as in :meth:`__call__`."""

    def apply_within(self, image: np.ndarray, numbers: Any, window: Window) -> np.ndarray:
        """What :meth:`apply` gives in a window of the image, to the bit; work for the rest is spared if it can be."""
        return self.apply(image, numbers)[window]

    def __init_subclass__(cls, **options: Any) -> None:
        """Where a subclass has an :meth:`apply` of its own, what another one does within a window is not its own."""
        super().__init_subclass__(**options)
        if "apply" in vars(cls) and "apply_within" not in vars(cls):
            cls.apply_within = Degradation.apply_within  # type: ignore[method-assign]


DEGRADATIONS: dict[str, type[Degradation]] = {}
"""Every degradation by its name in stream files."""

Kind = TypeVar("Kind", bound=type[Degradation])


def register(kind: Kind) -> Kind:
    """Make a degradation known by its name."""
    DEGRADATIONS[kind.name] = kind
    return kind


def make(name: str, parameters: Mapping[str, Any]) -> Degradation:
    """The degradation that a stream file asks for.

    >>> make("jpeg", {"quality": [10, 70]})
    JPEG(quality=(10, 70))

    Raises:
        UserError: no degradation has this name, or a parameter is unknown, missing or out of its range.
    """
    if name not in DEGRADATIONS:
        raise unknown("degradation", name, DEGRADATIONS)
    kind = DEGRADATIONS[name]
    try:
        return kind.model_validate(dict(parameters))
    except ValidationError as error:
        problem = error.errors()[0]
    field = str(problem["loc"][0]) if problem["loc"] else ""
    if problem["type"] == "extra_forbidden":
        raise unknown(f"parameter of '{name}'", field, kind.model_fields)
    if problem["type"] == "missing":
        raise UserError(f"Degradation '{name}' needs '{field}' ({kind.model_fields[field].description}).")
    reason = reason_of(problem)
    given = f" was given {field} = {shortened(repr(problem['input']))}" if field else ""
    raise UserError(f"Degradation '{name}'{given}: {reason}.")
