"""What the reference runs came to, as a page in Markdown: ``docs/results.md``."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmark.core.clock import duration
from benchmark.reference.comparing import commit, machine
from benchmark.reference.records import Records
from reports.groups import Collection, Entry, Group, collect
from reports.items.exports import markdown
from reports.items.table import Cell, Column, Table
from reports.paper import contents
from reports.paper.claims import UNMEASURED, judge
from reports.paper.evidence import Evidence, gather
from reports.results import SMOKE
from reports.tables import comparison
from reports.tables.cells import kept
from reports.text import NOTHING, count, listed, plain, seeds_told

LEAD = """# Results

What the runs that come with the suite came to. This page is written by `python -m benchmark reference page` from their
records alone; [runs.md](runs.md) tells how a record gets in, and how anybody can repeat one:

    python -m benchmark reference list
    python -m benchmark reference verify --sample 1

A run of your own stands beside all of these in a report with `report … --with-reference`.
"""

PAPER = (
    "The paper trains for 125 epochs of 1,000 updates on its full data sets: compare orders and signs, not absolute "
    "figures.\n"
)
"""What the paper's part begins with."""

COSTS = [
    Column("stored", "", "bytes to keep to go on: the checkpoint, and training images that are needed again"),
    Column("MAC/pixel", "", "multiply-accumulates of a restored pixel of the task learned last"),
    Column("time", "", "training and measuring, on the machine of the record"),
    Column("seeds"),
]


def page(folder: Path) -> str:
    """The page, in Markdown.

    Args:
        folder: the archives; the records of the preset SMOKE, whose figures mean nothing, are left out.

    Raises:
        UserError: an archive cannot be read.
    """
    parts = [LEAD]
    shown: set[str] = set()
    with Records(folder) as records:
        beside = [records.layer] if records.layer else []
        for preset in records.presets:
            if preset != SMOKE:
                parts += _preset(collect([records.place(preset), *beside]), shown)
    if len(parts) == 1:
        parts.append("No run has been kept yet.\n")
    return "\n".join(parts)


def _preset(collection: Collection, shown: set[str]) -> Iterator[str]:
    """What there is of a preset; a table of the paper that was shown already, as it is of no preset, is left out."""
    for group in collection.groups:
        yield f"## {group.title}\n"
        yield _about(group)
        yield markdown(_board(group))
    for evidence in gather(collection):
        yield from _paper(evidence, shown)


def _about(group: Group) -> str:
    """What stands behind the figures, in sentences."""
    seeds = sorted({result.seed for result in group.results})
    commits = sorted({plain(commit(result.run.environment)) for result in group.results})
    made = sorted({plain(machine(result.run.environment), 200) for result in group.results})
    runs, configurations = len(group.results), len(group.entries)
    of = f" of {configurations} configurations" if configurations > 1 else ""
    few = " Most of them ran with one seed, so part of any difference is luck." if _alone(group) else ""
    return (
        f"{runs} run{'s' if runs > 1 else ''}{of}, {' → '.join(group.order)}; "
        f"{seeds_told(seeds)}.{few} Made by commit {listed(commits)}, "
        f"on {'; '.join(made)}.\n"
    )


def _alone(group: Group) -> bool:
    """Whether there are several entries, most of which have a single seed."""
    return len(group.entries) > 1 and sum(len(entry.results) == 1 for entry in group.entries) * 2 > len(group.entries)


def _board(group: Group) -> Table:
    """The comparison in PSNR, the best first, with what each strategy costs."""
    table = comparison.table(group)
    table = table.view(table.views[0])
    head, rows = table.rows[: table.fixed], table.rows[table.fixed :]
    ranked = sorted(zip(group.entries, rows, strict=True), key=lambda pair: -float(pair[0].mean("mean_psnr")))
    return replace(
        table,
        columns=[*table.columns, *COSTS],
        rows=[[*row, *[Cell(NOTHING)] * len(COSTS)] for row in head]
        + [[*row, *_costs(entry)] for entry, row in ranked],
    )


def _costs(entry: Entry) -> list[Cell]:
    macs = float(entry.mean(lambda result: result.cost("macs_per_pixel")))
    seconds = [result.run.status.get("seconds") for result in entry.results]
    known = [float(one) for one in seconds if isinstance(one, int | float)]
    time = duration(sum(known) / len(known)) if known else NOTHING
    return [kept(entry), Cell(count(macs)), Cell(time), Cell(", ".join(str(result.seed) for result in entry.results))]


def _paper(evidence: Evidence, before: set[str]) -> Iterator[str]:
    """The paper's tables beside ours and its claims, as far as there is a run for them."""
    made = [item for make in contents.CONTENTS if (item := make(evidence)) and item.table]
    items = [item for item in made if item.key not in before]
    before |= {item.key for item in items}
    verdicts = judge(evidence)
    measured = [verdict for verdict in verdicts if verdict.state != UNMEASURED]
    if items or measured:
        yield f"## The paper, {evidence.title}\n"
        yield PAPER
    for item in items:
        assert item.table is not None
        shown = [row for place, row in enumerate(item.table.rows) if place not in item.table.aside]
        left = len(item.table.rows) - len(shown)
        without = f"\n{f'{left} rows of it have' if left > 1 else 'One row of it has'} no run here.\n" if left else ""
        yield f"### {item.title}\n"
        yield markdown(replace(item.table, rows=shown, aside=frozenset())) + without
    if measured:
        columns = [Column(head) for head in ("claim", "verdict", "measured", "in the paper")]
        rows = [[Cell(one.claim.text), Cell(one.state), Cell(one.measured), Cell(one.claim.paper)] for one in measured]
        yield "### Scorecard\n"
        caption = f"The paper's claims on these runs: {len(measured)} of {len(verdicts)} were measured"
        yield markdown(Table(caption, columns, rows))
