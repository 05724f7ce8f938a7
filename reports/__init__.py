"""From run directories to tables, figures and one HTML page; needs neither torch nor the training code."""

from pathlib import Path

from benchmark.errors import UserError
from benchmark.runs import write_text


def build(paths: list[Path], out: Path) -> Path:
    """Read all runs at or below the paths and write a report.

    Args:
        paths: run directories, or folders that hold some.
        out: the folder to write to: ``index.html`` (one file, works offline), ``tables/*.csv``, ``figures/*.svg`` and
            ``figures/*.png``.

    Returns:
        The path of ``index.html``.

    Raises:
        UserError: there is no run at the paths, or ``out`` cannot be written to.
    """
    from reports import figures, frames, html, pictures
    from reports.published import load
    from reports.results import collect
    from reports.style import looks

    collection = collect(paths)
    styles = looks(collection.labels)
    csvs = {"runs.csv": frames.runs(collection).to_csv(index=False)}
    sections = []
    for group in collection.groups:
        matrix, curves = frames.matrix(group), frames.curves(group)
        drawings: dict[str, figures.Drawing] = {}
        if group.entries:
            drawings["matrix"] = figures.matrices(group, styles)
            drawings["forgetting"] = figures.retention(group, matrix, styles)
            if len(curves):
                drawings["curves"] = figures.training(group, curves, styles)
        named = {
            "comparison": frames.comparison(group),
            "matrix": matrix,
            "curves": curves,
            "costs": frames.costs(group),
        }
        csvs |= {f"{group.key}-{name}.csv": frame.to_csv(index=False) for name, frame in named.items() if len(frame)}
        sections.append(html.section(group, drawings, pictures.BUDGET // len(collection.groups)))
    if any(part.beside_paper for part in sections):
        csvs["published-table2.csv"] = frames.printed(load("table2")).to_csv(index=False)

    index = out / "index.html"
    try:
        for name, text in csvs.items():
            write_text(out / "tables" / name, text)
        for part in sections:
            for drawing in part.figures.values():
                write_text(out / "figures" / f"{drawing.name}.svg", drawing.svg)
                (out / "figures" / f"{drawing.name}.png").write_bytes(drawing.png)
        write_text(index, html.page(collection, sections, styles, csvs))
    except OSError as error:
        raise UserError(
            f"Cannot write the report to '{out}': {error.strerror or error}. "
            "Choose a folder you may write to with --out."
        ) from error
    return index
