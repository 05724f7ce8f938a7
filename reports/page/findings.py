"""What a comparison found, in one sentence computed from its figures."""

import math
from collections.abc import Mapping, Sequence

from reports.groups import Entry, Group
from reports.paired import LEVEL
from reports.results import mean
from reports.seeds import several
from reports.tables.marks import ahead, behind
from reports.text import brief, fixed, listed

ALONE = {
    "yes": "All are told the task at test time: ",
    "no": "None is told the task at test time: ",
    "unknown": "",
}
"""What the sentence begins with where all strategies know as much of the task."""

FIRST = {"yes": "Of the strategies told the task at test time, ", "no": "Of the strategies not told the task, "}
LATER = {"no": "of those not told, ", "unknown": "of those that do not say whether they are told, "}
"""How it begins, and goes on, where some are told the task and others are not: they are ranked by themselves."""


def finding(group: Group) -> str:
    """Which entry ends with the highest mean PSNR, of those told the task and of those not, and which forgot most.

    Where there are several seeds, also what is not told apart from the best.
    """
    known = [entry for entry in group.entries if math.isfinite(float(entry.mean("mean_psnr")))]
    if not known:
        return "No run of this comparison has finished yet."
    losses = {entry.label: round(float(entry.mean("mean_forgetting")), 2) for entry in known}
    losses = {label: loss for label, loss in losses.items() if math.isfinite(loss)}
    degraded = mean(group.input("psnr"))
    return _alone(known[0], losses, degraded) if len(known) == 1 else _compared(known, losses, degraded)


def _alone(entry: Entry, losses: Mapping[str, float], degraded: float) -> str:
    aside = {"yes": ", told the task at test time,", "no": ", not told the task at test time,", "unknown": ""}
    _, beside = _score(entry, degraded)
    sentence = f"{entry.label}{aside[entry.told]} ends with a mean PSNR of {beside}"
    if not losses:
        return f"{sentence}."
    (loss,) = losses.values()
    return f"{sentence} and forgot {f'{fixed(loss)} dB' if loss > 0 else 'nothing'} on average."


def _compared(entries: Sequence[Entry], losses: Mapping[str, float], degraded: float) -> str:
    told = [name for name in ALONE if any(entry.told == name for entry in entries)]
    parts = []
    for place, name in enumerate(told):
        best, beside = _leaders([entry for entry in entries if entry.told == name], degraded)
        start = ALONE[name] if len(told) == 1 else LATER[name] if place else FIRST[name]
        have = "" if place else f" {'has' if len(best) == 1 else 'have'} the highest mean PSNR after the whole stream"
        parts.append(f"{start}{listed(best)}{have}, {beside}")
    return f"{'; '.join(parts)}{_forgot(losses)}.{_level(entries)}"


def _forgot(losses: Mapping[str, float]) -> str:
    """Who forgot most, as the end of a sentence; empty where nobody could forget."""
    if not losses:
        return ""
    most = max(losses.values())
    if most <= 0:
        return "; no strategy forgot anything on average"
    worst = listed([label for label, loss in losses.items() if loss == most])
    return f"; {worst} forgot the most, {fixed(most)} dB on average"


def _level(entries: Sequence[Entry]) -> str:
    """What the seeds do not tell apart from the best of its kind, in a sentence; empty where all are of one seed."""
    found = behind(entries, [entry.told for entry in entries])
    if not (several(entries) and found):
        return ""
    beside: dict[str, list[str]] = {}
    for one in found:
        if not one.p < LEVEL:
            beside.setdefault(one.best.label, []).append(one.entry.label)
    reversed_ = "".join(f" {sentence}" for sentence in ahead(found))
    if not beside:
        return reversed_ or " Over the seeds, all others are told apart from the best."
    parts = [f"{best} is not told apart from {brief(others, 'others')}" for best, others in beside.items()]
    return f" Over the seeds, {listed(parts)}.{reversed_}"


def _leaders(entries: Sequence[Entry], degraded: float) -> tuple[list[str], str]:
    """The labels of the entries with the highest mean PSNR as printed, and that PSNR in words."""
    scores = {entry.label: _score(entry, degraded) for entry in entries}
    best, beside = max(scores.values())
    return [label for label, (score, _) in scores.items() if score == best], beside


def _score(entry: Entry, degraded: float) -> tuple[float, str]:
    """Mean PSNR in dB as it is printed, and in words with its distance to the degraded input."""
    exact = float(entry.mean("mean_psnr"))
    score, gain = round(exact, 2), exact - degraded
    return score, f"{fixed(score)} dB ({fixed(abs(gain))} dB {'over' if gain >= 0 else 'below'} the degraded input)"
