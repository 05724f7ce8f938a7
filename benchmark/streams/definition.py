"""What a stream is: an ordered list of restoration tasks, written in YAML.

A stream file names its tasks and how their images are degraded::

    summary: one line about the stream
    tasks:
      - name: denoise
        title: Denoising
        degradation: noise          # one of benchmark.degradations.DEGRADATIONS
        train: {std: 50}            # parameters in training; a range [low, high] is drawn anew for each patch
        test: {std: 50}             # parameters of the test images, degraded once and for all

This module knows nothing of torch or Avalanche; :mod:`benchmark.streams.build` makes the Avalanche benchmark.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from benchmark.degradations import Degradation, make
from benchmark.errors import UserError, unknown
from benchmark.validation import explain

FOLDER = Path(__file__).parent


class Task(BaseModel):
    """One restoration problem: a degradation, as it is trained and as it is tested."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="short name, used in commands and tables", pattern=r"^[A-Za-z0-9_]+$")
    title: str = Field("", description="name for people; the short name where empty")
    degradation: str = Field(description="name of the degradation")
    train: dict[str, Any] = Field(default_factory=dict, description="its parameters in training")
    test: dict[str, Any] = Field(default_factory=dict, description="its parameters on the test images")

    def degrade(self, split: str) -> Degradation:
        """The degradation of training patches (``split == "train"``) or of validation and test images.

        Raises:
            UserError: a parameter is unknown or out of range.
        """
        return make(self.degradation, self.train if split == "train" else self.test)


class Stream(BaseModel):
    """An ordered list of tasks with a name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="the file's name")
    summary: str = Field("", description="one line for lists and reports")
    tasks: list[Task] = Field(min_length=1, description="the tasks in the order in which they are learned")

    @field_validator("tasks")
    @classmethod
    def _named_once(cls, tasks: list[Task]) -> list[Task]:
        names = [task.name for task in tasks]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"task names must differ; given more than once: {', '.join(twice)}")
        return tasks

    @property
    def order(self) -> list[str]:
        """The tasks' names."""
        return [task.name for task in self.tasks]

    def reordered(self, order: Sequence[str]) -> "Stream":
        """The same tasks in another order, or only some of them.

        Raises:
            UserError: a name is not a task of this stream, or stands twice.
        """
        tasks = {task.name: task for task in self.tasks}
        for name in order:
            if name not in tasks:
                raise unknown(f"task of stream '{self.name}'", name, tasks)
        if len(set(order)) != len(order) or not order:
            raise UserError(f"--order {','.join(order)}: give each task at most once, from: {', '.join(tasks)}.")
        return self.model_copy(update={"tasks": [tasks[name] for name in order]})


def shipped() -> dict[str, Path]:
    """The streams that come with the suite, by name."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))}


def load(name: str) -> Stream:
    """A shipped stream by its name, or a stream file by its path (ending in .yaml or .yml).

    Raises:
        UserError: there is no such stream, or its file is wrong.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else shipped().get(name)
    if path is None:
        raise unknown("stream", name, shipped(), "Or give the path of a stream file that ends in .yaml.")
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"Cannot read the stream file '{path}': {error.strerror}.") from error
    except yaml.YAMLError as error:
        raise UserError(f"'{path}' is not valid YAML: {error}") from error
    if not isinstance(data, dict):
        raise UserError(f"'{path}' is no stream file: it needs a list 'tasks'.")
    try:
        stream = Stream.model_validate({"name": path.stem, **data})
        for task in stream.tasks:
            task.degrade("train")
            task.degrade("test")
    except ValidationError as error:
        raise UserError(f"Stream file '{path}': {explain(error, Stream)}") from error
    except UserError as error:
        raise UserError(f"Stream file '{path}', task '{task.name}': {error}") from error
    return stream
