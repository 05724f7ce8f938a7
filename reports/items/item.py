"""What a report is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from benchmark.core.tables import frame_text
from reports.items import exports
from reports.items.drawing import Drawing
from reports.items.table import Table


@dataclass(frozen=True)
class Item:
    """One table or figure of a report, with all that a page shows of it and all files that it leaves.

    An item of neither is its data alone, which no page shows.

    Args:
        name: what it is, in a word, such as ``comparison``; unique within its scope.
        scope: the key of what it belongs to, a group or a family of runs; empty for what belongs to the whole report.
        title: its heading.
        table: the table.
        drawing: the figure.
        data: the figures behind it; of a table they may be more than it shows. None: those of the table itself, and of
            a drawing none.
        text: what a reader has to know before, in sentences.
        notes: remarks, each a point of a list below it.
        details: tables that tell the same in numbers, folded away below it.
    """

    name: str
    scope: str = ""
    title: str = ""
    table: Table | None = None
    drawing: Drawing | None = None
    data: pd.DataFrame | None = None
    text: str = ""
    notes: Sequence[str] = ()
    details: Sequence[Table] = ()

    @property
    def key(self) -> str:
        """Its name in the whole report: that of its files without their ending, and of its place on the page."""
        return f"{self.scope}-{self.name}" if self.scope else self.name

    @property
    def shown(self) -> bool:
        """Whether there is something for a page to show."""
        return self.table is not None or self.drawing is not None

    def files(self) -> Mapping[str, str | bytes]:
        """All files that it leaves, as path beside the page → content.

        ``tables/<key>.csv`` with the data; of a table ``.md`` and ``.tex`` beside it; of a drawing
        ``figures/<key>.svg`` and ``.png``.
        """
        found: dict[str, str | bytes] = {}
        data = exports.frame(self.table) if self.data is None and self.table is not None else self.data
        if data is not None:
            found[f"tables/{self.key}.csv"] = frame_text(data)
        if self.table is not None:
            found[f"tables/{self.key}.md"] = exports.markdown(self.table)
            found[f"tables/{self.key}.tex"] = exports.latex(self.table, self.key)
        if self.drawing is not None:
            found[f"figures/{self.key}.svg"] = self.drawing.svg
            found[f"figures/{self.key}.png"] = self.drawing.png
        return found
