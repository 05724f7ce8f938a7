"""Made results of runs for the claims of the paper, without directories: one seed, or several that differ by luck."""

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
from made_runs import INPUTS, ORDER, PROTOCOL, config

from benchmark.core.runs.directory import Run
from benchmark.experiments import paper
from reports.paper.evidence import NOISE_LEVELS
from reports.results import ImageSet, Result, Source

SETTINGS: dict[str, dict[str, Any]] = {
    "cmc": {"fraction": 0.2, "t": 5, "t_ends": None, "sharing": "fixed", "start": None, "exhausted": "error"},
    "packnet": {"fraction": 0.2},
    "mas": {"weight": 1000},
}
LEVEL = (30.0, 25.0, 28.0, 26.0)
SHARES = (0.2, 0.1, 0.05, 0.025, 0.0125)
"""Shares of the memory in Table 1."""

Results = Sequence[Result]


def made(
    strategy: str = "cmc",
    final: Sequence[float] = LEVEL,
    lost: Sequence[float] = (),
    order: Sequence[str] = ORDER,
    stream: str = "four_tasks",
    backbone: str = "resnet",
    seed: int = 0,
    changed: tuple[int, int] | None = None,
    first: float = 20.0,
    **settings: Any,
) -> Result:
    """A finished run without a directory.

    Args:
        strategy: its name.
        final: PSNR on each task after the whole stream, in the stream's order.
        lost: dB that each task had more when it was learned; nothing by default.
        order: the tasks.
        stream: the stream's name.
        backbone: the network's name.
        seed: the run's seed.
        changed: outputs of earlier tasks that changed, of how many.
        first: validation PSNR of the last task after its first epoch.
        settings: the strategy's settings where they differ from those of the preset.
    """
    tasks = len(order)
    psnr = np.tile(np.array(final, float), (tasks, 1))
    psnr[:-1] += np.array(lost) if lost else 0.0
    given = config(
        strategy,
        seed,
        stream=stream,
        order=list(order),
        backbone={"name": backbone, "width": 16},
        settings={**SETTINGS.get(strategy, {}), **settings},
    )
    curves = pd.DataFrame(
        [{"after": tasks, "place": tasks, "epoch": epoch, "psnr": first + epoch - 1} for epoch in range(3)]
    )
    return Result(
        run=cast(Run, SimpleNamespace(curves=curves, status={}, environment={})),
        config=given,
        state="finished",
        outputs={"psnr": psnr, "ssim": psnr / 40},
        inputs={"psnr": np.full(tasks, INPUTS[0]), "ssim": np.full(tasks, 0.5)},
        changed=changed,
        costs={},
        protocols=(PROTOCOL,),
        sources=(Source(ImageSet(), ImageSet()),) * tasks,
    )


def pair(fraction: float, gains: Sequence[float], level: Sequence[float] = LEVEL, **more: Any) -> Results:
    """A run with sharing and one without, that differ by so many dB on each task."""
    better = [value + gain for value, gain in zip(level, gains, strict=True)]
    return [
        made(final=better, fraction=fraction, sharing="fixed", **more),
        made(final=level, fraction=fraction, sharing="none", **more),
    ]


def by_fraction(gains: Sequence[float]) -> Results:
    """Pairs at every share of the memory, with these gains on every task but the first."""
    return [one for share, gain in zip(SHARES, gains, strict=True) for one in pair(share, [0, gain, gain, gain])]


def started(gap_at_5: float, gap_at_1: float) -> Results:
    """Pairs whose first epochs differ by these gaps."""
    return [
        made(first=20 + (gap if sharing == "fixed" else 0), fraction=share, sharing=sharing)
        for share, gap in ((0.05, gap_at_5), (0.0125, gap_at_1))
        for sharing in ("fixed", "none")
    ]


def ordered(gains: Sequence[float]) -> Results:
    """Every order of Table 3, with these gains at the four places."""
    levels = dict(zip(ORDER, LEVEL, strict=True))
    return [
        made(final=[levels[task] + gain for task, gain in zip(order, gains, strict=True)], order=order, fraction=0.0125)
        for order in paper.orders(paper.load("table3"))
    ]


def table2(**finals: Sequence[float]) -> Results:
    """A run of each of these strategies."""
    return [made(name, final) for name, final in finals.items()]


NOISE = (30.0, 28.0, 26.0, 25.0, 24.0)


def noise(gains: Sequence[float]) -> Results:
    """A pair on the stream of noise levels."""
    return pair(0.2, gains, NOISE, stream="noise_levels", order=NOISE_LEVELS)


def ends(gains: Sequence[float]) -> Results:
    """CMC-5 throughout, and CMC-10 in the first and last layer."""
    better = [value + gain for value, gain in zip(LEVEL, gains, strict=True)]
    return [made(fraction=0.0125), made(final=better, fraction=0.0125, t_ends=10)]


def networks(gains: dict[str, Sequence[float]]) -> Results:
    """A pair for each network."""
    return [one for name, gain in gains.items() for one in pair(0.0125, gain, backbone=name)]


HELPS = (0.0, 0.1, 0.1, 0.1)
CLOSE, WIDE = 0.001, 0.5
"""dB; paired spreads beside which a gap of 0.1 dB is large, and beside which it is nothing."""


def over_seeds(results: Results, spread: float, seeds: int = 3) -> Results:
    """The same runs with several seeds: each is off by luck of this size, and the first epoch of the last task, too."""
    luck = np.random.default_rng(0)
    found = []
    for seed in range(seeds):
        for one in results:
            shift = luck.normal(0, spread / np.sqrt(2), one.psnr.shape[1])
            curves = one.run.curves.assign(psnr=one.run.curves["psnr"] + luck.normal(0, spread / np.sqrt(2)))
            found.append(
                replace(
                    one,
                    config={**one.config, "seed": seed},
                    run=cast(Run, SimpleNamespace(curves=curves, status={}, environment={})),
                    outputs={**one.outputs, "psnr": np.vstack([one.psnr[:-1], one.psnr[-1:] + shift])},
                )
            )
    return found


def close(results: Results) -> Results:
    """Three seeds that agree."""
    return over_seeds(results, CLOSE)


def wide(results: Results) -> Results:
    """Three seeds that do not."""
    return over_seeds(results, WIDE)


def with_gaps(*gaps: float) -> Results:
    """CMC-10 at both ends over CMC-5 by so many dB on every task, in one seed after the other."""
    found = []
    for seed, gap in enumerate(gaps):
        found += [replace_seed(one, seed, 0.0) for one in ends((gap, gap, gap, gap))]
    return found


def replace_seed(result: Result, seed: int, shift: float) -> Result:
    """The same run of another seed, whose figures are all shifted."""
    return replace(
        result, config={**result.config, "seed": seed}, outputs={**result.outputs, "psnr": result.psnr + shift}
    )
