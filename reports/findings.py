"""What a comparison found, in one sentence computed from its figures."""

import math

from reports.results import Group, mean
from reports.text import fixed, listed


def finding(group: Group) -> str:
    """Which entry ends with the highest mean PSNR, and which forgot the most, in dB."""
    known = [entry for entry in group.entries if math.isfinite(float(entry.mean("mean_psnr")))]
    if not known:
        return "No run of this comparison has finished yet."
    scores = {entry.label: round(float(entry.mean("mean_psnr")), 2) for entry in known}
    losses = {entry.label: round(float(entry.mean("mean_forgetting")), 2) for entry in known}
    losses = {label: loss for label, loss in losses.items() if math.isfinite(loss)}
    best, most = max(scores.values()), max(losses.values(), default=math.nan)
    gain = best - mean(group.input("input_psnr"))
    beside = f"{fixed(abs(gain))} dB {'over' if gain >= 0 else 'below'} the degraded input"
    if len(known) == 1:
        label = known[0].label
        sentence = f"{label} ends with a mean PSNR of {fixed(best)} dB ({beside})"
        if most > 0:
            return f"{sentence} and forgot {fixed(most)} dB on average."
        return f"{sentence}." if math.isnan(most) else f"{sentence} and forgot nothing on average."
    first = listed([label for label, score in scores.items() if score == best])
    have = "has" if list(scores.values()).count(best) == 1 else "have"
    sentence = f"{first} {have} the highest mean PSNR after the whole stream, {fixed(best)} dB"
    sentence += f" ({beside})"
    if math.isnan(most):
        return f"{sentence}."
    if most <= 0:
        return f"{sentence}; no strategy forgot anything on average."
    worst = listed([label for label, loss in losses.items() if loss == most])
    return f"{sentence}; {worst} forgot the most, {fixed(most)} dB on average."
