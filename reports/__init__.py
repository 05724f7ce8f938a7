"""From run directories to tables, figures and one HTML page; needs neither torch nor the training code."""

from collections.abc import Mapping
from pathlib import Path

from benchmark.core.errors import UserError
from benchmark.core.runs.directory import LAYER_PROFILE
from reports.folder import MANIFEST

__all__ = ["MANIFEST", "build"]


def build(paths: list[Path], out: Path, layer: Path | None = None, overwrite: bool = False) -> Path:
    """Read all runs at or below the paths and write a report.

    Args:
        paths: run directories, or folders that hold some.
        out: the folder to write to: ``index.html`` (one file, works offline), ``tables/`` (CSV, Markdown, LaTeX) and
            ``figures/`` (SVG, PNG). An earlier report there is replaced; see :mod:`reports.folder`.
        layer: the measurement of Table 6; by default the one beside the runs, if there is one.
        overwrite: replace files in ``out`` that no report wrote, too.

    Returns:
        The path of ``index.html``.

    Raises:
        UserError: there is no run at the paths, or none that can be read; or ``out`` cannot be written to, or holds
            files of somebody else's.
    """
    from benchmark.core.runs.layer_table import read
    from benchmark.core.tables import frame_text
    from reports import folder
    from reports.figures import drawings as plots
    from reports.figures.pareto import pareto
    from reports.figures.style import looks
    from reports.page import html
    from reports.paper import claims
    from reports.paper import figures as paper_figures
    from reports.paper import tables as paper_tables
    from reports.paper.evidence import families
    from reports.paper.published import load
    from reports.results import Collection, collect
    from reports.tables import exports, frames

    folder.check(out, overwrite)
    layer = layer or next((path / LAYER_PROFILE for path in paths if (path / LAYER_PROFILE).is_file()), None)
    collection = Collection([], []) if layer and not paths else collect(paths)
    rows = read(layer) if layer else []
    if collection.unreadable and not (collection.groups or rows):
        reasons = dict.fromkeys(bad.reason for bad in collection.unreadable)
        raise UserError("\n".join(["There is nothing to report: no run can be read.", *reasons]))
    styles = looks(collection.labels)
    files: dict[str, str | bytes] = {"tables/runs.csv": frame_text(frames.runs(collection))}

    def add(drawings: Mapping[str, plots.Drawing]) -> None:
        for drawing in drawings.values():
            files.update({f"figures/{drawing.name}.svg": drawing.svg, f"figures/{drawing.name}.png": drawing.png})

    cost = paper_tables.layer(rows) if rows else None
    scored, parts = [], []
    for family in families(collection):
        judged = claims.judge(family)
        beside, drawings = paper_tables.beside(family), paper_figures.beside(family)
        if not (beside or drawings or any(verdict.state != claims.UNMEASURED for verdict in judged)):
            continue  # nothing that the paper has a word about
        verdicts = [*judged, claims.judge_layer(rows)]
        scored.append((family, verdicts))
        add(drawings)
        for one in beside:
            files |= exports.files(one.table, f"{family.key}-{one.name}")
        parts.append(html.PaperPart(family, verdicts, beside, drawings))
    shown = {one.name for part in parts for one in part.beside}
    if cost:
        files |= exports.files(cost.table, cost.name)
        shown.add(cost.name)
    for name in sorted(shown):
        files[f"tables/published-{name}.csv"] = frame_text(frames.printed(load(name)))
    files["tables/scorecard.csv"] = frame_text(claims.frame(scored))

    sections = []
    for group in collection.groups:
        matrix, curves = frames.matrix(group), frames.curves(group)
        drawings = {}
        if group.entries:
            drawings["matrix"] = plots.matrices(group, styles)
            if gained := plots.transfer(group, styles):
                drawings["transfer"] = gained
            drawings["forgetting"] = plots.retention(group, matrix, styles)
            if len(curves):
                drawings["curves"] = plots.training(group, curves, styles)
            if costs := pareto(group, styles):
                drawings["pareto"] = costs
        section = html.section(group, drawings)
        named = {
            "comparison": frames.comparison(group).assign(note=section.comparison.note),
            "matrix": matrix,
            "curves": curves,
            "costs": frames.costs(group),
        }
        for name, frame in named.items():
            if len(frame):
                files[f"tables/{group.key}-{name}.csv"] = frame_text(frame)
        add(drawings)
        if group.entries:
            files |= exports.documents(section.comparison, f"{group.key}-comparison")
        sections.append(section)

    try:
        page = html.page(collection, parts, cost, sections, styles, files)
        folder.write(out, {**files, folder.INDEX: page}, overwrite)
    except OSError as error:
        raise UserError(
            f"Cannot write the report to '{out}': {error.strerror or error}. "
            "Choose a folder you may write to with --out."
        ) from error
    return out / folder.INDEX
