"""Tables for other documents: CSV for programs, Markdown for notes, LaTeX for papers."""

import re
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from benchmark.core.names import file_name
from reports.items.table import Cell, Table

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "✓": r"\checkmark{}",
    "✗": r"$\times$",
    "†": r"\textsuperscript{\dag}",
    "≥": r"$\geq$",
    "→": r"$\rightarrow$",
    "–": "--",
    "’": "'",
    "\u202f": r"\,",
    "∞": r"$\infty$",
    "σ": r"$\sigma$",
    "√": r"$\surd$",
    "·": r"$\cdot$",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    "“": "``",
    "”": "''",
}

_FITTED = r"\resizebox{\ifdim\width>\textwidth \textwidth\else\width\fi}{!}{%" + "\n"
"""Before a table that is made smaller where it is wider than the page."""


def frame(table: Table) -> pd.DataFrame:
    """The table's numbers and words, with a column of its own for the half intervals of each column that has some.

    The last column repeats the table's note, so that a file that went elsewhere still says what its figures are.
    """
    columns: dict[str, list[object]] = {}
    for index, column in enumerate(table.columns):
        cells = [row[index] for row in table.rows]
        name = _inert(" ".join(part for part in (column.head, column.over and f"({column.over})") if part))
        columns[name] = [_machine(cell) for cell in cells]
        if any(cell.spread for cell in cells):
            columns[f"{name} ±"] = [cell.spread or None for cell in cells]
        if any(cell.level for cell in cells):
            columns[f"{name} not told from best"] = [cell.level if cell.tested else None for cell in cells]
    if table.note:
        columns["note"] = [table.note] * len(table.rows)
    return pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()})


def markdown(table: Table) -> str:
    """A Markdown table with the best of each column in bold and the note below; of one with views, one for each."""
    if table.views:
        return "\n".join(markdown(one) for one in _views(table).values())
    heads = [f"{column.over}: {column.head}" if column.over else column.head for column in table.columns]
    lines = [f"**{_escaped(table.caption)}**", "", _row([_escaped(head) for head in heads])]
    lines.append(_row([":---"] + ["---:"] * (len(heads) - 1)))
    for row in table.rows:
        texts = []
        for cell in row:
            text = _escaped(cell.text)
            text = f"**{text}**" if cell.best else text
            texts.append(text + (f" ± {cell.spread}" if cell.spread else "") + (" †" if cell.level else ""))
        lines.append(_row(texts))
    return "\n".join([*lines, "", _escaped(table.note)]).rstrip() + "\n"


def latex(table: Table, name: str) -> str:
    """A LaTeX table in the manner of booktabs, with the best of each column in bold; the note is in its caption.

    Of a table with views it is a table for each, labelled by its name, too.

    Args:
        table: what to set.
        name: its label is ``tab:`` and this.
    """
    if table.views:
        return "\n".join(latex(one, f"{name}-{file_name(view)}") for view, one in _views(table).items())
    head = []
    if any(over for over, *_ in table.spans):
        cells = [rf"\multicolumn{{{width}}}{{c}}{{{_tex(over)}}}" for over, width, _ in table.spans]
        rules = [rf"\cmidrule(lr){{{i + 1}-{i + width}}}" for over, width, i in table.spans if over]
        head = [" & ".join(cells) + r" \\", " ".join(rules)]
    head.append(" & ".join(_tex(column.head) for column in table.columns) + r" \\")
    words = _words(table)
    alignment, size, fit = "l" * words + "r" * (len(table.columns) - words), [], (_FITTED, "}")
    if table.kind == "words":
        alignment, size, fit = _wrapping(table), [r"\footnotesize"], ("", "")
    body = [_led(" & ".join(_tex_cell(cell) for cell in row)) + r" \\" for row in table.rows]
    return "\n".join(
        [
            r"% needs \usepackage{booktabs,amssymb,graphicx}",
            r"\begin{table*}",
            r"\centering",
            *size,
            rf"\caption{{{_tex(' '.join(part for part in (table.caption + '.', table.note) if part))}}}",
            rf"\label{{tab:{name}}}",
            rf"{fit[0]}\begin{{tabular}}{{{alignment}}}",
            r"\toprule",
            *head,
            r"\midrule",
            *body,
            r"\bottomrule",
            rf"\end{{tabular}}{fit[1]}",
            r"\end{table*}",
            "",
        ]
    )


def _led(row: str) -> str:
    """A row that the end of the one before it, which takes a star or a length in brackets, does not take for one."""
    return f"{{}}{row}" if row.startswith(("[", "*")) else row


def _words(table: Table) -> int:
    """How many of the first columns hold no number in any row; one where no column does."""
    numbers = [any(isinstance(cell.value, float | int) for cell in column) for column in zip(*table.rows, strict=True)]
    return numbers.index(True) if True in numbers else 1


def _wrapping(table: Table) -> str:
    """Columns of words, which wrap: each as wide as the mean length of its texts asks for."""
    texts = [[column.head, *(row[i].text for row in table.rows)] for i, column in enumerate(table.columns)]
    lengths = [min(60.0, max(10.0, sum(map(len, column)) / len(column))) for column in texts]
    return "".join(rf"p{{{0.88 * length / sum(lengths):.3f}\textwidth}}" for length in lengths)


def _views(table: Table) -> dict[str, Table]:
    """Each view as a table whose caption names it."""
    return {name: replace(table.view(name), caption=f"{table.caption}, {name}") for name in table.views}


def _machine(cell: Cell) -> object:
    """A number as a number, where the text says nothing that it does not."""
    whole = isinstance(cell.value, float | int) and "/" not in cell.text
    return cell.value if whole else _inert(cell.text)


def _inert(text: str) -> str:
    """A text that no spreadsheet takes for a formula; an apostrophe at its start is not shown by them."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _row(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>|~$&])", r"\\\1", text)


def _tex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)


def _tex_cell(cell: Cell) -> str:
    text = rf"\textbf{{{_tex(cell.text)}}}" if cell.best else _tex(cell.text)
    spread = rf" {{\scriptsize $\pm$ {_tex(cell.spread)}}}" if cell.spread else ""
    return text + spread + (_tex("†") if cell.level else "")
