"""Where everything that is printed goes through: texts stay as they are.

Names of folders, files, tasks, strategies and settings come from outside. Square brackets and colons in them are never
markup, control characters are shown and not obeyed, and a line is never broken, so that a path can be copied.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from benchmark.core.errors import UserError
from benchmark.core.process.endings import Stopped, broken_pipe, mute
from benchmark.core.shell import literal

NARROWEST = 20
"""Columns that are printed into at the least; some terminals, and COLUMNS=0, tell of none."""


class Plain(Console):
    """A console to which text is only text, also in the cells of a table.

    What is written over, such as a progress bar, is for terminals alone; FORCE_COLOR asks for colours in a log.

    Args:
        stderr: write to standard error.
    """

    def __init__(self, stderr: bool = False) -> None:
        written_over = None if (sys.stderr if stderr else sys.stdout).isatty() else False
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False, force_interactive=written_over)
        if self.width < NARROWEST:
            self.width = NARROWEST

    def print(self, *objects: Any, soft_wrap: bool | None = None, **options: Any) -> None:
        """Print as rich does; a line of text is left to the terminal to wrap.

        Raises:
            UserError: it cannot be written, as into a file on a full disk.
        """
        if soft_wrap is None and all(isinstance(one, str | Text) for one in objects):
            soft_wrap = True
        with written():
            super().print(*objects, soft_wrap=soft_wrap, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """The text as it is, whatever markup is asked for."""
        return super().render_str(literal(text), **{**options, "markup": False, "emoji": False, "highlight": False})

    def on_broken_pipe(self) -> None:
        """Nobody reads the output any more; a run notes that as what ended it."""
        self.quiet = True
        raise broken_pipe()


@contextmanager
def written() -> Iterator[None]:
    """Whoever prints inside of the block is told if that cannot be written.

    Raises:
        UserError: it cannot, as into a file on a full disk.
        Stopped: nobody reads it any more.
    """
    try:
        yield
    except BrokenPipeError as error:
        raise broken_pipe() from error
    except OSError as error:
        mute()
        raise UserError(f"What is printed cannot be written: {error.strerror}.") from error


def page(text: str) -> None:
    """Print a text of many lines, such as a page in Markdown, as it is.

    Raises:
        UserError: it cannot be written, as into a file on a full disk.
        Stopped: nobody reads it any more.
    """
    with written():
        sys.stdout.write(text)
        sys.stdout.flush()


class Description(TextColumn):
    """The name of what a progress bar is about, as it is."""

    def __init__(self, style: str = "progress.description") -> None:
        super().__init__("{task.description}", style=style, markup=False)

    def render(self, task: Task) -> Text:
        """The name; what would steer the terminal is written out."""
        return Text(literal(task.description), style=self.style)


def progress(console: Console | None, **options: Any) -> Progress:
    """rich's usual progress bar, with descriptions as they are."""
    columns: list[ProgressColumn] = [Description(), *Progress.get_default_columns()[1:]]
    return Progress(*columns, console=console, **options)


def passing(console: Console | None) -> Progress:
    """A progress bar that leaves no trace, and is shown on a terminal alone."""
    return progress(console, transient=True, disable=not (console and console.is_interactive))


def error(message: str) -> None:
    """Tell an error of the user's on standard error; where that cannot be written, the exit code alone tells it."""
    try:
        Plain(stderr=True).print(Text.assemble(("Error:", "bold red"), " ", literal(message)))
    except (UserError, Stopped):
        mute(stderr=True)


def gib(size: int) -> str:
    """A number of bytes as people write it.

    >>> gib(2**30), gib(3 * 2**29)
    ('1 GiB', '1.5 GiB')
    """
    return f"{size / 2**30:,.1f} GiB".replace(".0 ", " ")
