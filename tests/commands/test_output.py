"""The progress of many runs, as it is shown: from made events, in a log and on a terminal."""

import io

import pytest
from rich.console import Console
from rich.progress import Progress

from benchmark.commands.output import Reporter
from benchmark.core.printing import progress
from benchmark.engine import events
from benchmark.engine.events import Event, Share


def shown(told: list[tuple[float, Event]], terminal: bool) -> str:
    """What a reporter writes of events at some seconds."""
    text = io.StringIO()
    clock = [0.0]
    console = Console(file=text, width=160, force_terminal=terminal, color_system=None)
    with Reporter(console, now=lambda: clock[0]) as reporter:
        for moment, event in told:
            clock[0] = moment
            reporter(event)
        if reporter.live is not None:
            return "\n".join(
                f"{task.description}|{task.percentage:.0f}|{task.fields['detail']}|{task.fields['eta']}"
                for task in reporter.live.tasks
            )
    return text.getvalue()


def two_of_three() -> list[tuple[float, Event]]:
    """Three runs of two tasks, two at once: one has finished, one has just begun, one is at its second task."""
    shares = {name: Share(200) for name in ("first", "second", "third")}
    told: list[tuple[float, Event]] = [(0, events.Planned("", shares, jobs=2, threads=1))]
    for name in ("first", "second"):
        told += [(0, events.RunBegun(name)), (10, events.TaskBegun(name, "cmc", "denoise", 1, 2))]
    told += [(60, events.Updated(name, 0.5, 100)) for name in ("first", "second")]
    told += [(60, events.EpochEnded("second", 1, 1, 0.25, 30.0))]
    told += [(60, events.TaskBegun(name, "cmc", "deblock", 2, 2)) for name in ("first", "second")]
    told += [(110, events.Updated("first", 0.5, 100)), (110, events.RunFinished("first", 100.0))]
    told += [(110, events.RunBegun("third")), (120, events.TaskBegun("third", "mas", "denoise", 1, 2))]
    return [*told, (121, events.Updated("second", 0.125, 90))]


def test_a_terminal_has_a_line_for_each_of_the_jobs_and_one_for_all() -> None:
    total, second, third = shown(two_of_three(), terminal=True).splitlines()
    assert second.startswith("2  cmc  deblock (2/2)|95|loss 0.12500  epoch 1/1  PSNR 30.00 dB|")
    assert third.startswith("3  mas  denoise (1/2)|0|")
    assert total.startswith("all runs|65|1 of 3 runs|1 min 4")


def test_a_log_has_plain_lines_that_tell_the_jobs_apart() -> None:
    told = [*two_of_three(), (122, events.RunLost("third", "its process was killed")), (122, events.RunBegun("third"))]
    told += [(123, events.RunFailed("third", "odd")), (124, events.RunWaits("second", "process 7 writes it."))]
    lines = shown(told, terminal=False).splitlines()
    assert lines[0] == "2 runs at once, 1 thread each (--jobs, --threads)"
    assert "first: run 1 of 3" in lines
    assert any(
        line.startswith("2  cmc  denoise (1/2)  epoch 1/1  loss 0.25000  validation PSNR 30.00") for line in lines
    )
    assert "first: finished in 1 min 40 s" in lines
    assert "third: its process was killed; it is tried again" in lines
    assert "third: failed: odd" in lines
    assert "second: process 7 writes it. It is come back to after the others." in lines


@pytest.mark.parametrize("takes_force", [True, False])
def test_of_a_run_that_is_kept_force_is_told_only_where_the_command_takes_it(takes_force: bool) -> None:
    text = io.StringIO()
    with Reporter(Console(file=text, width=160), takes_force=takes_force) as reporter:
        reporter(events.RunKept("first"))
    assert text.getvalue().startswith("first: finished before; kept")
    assert ("--force" in text.getvalue()) == takes_force


@pytest.mark.parametrize("terminal", [True, False])
def test_a_single_run_has_one_line_without_a_number(terminal: bool) -> None:
    told = [event for event in two_of_three() if event[1].run == "first"]
    text = shown([(0, events.Planned("", {"first": Share(200)}, 1, 2)), *told[:-1]], terminal)
    assert "at once" not in text
    assert "all runs" not in text
    if terminal:
        assert text.startswith("cmc  deblock (2/2)|100|")


def test_a_terminal_that_cannot_go_back_has_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    log = shown(two_of_three(), terminal=False)
    assert shown(two_of_three(), terminal=True).split() == log.split(), "it is 80 columns wide"


def test_a_progress_bar_shows_what_steers_a_terminal_in_a_name() -> None:
    console = Console(file=io.StringIO(), width=160, force_terminal=True, color_system=None)
    bars: Progress = progress(console)
    bars.add_task("mine\x1b[2J\u202e\u200f[b]", total=1.0)
    console.print(bars.get_renderable())
    told = console.file.getvalue()
    assert r"mine\x1b[2J\u202e\u200f[b]" in told
    assert not any(letters in told for letters in ("\x1b[2J", "\u202e", "\u200f"))


def test_missing_pictures_are_told_where_a_run_goes_on() -> None:
    resumed = events.RunResumed("first", 1, 2, 1600, pictures=3)
    told = shown([(0, resumed)], terminal=False)
    assert "goes on after 1 of 2 tasks, 1,600 updates in all; 3 pictures of its outputs are missing" in told
