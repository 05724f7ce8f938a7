"""Which tables and figures of the paper a report holds, in which order."""

from collections.abc import Callable

from reports.items.item import Item
from reports.paper.evidence import Evidence
from reports.paper.figures import figure4, figure5, figure6, ranking
from reports.paper.tables import by_row, table3, table6

CONTENTS: tuple[Callable[[Evidence], Item | None], ...] = (
    by_row.table("table1"),
    by_row.table("table2"),
    ranking.item,
    table3.item,
    by_row.table("table4"),
    by_row.table("table5"),
    table6.item,
    by_row.table("table7"),
    figure4.item,
    figure5.item,
    figure6.item,
)
"""A table or figure is its file in ``benchmark/experiments/paper`` and one line here; what has a form of its own is a
file with a function of the evidence, too."""
