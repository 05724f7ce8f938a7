"""What ``data check`` prints."""

from collections import Counter

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmark.core.shell import literal
from benchmark.data.checks.check import Input, Report

_SHOWN = 30
"""Lines of one kind that are printed; the report holds all of them."""


def render(report: Report, console: Console) -> None:
    """Print a report; file names are printed as they are, not as markup."""
    if report.datasets:
        console.print(_found(report))
    inputs = [measured for result in report.datasets for measured in result.inputs]
    if inputs:
        console.print()
        console.print(_quality(inputs))
    title = f"{len(report.leaks)} training images also stand in a test set"
    _list(
        console,
        title if len(report.leaks) != 1 else "1 training image also stands in a test set",
        report.leaks,
        "yellow",
    )
    _list(console, "Notes", report.notes, "dim")
    _list(console, "Problems", report.problems, "bold red")
    if not report.problems:
        if report.leaks:
            console.print(
                "\nNo other problem found; results on test images that were trained on flatter.", style="yellow"
            )
        else:
            console.print("\nNo problem found.", style="green")


def _found(report: Report) -> Table:
    table = Table(title="Datasets", title_justify="left", box=None, header_style="bold", pad_edge=False)
    for column in ("dataset", "what was found", "layout", "folder", "sizes", "converted"):
        table.add_column(column, overflow="fold")
    for result in report.datasets:
        dataset = result.dataset
        converted = ", ".join(f"{count} {conversion}" for conversion, count in result.conversions.items())
        row = [
            dataset.name,
            dataset.release,
            dataset.layout,
            str(dataset.root),
            _sizes(result.sizes),
            converted or "none",
        ]
        table.add_row(*map(_text, row))
    return table


def _quality(inputs: list[Input]) -> Table:
    table = Table(title="Degraded test images, PSNR in dB", title_justify="left", box=None, header_style="bold")
    for column in ("dataset", "setting"):
        table.add_column(column, overflow="fold")
    for column in ("RGB", "Y", "expected", "difference"):
        table.add_column(column, justify="right", no_wrap=True)
    for one in inputs:
        expected = f"{one.reference.psnr:.2f} ({one.reference.channel})" if one.reference else "no reference"
        difference = f"{one.difference:+.2f}" if one.difference is not None else ""
        row = [one.dataset, one.setting, f"{one.psnr:.2f}", f"{one.psnr_y:.2f}", expected, difference]
        table.add_row(*map(_text, row))
    return table


def _list(console: Console, title: str, lines: tuple[str, ...], style: str) -> None:
    if not lines:
        return
    console.print(f"\n{title} ({len(lines)}):", style=style)
    for line in lines[:_SHOWN]:
        console.print(_text(f"  {line}"), soft_wrap=True)
    if len(lines) > _SHOWN:
        console.print(f"  … and {len(lines) - _SHOWN} more.")


def _sizes(sizes: Counter[tuple[int, int]]) -> str:
    """The sizes in words: each if there are at most three, otherwise the smallest and largest sides."""
    if len(sizes) <= 3:
        return ", ".join(f"{width}×{height} ({count})" for (width, height), count in sizes.most_common()) or "none"
    widths, heights = zip(*sizes, strict=True)
    return f"{min(widths)} to {max(widths)} × {min(heights)} to {max(heights)}, {len(sizes)} sizes"


def _text(text: str) -> Text:
    """Text as it is: a file name is never markup, and its control characters are shown, not obeyed."""
    return Text(literal(text))
