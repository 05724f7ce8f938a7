"""The time that is foretold for many runs, from made events whose true duration is known."""

import heapq

import pytest

from benchmark.engine import events
from benchmark.engine.events import Event, Share
from benchmark.engine.executors.forecast import Forecast, span

UPDATES, TASKS = 100, 4


def happening(seconds: list[float], jobs: int, start: float, test: float) -> list[tuple[float, Event]]:
    """The events of runs and their moments.

    Args:
        seconds: of an update of each run.
        jobs: how many at once.
        start: seconds until a run's first task.
        test: seconds from the end of a task's training to the next task.
    """
    free = [0.0] * jobs
    told: list[tuple[float, Event]] = []
    for number, update in enumerate(seconds):
        now, name = heapq.heappop(free), f"run-{number}"
        told.append((now, events.RunBegun(name)))
        now += start
        for place in range(1, TASKS + 1):
            told.append((now, events.TaskBegun(name, "cmc", "denoise", place, TASKS)))
            for _ in range(UPDATES // 5):
                now += 5 * update
                told.append((now, events.Updated(name, 0.1, 5)))
            now += test
        told.append((now, events.RunFinished(name, now)))
        heapq.heappush(free, now)
    return sorted(told, key=lambda one: one[0])


@pytest.mark.parametrize("jobs", [1, 2, 3])
@pytest.mark.parametrize(
    ("seconds", "weights"),
    [
        ([0.5] * 8, [1.0] * 8),
        ([0.5] * 5, [1.0] * 5),
        ([0.4, 0.5, 0.6, 1.0, 0.6, 0.4, 0.5], [0.9, 1.0, 1.1, 2.2, 1.2, 0.9, 1.0]),
    ],
    ids=["alike", "with a rest", "of several strategies"],
)
def test_the_eta_of_jobs_is_right_within_a_quarter_after_the_first_task(
    jobs: int, seconds: list[float], weights: list[float]
) -> None:
    told = happening(seconds, jobs, start=15.0, test=8.0)
    end = told[-1][0]
    clock = [0.0]
    forecast = Forecast(lambda: clock[0])
    shares = {f"run-{number}": Share(UPDATES * TASKS, weight) for number, weight in enumerate(weights)}
    forecast(events.Planned("", shares, jobs))
    assert forecast.seconds_left() is None, "nothing was timed"
    judged = 0
    for moment, event in told:
        clock[0] = moment
        forecast(event)
        first = any(isinstance(one, events.TaskBegun) and one.place == 2 and at <= moment for at, one in told)
        left = forecast.seconds_left()
        if first and end - moment > 60:
            assert left == pytest.approx(end - moment, rel=0.25), (moment, end)
            judged += 1
    assert judged > 20
    assert forecast.seconds_left() == 0
    assert forecast.part == 1


def test_the_eta_of_jobs_counts_what_is_kept_resumed_lost_and_failed() -> None:
    clock = [0.0]
    forecast = Forecast(lambda: clock[0])
    forecast(events.Planned("", {name: Share(100) for name in "abcd"}, 1))
    forecast(events.RunKept("a"))
    forecast(events.RunBegun("b"))
    forecast(events.RunResumed("b", 1, 2, 50))
    assert forecast.part == pytest.approx(0.375)
    forecast(events.TaskBegun("b", "cmc", "denoise", 2, 2))
    clock[0] = 20.0
    forecast(events.Updated("b", 0.1, 40))
    assert forecast.seconds_left("b") == pytest.approx(5), "half a second for each of the ten that are left"
    assert forecast.seconds_left() == pytest.approx(105)
    forecast(events.RunLost("b", "killed"))
    forecast(events.RunBegun("b"))
    forecast(events.RunResumed("b", 1, 2, 50))
    assert forecast.part == pytest.approx(0.375), "what was lost is not counted"
    forecast(events.RunFailed("b", "odd"))
    forecast(events.RunFailed("c", "odd"))
    assert forecast.part == pytest.approx(0.75)


def test_a_share_weighs_what_an_update_takes() -> None:
    clock = [0.0]
    forecast = Forecast(lambda: clock[0])
    forecast(events.Planned("", {"a": Share(100, weight=1.0), "b": Share(100, weight=3.0)}, 1))
    forecast(events.RunBegun("a"))
    forecast(events.TaskBegun("a", "cmc", "denoise", 1, 1))
    clock[0] = 50.0
    forecast(events.Updated("a", 0.1, 50))
    assert forecast.seconds_left() == pytest.approx(50 + 300)


def test_the_span_of_jobs_is_that_of_the_last_to_end() -> None:
    assert span([4, 3, 2, 1], 2) == 5
    assert span([4, 3, 2, 1], 1) == 10
    assert span([4, 3, 2, 1], 9) == 4
    assert span([], 2) == 0
