"""Table 6: what more parameters cost in one layer."""

import math

from benchmark.experiments import paper
from reports.items.item import Item
from reports.items.table import Cell, Column, Table
from reports.paper.evidence import Evidence
from reports.paper.tables.printed import HERE, PRINTED, as_item, cell, printed
from reports.text import NOTHING, count, fixed


def item(evidence: Evidence) -> Item | None:
    """A row for each way to build the layer that was measured; the table depends on no preset."""
    if not evidence.layer:
        return None
    experiment = paper.load("table6")
    said = printed(experiment)
    heads = said.columns[1:]
    columns = [Column("method"), Column("variant")]
    columns += [Column(head, HERE) for head in ("trainable", "kernel", "memory", "GMac", "time", "to plain")]
    columns += [Column(head, PRINTED) for head in heads]
    base = evidence.layer[0]
    published = {(row.ours["method"], row.ours["variant"]): row.cells[1:] for row in said.rows}
    rows = []
    for row in evidence.layer:
        theirs = published.get((row.method, row.variant))
        first = next(other for other in evidence.layer if other.method == row.method)
        memory = f"{count(row.peak_memory / 1e6)} MB"
        rows.append(
            [
                Cell(row.method, row.method),
                Cell(row.variant, row.variant),
                _times(row.trainable_parameters, first.trainable_parameters),
                _times(row.kernel_parameters, base.kernel_parameters),
                Cell(memory, row.peak_memory) if math.isfinite(row.peak_memory) else Cell(NOTHING),
                Cell(fixed(row.gmac, 3), row.gmac),
                Cell(f"{fixed(row.milliseconds)} ms", row.milliseconds),
                Cell(f"{fixed(row.ratio, 3)}×", row.ratio),
                *([cell(text) for text in theirs] if theirs else [Cell(NOTHING)] * len(heads)),
            ]
        )
    note = (
        f"One 3×3 convolution of {base.channels} channels on features of {base.size}×{base.size}; {base.device}, "
        f"{count(base.threads)} threads, median of {base.repeats} forward passes taken by turns. Memory is the peak of "
        "a forward pass, on the CPU that of the whole process. Trainable parameters are given as multiples of the "
        "method's first row, kernel parameters of the plain convolution's."
    )
    caption = "Cost of more parameters in a layer, ours and the paper's"
    return as_item(experiment, Table(caption, columns, rows, note=note, kind="sortable"))


def _times(value: float, base: float) -> Cell:
    ratio = value / base
    return Cell(f"{fixed(ratio, 1).removesuffix('.0')}×", ratio, f"{count(value)}")
