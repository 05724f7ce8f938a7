"""What several seeds tell about a difference, and what a table has to say about its figures."""

from collections.abc import Sequence

import numpy as np

from reports.results import Array, Entry
from reports.text import listed

LEVEL = 0.05
"""p from which on a difference over seeds is not called significant."""

FEWEST = 3
"""Seeds that a test takes."""


SAME = 1e-9
"""Differences that are nearer to each other than this, in dB, vary by rounding alone."""


def paired(one: Entry, other: Entry, name: str) -> Array:
    """``one`` − ``other`` in one of a result's figures, (S, ...) over the S seeds that both have."""
    theirs = {result.seed: getattr(result, name) for result in other.results}
    differences = [
        np.asarray(getattr(result, name)) - theirs[result.seed] for result in one.results if result.seed in theirs
    ]
    return np.array(differences, dtype=float)


def significance(differences: Array) -> float:
    """p of a paired, two-sided t-test that the mean of (S,) differences is 0; nan for fewer than FEWEST seeds.

    Differences that are all equal give 1 where they are 0, and 0 else.
    """
    if differences.ndim != 1 or len(differences) < FEWEST:
        return float("nan")
    if np.ptp(differences) < SAME:
        return float(abs(differences[0]) < SAME)
    from scipy.stats import ttest_1samp

    return float(ttest_1samp(differences, 0.0).pvalue)


def facts(where: str, entries: Sequence[Entry]) -> str:
    """What a table has to say about its figures: metric, preset, images, seeds, and how differences were tested.

    Args:
        where: the preset, in words.
        entries: what the table shows.
    """
    results = [result for entry in entries for result in entry.results]
    protocols = sorted({text for result in results for text in result.protocols})
    sources = sorted({str(side) for r in results for source in r.sources for side in (source.train, source.test)})
    seeds = sorted({result.seed for result in results})
    sentences = [
        f"PSNR in dB: {'; '.join(protocols) or 'protocol not stated'}.",
        f"{where[:1].upper()}{where[1:]}, images: {', '.join(sources)}.",
        f"Seed{'s' if len(seeds) > 1 else ''} {listed([str(seed) for seed in seeds])}.",
    ]
    if max((len(entry.results) for entry in entries), default=0) < FEWEST:
        sentences.append("Differences are not tested: that takes three seeds.")
    else:
        sentences.append(
            "Means ± standard deviation over seeds; † is not significantly worse than the best of its column (paired "
            f"t-test over seeds, p ≥ {LEVEL:g})."
        )
    return " ".join(sentences)
