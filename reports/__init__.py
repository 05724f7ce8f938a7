"""From run directories to tables, figures and one HTML page; needs neither torch nor the training code."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reports.report import Report


def build(paths: list[Path], out: Path, overwrite: bool = False, reference: Path | None = None) -> "Report":
    """Read all runs at or below the paths and write a report.

    Args:
        paths: run directories, folders that hold some, and files ``layer-profile.csv`` with the measurement of the
            paper's Table 6, which is found in such a folder, too.
        out: the folder to write to: ``index.html`` (one file, works offline), ``tables/`` (CSV, Markdown, LaTeX) and
            ``figures/`` (SVG, PNG). An earlier report there is replaced; see :mod:`reports.folder`.
        overwrite: replace files in ``out`` that no report wrote, too.
        reference: a folder of records (:mod:`benchmark.reference.records`), of which those that may be compared with
            the runs are put beside them; None for none.

    Raises:
        UserError: there is no run at the paths, or none that can be read; or ``out`` cannot be written to, or holds
            files of somebody else's.
    """
    from reports.report import make

    return make(paths, out, overwrite, reference)
