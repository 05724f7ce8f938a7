"""``--until-decided``: seeds are added until what runs are compared for is decided, or the most seeds are reached."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from conftest import Command
from made_runs import made_run

from benchmark.commands import reproduce as commands
from benchmark.config import RunConfig
from benchmark.core.errors import UserError
from benchmark.core.runs.directory import Run
from benchmark.engine.executors.execute import Results
from benchmark.experiments import agenda
from benchmark.experiments.agenda import Agenda, more_seeds, planned_seeds
from benchmark.experiments.experiment import Combination, Experiment
from benchmark.experiments.matrix import Choices
from benchmark.experiments.schedule import Planned
from reports.groups import collect
from reports.paper import scorecard
from reports.paper.claims import judge
from reports.paper.evidence import gather
from reports.text import listed

CMC = {"fraction": 0.0125, "t": 5, "t_ends": None, "sharing": "fixed", "start": None, "exhausted": "error"}
LUCK = (0.06, -0.05, 0.02, -0.03, 0.01, 0.0, 0.02, -0.02, 0.01, 0.0)
"""dB by which a seed's gain is off."""

Gain = Callable[[Combination, int], float]


class Made:
    """Stands in for what trains: every run that is asked for is made in no time, and noted.

    Args:
        gain: dB that a run has over the plain ones, of its combination and seed.
    """

    def __init__(self, gain: Gain) -> None:
        self.gain = gain
        self.rounds: list[tuple[list[str], list[int]]] = []
        self.made: dict[str, Run] = {}

    def gather(self, experiments: Sequence[Experiment], choices: Choices, out: Path, *_: Any) -> Agenda:
        planned, needed = [], {}
        seeds = [choices.seeds or tuple(one.seeds) for one in experiments]
        for experiment, own in zip(experiments, seeds, strict=True):
            for seed in own:
                for one in experiment.combinations("quick"):
                    identity = f"{one.strategy}-{one.settings}-{seed}"
                    if identity not in self.made:
                        settings = {key.partition(".")[2]: value for key, value in one.settings.items()}
                        given = CMC | settings if one.strategy == "cmc" else settings
                        shift = self.gain(one, seed)
                        self.made[identity] = made_run(out, one.strategy, shift=shift, seed=seed, settings=given)
                        finished = False
                    else:
                        finished = True
                    config = cast(RunConfig, SimpleNamespace(identity=identity))
                    needed.setdefault(identity, []).append(experiment.name)
                    planned.append(Planned(config, self.made[identity], 4, finished, 0.0, 0.0))
        self.rounds.append(([one.name for one in experiments], sorted({seed for own in seeds for seed in own})))
        return Agenda(planned, needed, {}, [])

    def perform(self, wanted: Agenda, *_: Any) -> Results:
        return Results([one.run for one in wanted.planned], [])


def judged(paths: list[Path], out: Path, overwrite: bool = False) -> Any:
    """A report that is its scorecard alone."""
    scored = [(evidence, judge(evidence)) for evidence in gather(collect(paths))]
    return SimpleNamespace(index=out / "index.html", scorecard=scorecard.frame(scored))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Callable[[Gain], Made]:
    """Puts :class:`Made` in the place of what trains."""

    def replaced(gain: Gain) -> Made:
        one = Made(gain)
        monkeypatch.setattr(agenda, "gather", one.gather)
        monkeypatch.setattr(agenda, "perform", one.perform)
        monkeypatch.setattr("benchmark.experiments.schedule.summary", lambda planned, _: f"{len(planned)} runs.")
        monkeypatch.setattr("reports.build", judged)
        return one

    return replaced


def at_both_ends(gain: float) -> Gain:
    """CMC-10 in the first and last layer leads by this much, give or take LUCK."""
    return lambda one, seed: gain + LUCK[seed] if one.settings.get("cmc.t_ends") else 0.0


def reproduce(tmp_path: Path, *names: str, most: int | None = None, until_decided: bool = True) -> None:
    commands.reproduce(
        list(names), until_decided=until_decided, most=most, out=tmp_path / "runs", report=tmp_path / "page"
    )


@pytest.mark.slow
def test_seeds_are_added_until_the_claim_is_decided(
    made: Callable[[Gain], Made], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = made(at_both_ends(0.2))
    reproduce(tmp_path, "table5")
    printed = capsys.readouterr().out
    assert one.rounds[0] == (["table5"], [0])
    assert [seeds for _, seeds in one.rounds[1:]] == [[seed] for seed in range(1, len(one.rounds))]
    assert 3 <= len(one.rounds) < 10
    last = len(one.rounds) - 1
    for seed in range(1, last + 1):
        assert f"next is seed {seed}" in printed
    seeds = listed([str(seed) for seed in range(last + 1)])
    assert f"Nothing is left that more seeds would decide (p < 0.01), with seeds {seeds}." in " ".join(printed.split())
    assert printed.count("Undecided: A larger memory in the first and the last layer") == last
    assert "one seed has no spread" in printed
    assert "holds" in printed.rpartition("Undecided: ")[2]
    one.rounds.clear()
    reproduce(tmp_path, "table5")
    assert len(one.rounds) == last + 1, "a second call goes the same way, and does nothing anew"
    assert len(one.made) == 2 * (last + 1)


@pytest.mark.slow
def test_it_ends_with_the_most_seeds(
    made: Callable[[Gain], Made], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = made(at_both_ends(0.0))
    reproduce(tmp_path, "table5", most=3)
    printed = " ".join(capsys.readouterr().out.split())
    assert [seeds for _, seeds in one.rounds] == [[0], [1], [2]]
    assert "1 undecided (p ≥ 0.01) with seeds 0, 1 and 2; no more than 3 seeds are run (--most-seeds)." in printed


@pytest.mark.slow
def test_without_the_option_the_planned_seeds_are_all(made: Callable[[Gain], Made], tmp_path: Path) -> None:
    one = made(at_both_ends(0.0))
    reproduce(tmp_path, "table5", until_decided=False)
    assert len(one.rounds) == 1


@pytest.mark.slow
def test_only_experiments_with_something_undecided_get_more(made: Callable[[Gain], Made], tmp_path: Path) -> None:
    """Two seeds tell what is equally far apart in both; what is not apart at all is never told."""
    files = [tmp_path / "far.yaml", tmp_path / "near.yaml"]
    for file, names in zip(files, ("packnet, deform", "ewc, mas"), strict=True):
        file.write_text(f"strategies: [{names}]\n", encoding="utf-8")
    one = made(lambda run, seed: {"packnet": 3.0, "ewc": LUCK[seed]}.get(run.strategy, 0.0))
    commands.sweep(files, until_decided=True, most=3, out=tmp_path / "runs", report=tmp_path / "page")
    assert one.rounds == [(["far", "near"], [0]), (["far", "near"], [1]), (["near"], [2])]


@pytest.mark.slow
def test_a_sweep_goes_on_until_all_are_told_from_the_best(
    made: Callable[[Gain], Made], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("strategies: [ewc, mas]\nseeds: [3, 5]\n", encoding="utf-8")
    one = made(lambda run, seed: 0.0 if run.strategy == "mas" else 0.3 + LUCK[seed])
    commands.sweep([file], until_decided=True, most=9, out=tmp_path / "runs", report=tmp_path / "page")
    assert [seeds for _, seeds in one.rounds] == [[3, 5], [0]], "the smallest seed that is free comes next"
    printed = " ".join(capsys.readouterr().out.split())
    assert "ewc over mas" in printed
    assert "Nothing is left that more seeds would decide" in printed


def test_which_seeds_come_next() -> None:
    two = [Experiment(name="a", seeds=[0]), Experiment(name="b", seeds=[0, 2])]
    assert planned_seeds(two, Choices()) == [0, 2]
    assert planned_seeds(two, Choices(seeds=(7,))) == [7]
    assert more_seeds([0, 2], 5) == [1, 3, 4]
    assert more_seeds([0, 1, 2], 2) == []


def test_a_number_of_seeds_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--until-decided"):
        reproduce(tmp_path, "table5", most=3, until_decided=False)


def test_fewer_seeds_at_most_than_are_planned_are_refused(
    made: Callable[[Gain], Made], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = made(at_both_ends(0.2))
    file = tmp_path / "mine.yaml"
    file.write_text("strategies: [finetune]\nseeds: [0, 3, 4]\n", encoding="utf-8")
    places = {"out": tmp_path / "runs", "report": tmp_path / "page"}
    with pytest.raises(UserError, match=r"2 seeds at most \(--most-seeds\), and 3 are planned: 0, 3 and 4\..*--seed"):
        commands.sweep([file], until_decided=True, most=2, **places)
    with pytest.raises(UserError, match=r"10 seeds at most \(--most-seeds\), and 11 are planned"):
        commands.sweep([file], until_decided=True, seed="0,1,2,3,4,5,6,7,8,9,10", **places)
    assert not one.rounds


def test_the_real_command_at_tiny_scale(command: Command, tmp_path: Path) -> None:
    """Of one task EWC is plain finetuning, so that the two are never told apart; two runs at once."""
    file = tmp_path / "mine.yaml"
    file.write_text("strategies: [finetune, ewc]\norders: [[deblur]]\n", encoding="utf-8")
    words = ["sweep", str(file), "--preset", "smoke", "--out", str(tmp_path / "runs"), "--until-decided"]
    words += ["--report", str(tmp_path / "page"), "--most-seeds", "2", "--jobs", "2"]
    listed = command(*words, "--dry-run")
    assert listed.returncode == 0, listed.stderr
    assert "2 runs, 0 finished" in listed.stdout
    assert "at most, with seeds 0 and 1:" in listed.stdout
    assert "4 runs, 0 finished" in listed.stdout
    assert not (tmp_path / "runs").exists()
    done = command(*words)
    assert done.returncode == 0, done.stderr
    assert "undecided (p ≥ 0.01) with seeds 0; next is seed 1." in " ".join(done.stdout.split())
    seeds = sorted(Run(path).config["seed"] for path in (tmp_path / "runs").glob("[!.]*"))
    assert seeds == [0, 0, 1, 1]
