"""What a reader has to know before the figures of a group: where they mean nothing, or little."""

import math
from dataclasses import dataclass

from reports.configurations import configuration
from reports.groups import Entry, Group
from reports.results import SMOKE, mean
from reports.seeds import FEWEST
from reports.text import brief, fixed


@dataclass(frozen=True)
class Caveat:
    """One caveat.

    Args:
        text: in a sentence or two.
        grave: whether the figures mean nothing; else they mean less than they seem to.
    """

    text: str
    grave: bool


def caveats(group: Group) -> list[Caveat]:
    """What there is to say before the figures of a group, the gravest first."""
    asked = (_smoke, _below_the_input, _there_again, _diverged, _few_seeds)
    return [found for ask in asked if (found := ask(group)) is not None]


def _smoke(group: Group) -> Caveat | None:
    if group.preset != SMOKE:
        return None
    text = (
        "The preset smoke trains just long enough to show that everything runs. These figures tell nothing about the "
        "strategies, and no claim is judged by them."
    )
    return Caveat(text, grave=True)


def _below_the_input(group: Group) -> Caveat | None:
    degraded = mean(group.input("psnr"))
    scores = {entry.label: float(entry.mean("mean_psnr")) for entry in group.entries}
    below = [label for label, score in scores.items() if round(score, 2) < round(degraded, 2)]
    if not below:
        return None
    if len(below) == sum(math.isfinite(score) for score in scores.values()):
        text = (
            f"Every strategy ends below the degraded input ({fixed(degraded)} dB in the mean): what went in is better "
            "than what comes out, and what differs between strategies means nothing. Train for longer."
        )
        return Caveat(text, grave=True)
    text = (
        f"In the mean over the tasks {brief(below, f'of {len(scores)} strategies')} "
        f"{'ends' if len(below) == 1 else 'end'} below the degraded input ({fixed(degraded)} dB)."
    )
    return Caveat(text, grave=False)


def _there_again(group: Group) -> Caveat | None:
    again = [f"{entry.label}, seed {result.seed}" for entry in group.entries for result in entry.again]
    text = f"There more than once, and counted once: {brief(again, 'runs')}. The table of runs has all of them."
    return Caveat(text, grave=False) if again else None


def _diverged(group: Group) -> Caveat | None:
    lost = [f"{entry.label}, seed {seed}" for entry in group.entries for seed in _diverged_seeds(entry, group)]
    text = (
        f"Diverged, and so in no mean: {brief(lost, 'runs')}. Means over the other seeds make a strategy that may "
        "diverge look better than it is."
    )
    return Caveat(text, grave=False) if lost else None


def _few_seeds(group: Group) -> Caveat | None:
    few, of = sum(len(entry.results) < FEWEST for entry in group.entries), len(group.entries)
    text = (
        f"{'Every strategy' if few == of else f'{few} of {of} strategies'} ran with fewer than three seeds: part of "
        "any difference is luck. One seed tells nothing apart, two only what is nine times their spread."
    )
    return Caveat(text, grave=False) if few else None


def _diverged_seeds(entry: Entry, group: Group) -> list[int]:
    """The seeds in which an entry's configuration diverged and never finished."""
    finished, own = {result.seed for result in entry.results}, configuration(entry.results[0])
    lost = {one.seed for one in group.unfinished if one.state == "diverged" and configuration(one) == own}
    return sorted(lost - finished)
