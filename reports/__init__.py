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
    from reports import figures, frames, html
    from reports.pareto import pareto
    from reports.published import load
    from reports.results import collect
    from reports.style import looks

    collection = collect(paths)
    styles = looks(collection.labels)
    files: dict[str, str | bytes] = {"tables/runs.csv": frames.runs(collection).to_csv(index=False)}
    sections = []
    for group in collection.groups:
        matrix, curves = frames.matrix(group), frames.curves(group)
        drawings: dict[str, figures.Drawing] = {}
        if group.entries:
            drawings["matrix"] = figures.matrices(group, styles)
            drawings["forgetting"] = figures.retention(group, matrix, styles)
            if len(curves):
                drawings["curves"] = figures.training(group, curves, styles)
            if costs := pareto(group, styles):
                drawings["pareto"] = costs
        named = {
            "comparison": frames.comparison(group),
            "matrix": matrix,
            "curves": curves,
            "costs": frames.costs(group),
        }
        for name, frame in named.items():
            if len(frame):
                files[f"tables/{group.key}-{name}.csv"] = frame.to_csv(index=False)
        for drawing in drawings.values():
            files |= {f"figures/{drawing.name}.svg": drawing.svg, f"figures/{drawing.name}.png": drawing.png}
        sections.append(html.section(group, drawings))
    if any(part.beside_paper for part in sections):
        files["tables/published-table2.csv"] = frames.printed(load("table2")).to_csv(index=False)

    index = out / "index.html"
    try:
        for name, content in files.items():
            if isinstance(content, str):
                write_text(out / name, content)
            else:
                (out / name).write_bytes(content)
        write_text(index, html.page(collection, sections, styles, files))
    except OSError as error:
        raise UserError(
            f"Cannot write the report to '{out}': {error.strerror or error}. "
            "Choose a folder you may write to with --out."
        ) from error
    return index
