"""Which entries a figure shows where there are more than it has room for."""

from collections.abc import Sequence

import numpy as np

from reports.groups import Entry

MOST_PANELS = 24
"""Entries of which a figure shows a panel each."""

MOST_LINES = 12
"""Entries that a figure draws in colour and names in its legend; more cannot be told apart."""

CHOICE = "the best of each strategy and then those with the highest mean PSNR after the whole stream"
"""How :func:`leading` chooses, in words."""


def leading(entries: Sequence[Entry], most: int) -> list[Entry]:
    """At most so many entries, in the order given: the best of each strategy, then those with the highest mean PSNR.

    So a figure shows every strategy before it shows variants of one; there, too, the highest mean PSNR comes first.
    What came with the suite comes after all that did not.
    """
    means = np.array([float(entry.mean("mean_psnr")) for entry in entries])
    best = np.argsort(-means, kind="stable").tolist()  # nan comes last
    firsts = {entries[place].results[0].strategy: place for place in reversed(best)}.values()
    chosen = sorted(best, key=lambda place: (entries[place].reference, place not in firsts))[:most]
    return [entries[place] for place in sorted(chosen)]
