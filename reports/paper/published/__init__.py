"""The tables of the paper as data, every figure as printed, with notes where the paper disagrees with itself."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from benchmark.core.errors import unknown

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Published:
    """One table of the paper.

    Args:
        table: its number in the paper.
        section: the section that discusses it.
        caption: the printed caption.
        setting: what it was measured on, in words.
        unit: the unit of its figures.
        columns: the heading of each column.
        rows: one list of printed strings per row, as long as ``columns``.
        notes: what a reader has to know, above all where two tables disagree.
        tasks: from a column's heading to the name the task has in this suite, where the columns are tasks.
        stream: the stream that is the counterpart of its tasks.
        metrics: what a cell holds, with slashes between: ``psnr`` in dB, ``ssim``.
        ours: for each row the runs that are its counterpart, as ``reports.paper.evidence.Family.find`` takes them;
            empty where rows are no configurations.
    """

    table: int
    section: str
    caption: str
    setting: str
    unit: str
    columns: list[str]
    rows: list[list[str]]
    notes: list[str]
    tasks: dict[str, str] = field(default_factory=dict)
    stream: str = "four_tasks"
    metrics: list[str] = field(default_factory=lambda: ["psnr"])
    ours: list[dict[str, Any]] = field(default_factory=list)

    def frame(self) -> pd.DataFrame:
        """The table as printed: texts."""
        return pd.DataFrame(self.rows, columns=self.columns, dtype=object)


def names() -> list[str]:
    """The tables that can be loaded: ``table1`` to ``table7``."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def load(name: str) -> Published:
    """One table of the paper by its name, such as ``table2``.

    Raises:
        UserError: there is no such table.
    """
    if name not in names():
        raise unknown("published table", name, names())
    return Published(**yaml.safe_load((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8")))
