"""What a stream is: an ordered list of restoration tasks, written in YAML.

A stream file names its tasks and how their images are degraded::

    summary: one line about the stream
    tasks:
      - name: denoise
        title: Denoising
        dataset: {train: div2k, test: bsd68}    # used with --data-root; embedded photographs without
        degradation: noise          # one of benchmark.data.degradations.DEGRADATIONS
        train: {std: 50}            # parameters in training; a range [low, high] is drawn anew for each patch
        test: {std: 50}             # parameters of the test images, degraded once and for all
      - name: denoise_again
        again: denoise              # the same task comes back: same settings, same test inputs, new patches

or it puts the tasks of another stream into another order::

    summary: one line about the order
    stream: four_tasks
    order: [denoise, deblock, deblur, derain]

The guide is docs/streams.md. This module knows nothing of torch or Avalanche; :mod:`benchmark.streams.build` makes the
Avalanche benchmark.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from benchmark.core.errors import UserError, unknown
from benchmark.core.files import named
from benchmark.core.validation import explain, filled
from benchmark.core.yaml_files import YamlFile, as_path
from benchmark.data.degradations import Degradation, make
from benchmark.data.names import composed

FOLDER = Path(__file__).with_name("shipped")

MOST_TASKS = 1000
"""Tasks of a stream, at most; every task is measured after every other."""


class TaskData(BaseModel):
    """The datasets that a task takes its images from where the run has a data root; empty for embedded photographs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train: str = Field(default="", description="name or family of the dataset to train on, such as DIV2K or rain100l")
    test: str = Field(default="", description="name or family of the dataset to test on")


class Task(BaseModel):
    """One restoration problem: a degradation, as it is trained and as it is tested."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="short name, used in commands and tables", pattern=r"^[A-Za-z0-9_]+$")
    title: str = Field("", description="name for people; the short name where empty")
    again: str = Field("", description="an earlier task of which this is the return; everything else is taken from it")
    dataset: TaskData = Field(default=TaskData(), description="datasets on disk; one name stands for both sides")
    degradation: str = Field(description="name of the degradation; of a dataset of pairs, what stands in for it")
    train: dict[str, Any] = Field(default_factory=dict, description="its parameters in training")
    test: dict[str, Any] = Field(default_factory=dict, description="its parameters on the test images")

    @field_validator("dataset", mode="before")
    @classmethod
    def _one_name_for_both(cls, dataset: Any) -> Any:
        return {"train": dataset, "test": dataset} if isinstance(dataset, str) else dataset

    @property
    def inputs(self) -> str:
        """The name under which its test inputs are drawn: its own, or that of the task of which it is the return."""
        return self.again or self.name

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
    tasks: list[Task] = Field(
        min_length=1, max_length=MOST_TASKS, description="the tasks in the order in which they are learned"
    )

    @field_validator("name")
    @classmethod
    def _composed(cls, name: str) -> str:
        return composed(filled(name))

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


def parts(tasks: Sequence[Task], label: int) -> list[int]:
    """Which tasks a mixture consists of, in the order in which its steps are applied to an image.

    Args:
        tasks: those of a stream.
        label: which of them, from 0.

    Returns:
        for each step the label of the first task with that degradation alone; nothing where the task is no mixture of
        several steps, or a step is no task of its own.
    """
    alone = {task.degradation: place for place, task in reversed(list(enumerate(tasks)))}
    steps = tasks[label].test.get("steps", []) if tasks[label].degradation == "blend" else []
    names = [next(iter(step)) for step in steps]
    return [alone[name] for name in names] if len(names) > 1 and alone.keys() >= set(names) else []


MEANT: dict[str, Any] = {"stream": str, "order": list[str]} | {
    name: field.annotation for name, field in Stream.model_fields.items()
}
"""The types that are wanted in a stream file, of either kind."""


def shipped() -> dict[str, Path]:
    """The streams that come with the suite, by name."""
    return named(FOLDER, ".yaml")


def load(name: str) -> Stream:
    """A shipped stream by its name, or a stream file by its path (ending in .yaml or .yml).

    A file that reorders another stream gives that stream, under its own name, so that an experiment has one name
    however it was asked for.

    Raises:
        UserError: there is no such stream, or its file is wrong; the line is told.
    """
    if name in shipped():
        return _shipped(name)
    if not name.endswith((".yaml", ".yml")):
        raise unknown("stream", name, shipped(), "Or give the path of a stream file that ends in .yaml.")
    try:
        return _read(as_path(name))
    except ValueError as error:
        raise UserError(f"Stream {name!r} is no path: {error}.") from error


@cache
def _shipped(name: str) -> Stream:
    """A shipped stream; it is read once, as it cannot change."""
    return _read(shipped()[name])


def _read(path: Path) -> Stream:
    file = YamlFile(path, "stream file", "a list 'tasks'", MEANT)
    if "stream" not in file.data:
        stream = _stream(file)
        original = shipped().get(stream.name)
        if original is not None and not path.samefile(original) and stream.tasks != load(stream.name).tasks:
            raise file.error(
                ["name"], f"'{stream.name}' is the name of a shipped stream with other tasks. Give the file another."
            )
        return stream
    for key in file.data:
        if key not in ("summary", "stream", "order"):
            raise file.error([key], str(unknown("key beside 'stream'", str(key), ["summary", "stream", "order"])))
    base, order, summary = file.data["stream"], file.data.get("order"), file.data.get("summary", "")
    if not isinstance(base, str) or base not in shipped():
        raise file.error(["stream"], str(unknown("stream", str(base), shipped())))
    if not isinstance(summary, str):
        raise file.error(["summary"], "'summary' is one line of text.")
    if not (isinstance(order, list) and all(isinstance(task, str) for task in order)):
        raise file.error(["order"], "'order' is needed: a list of the stream's tasks, such as [denoise, derain].")
    try:
        reordered = load(base).reordered(order)
    except UserError as error:
        raise file.error(["order"], str(error).removeprefix("--")) from error
    return reordered.model_copy(update={"summary": summary or reordered.summary})


def _stream(file: YamlFile) -> Stream:
    tasks = file.data.get("tasks")
    resolved: list[Any] = []
    for place, task in enumerate(tasks if isinstance(tasks, list) else []):
        if isinstance(task, dict) and "again" in task:
            task = _returned(task, resolved, file, place)
        resolved.append(task)
    try:
        stream = Stream.model_validate(
            {"name": file.path.stem, **file.data} | ({"tasks": resolved} if resolved else {})
        )
    except ValidationError as error:
        raise UserError(explain(error, Stream, file=file)) from error
    for place, one in enumerate(stream.tasks):
        for side in ("train", "test"):
            try:
                one.degrade(side)
            except UserError as error:
                key = "degradation" if str(error).startswith("Unknown degradation") else side
                where: list[str | int] = ["tasks", place, key]
                raise file.error(where, f"task '{one.name}', {side}: {error}") from error
    return stream


def _returned(task: dict[str, Any], earlier: list[Any], file: YamlFile, place: int) -> dict[str, Any]:
    """A task that comes back, with everything it takes from the task of which it is the return."""
    originals = {one["name"]: one for one in earlier if isinstance(one, dict) and isinstance(one.get("name"), str)}
    where: list[str | int] = ["tasks", place, "again"]
    if not isinstance(task["again"], str) or task["again"] not in originals:
        raise file.error(where, str(unknown("earlier task", str(task["again"]), originals)))
    own = {key: value for key, value in task.items() if key in ("name", "title", "again")}
    if len(own) != len(task):
        more = ", ".join(sorted(set(task) - set(own)))
        raise file.error(
            where, f"a task that comes back takes all but its name and title from '{task['again']}'; remove {more}."
        )
    original = originals[task["again"]]
    return {**original, "title": "", **own, "again": original.get("again") or original["name"]}
