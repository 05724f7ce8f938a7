"""The paper's tables beside ours, and tables as CSV, Markdown and LaTeX."""

import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from made_runs import LEARNED, PROTOCOL, made_run

import reports
from benchmark import presets
from benchmark.core.own import MANIFEST, MARK
from reports.groups import collect
from reports.items import exports
from reports.items.table import Cell, Column, Table
from reports.paper.evidence import Evidence, gather
from reports.paper.tables import by_row
from reports.tables import summary

CMC = {"fraction": 0.2, "t": 5, "t_ends": None, "sharing": "fixed", "start": None, "exhausted": "error"}
PACKNET = {"fraction": 0.2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seeds of CMC and of PackNet, whose difference grows a little from seed to seed."""
    folder = tmp_path_factory.mktemp("exports")
    for seed in range(3):
        made_run(folder / "runs", "cmc", shift=0.5 + 0.1 * seed, seed=seed, settings=CMC)
        made_run(folder / "runs", "packnet", shift=0.105 * seed, seed=seed, settings=PACKNET)
        made_run(folder / "runs", "cmc", seed=seed, settings=CMC | {"sharing": "none"})
    reports.build([folder / "runs"], folder / "page")
    return folder


@pytest.fixture(scope="module")
def evidence(folder: Path) -> Evidence:
    """The runs as evidence."""
    (found,) = gather(collect([folder / "runs"]))
    return found


def table(evidence: Evidence, name: str) -> Table:
    """One of the paper's tables beside ours."""
    found = by_row.table(name)(evidence)
    assert found is not None
    assert found.table is not None
    return found.table


@pytest.mark.slow
def test_our_row_stands_beside_the_printed_one(evidence: Evidence) -> None:
    frame = exports.frame(table(evidence, "table2")).set_index("Methods")
    row = frame.loc["CMC-5"]
    assert row["derain (measured here)"] == pytest.approx(LEARNED[0] + 0.6)
    assert row["derain (measured here) ±"] == "0.25"  # t(2) · 0.1 / √3
    assert row["Derain (printed in the paper)"] == 32.14
    assert frame.loc["MAS [3]", "derain (measured here)"] == "–"


@pytest.mark.slow
def test_a_row_of_table_1_for_each_setting_that_was_run(evidence: Evidence) -> None:
    frame = exports.frame(table(evidence, "table1"))
    ours = frame[frame["derain (measured here)"] != "–"]
    assert ours["% Params"].astype(str).tolist() == ["20", "20"]
    assert set(ours["Knowledge Sharing"]) == {"✓", "✗"}


def test_the_best_is_bold_and_what_is_level_with_it_is_marked(evidence: Evidence) -> None:
    """CMC leads PackNet by 0.5 dB in every seed, give or take some hundredths: not level."""
    rows = {row[0].text: row for row in table(evidence, "table2").rows}
    assert rows["CMC-5"][2].best
    assert not rows["Pruning [27]"][2].best
    assert not rows["Pruning [27]"][2].level
    assert rows["CMC-5"][6].best  # of the printed ones


def test_data_say_nothing_of_what_was_not_tested(tmp_path: Path) -> None:
    """Not of the degraded input, nor of the best itself, nor of what has no figure; told apart is another thing."""
    for seed, near in enumerate((0.4, 0.7, 0.6)):
        made_run(tmp_path, "cmc", shift=0.5 + 0.1 * seed, seed=seed)
        made_run(tmp_path, "packnet", shift=0.105 * seed, seed=seed)
        made_run(tmp_path, "independent", shift=near, seed=seed)
    (group,) = collect([tmp_path]).groups
    item = summary.item(group)
    assert item is not None
    assert item.data is not None
    column = item.data.set_index("strategy")["mean PSNR not told from best"]
    shown = column.loc[["degraded input", "cmc", "packnet", "independent"]].tolist()
    assert shown == [None, None, False, True]


def test_what_three_seeds_cannot_tell_apart_is_marked(tmp_path: Path) -> None:
    for seed, (one, other) in enumerate([(0.5, 0.0), (0.0, 0.4), (0.3, 0.2)]):
        made_run(tmp_path, "cmc", shift=one, seed=seed, settings=CMC)
        made_run(tmp_path, "packnet", shift=other, seed=seed, settings=PACKNET)
    (evidence,) = gather(collect([tmp_path]))
    rows = {row[0].text: row for row in table(evidence, "table2").rows}
    assert rows["CMC-5"][2].best
    assert rows["Pruning [27]"][2].level
    assert r"\textsuperscript{\dag}" in exports.latex(table(evidence, "table2"), "x")


def test_table_2_ranks_those_told_the_task_and_those_not_by_themselves(tmp_path: Path) -> None:
    """As printed, too: Together leads MAS on three tasks, and MAS leads Together on denoising."""
    for shift, name in enumerate(["mas", "packnet", "together", "together_task_id", "cmc"]):
        settings = {"cmc": CMC, "packnet": PACKNET, "mas": presets.settings("quick", "mas")}.get(name, {})
        made_run(tmp_path, name, shift=shift / 10, settings=settings)
    (evidence,) = gather(collect([tmp_path]))
    found = table(evidence, "table2")
    rows = {row[0].text: row for row in found.rows}
    told = {label: row[1].text for label, row in rows.items()}
    assert told == {
        "Together": "no",
        "Deform": "yes",
        "Pruning [27]": "yes",
        "MAS [3]": "no",
        "CMC-5": "yes",
        "together_task_id": "yes",
    }
    assert {label for label, row in rows.items() if row[2].best} == {"Together", "CMC-5"}
    assert {label for label, row in rows.items() if row[7].best} == {"MAS [3]", "CMC-5"}  # denoising, printed
    assert "ranked by themselves" in found.note


@pytest.mark.parametrize("ending", ["csv", "md", "tex"])
def test_a_table_says_where_its_figures_are_from(folder: Path, ending: str) -> None:
    text = (folder / "page" / "tables" / f"paper-quick-table2.{ending}").read_text(encoding="utf-8")
    for part in (PROTOCOL, "reset quick", "embedded", "Seeds 0, 1 and 2", "paired"):
        assert part.replace("[", r"\[").replace("]", r"\]") in text or part in text


def test_markdown_is_a_table(folder: Path) -> None:
    text = (folder / "page" / "tables" / "paper-quick-table2.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
    assert "**30.60** ± 0.25" in next(row for row in rows if "CMC-5" in row)


def test_latex_has_its_rules_and_as_many_cells_in_each_row(folder: Path) -> None:
    text = (folder / "page" / "tables" / "paper-quick-table2.tex").read_text(encoding="utf-8")
    for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\textbf{30.60}", r"\label{tab:paper-quick-table2}"):
        assert rule in text
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")]
    cells = {len(re.findall(r"(?<!\\)&", line)) for line in body.splitlines() if line.endswith(r"\\")}
    assert cells == {9}
    assert text.isascii()


def test_every_letter_that_a_table_may_hold_is_known_to_latex(folder: Path) -> None:
    for path in (folder / "page" / "tables").glob("*.tex"):
        assert path.read_text(encoding="utf-8").isascii(), path.name


def test_names_cannot_break_a_table() -> None:
    hostile = r"a_b & 50% $x$ \end{tabular} #1 {~^} | `*"
    made = Table("c", [Column("name"), Column("x")], [[Cell(hostile, hostile), Cell("1", 1.0)]])
    assert r"a\_b \& 50\% \$x\$ \textbackslash{}end\{tabular\} \#1" in exports.latex(made, "x")
    assert r"\| \`\*" in exports.markdown(made)
    assert "a$>$b$<$c" in exports.latex(Table("c", [Column("name")], [[Cell("a>b<c")]]), "x")


def test_names_are_set_as_they_are() -> None:
    """No formulas, entities or turned marks, nothing crossed out, nothing that the row before takes for its own."""
    names = ["[rain]", "*2", "a>b", "$5 to $6", "~~old~~", "R&amp;D"]
    made = Table("c", [Column("name"), Column("x")], [[Cell(name), Cell("1", 1.0)] for name in names])
    lines = exports.latex(made, "x").splitlines()
    rows = lines[lines.index(r"\midrule") + 1 : lines.index(r"\bottomrule")]
    assert not [row for row in rows if row.startswith(("[", "*"))]
    assert rows[2] == r"a$>$b & 1 \\"
    assert [row.split(" | ")[0] for row in exports.markdown(made).splitlines()[4:]] == [
        *(r"| \[rain\]", r"| \*2", r"| a\>b", r"| \$5 to \$6", r"| \~\~old\~\~", r"| R\&amp;D")
    ]


@pytest.mark.parametrize("first", [Cell("–"), Cell("0.25", 0.25)])
def test_numbers_are_set_right_in_latex_also_below_an_empty_cell(first: Cell) -> None:
    """The comparison's first row, the degraded input, has no number in the columns that follow its name."""
    columns = [Column(head) for head in ("strategy", "the best", "forgetting", "mean")]
    rows = [[Cell("a", "a"), Cell("b", "b"), first, Cell("23.11", 23.11)], [*map(Cell, "cd"), Cell("0.50", 0.5), first]]
    assert r"\begin{tabular}{llrr}" in exports.latex(Table("c", columns, rows), "x")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex (Debian: texlive-latex-extra)")
def test_latex_accepts_the_tables(folder: Path, tmp_path: Path) -> None:
    tables = sorted((folder / "page" / "tables").glob("*.tex"))
    inputs = "\n".join(rf"\input{{{path}}}" for path in tables)
    packages = r"\usepackage{booktabs,amssymb,graphicx}"
    document = rf"\documentclass{{article}}{packages}\begin{{document}}{inputs}\end{{document}}"
    (tmp_path / "all.tex").write_text(document, encoding="utf-8")
    words = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert len(tables) >= 3


@pytest.mark.slow
def test_leftovers_of_an_earlier_report_are_taken_away(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "page"

    def written() -> set[str]:
        _, *files = (out / MANIFEST).read_text(encoding="utf-8").splitlines()
        return set(files)

    reports.build([folder / "runs"], out)
    (out / "notes.txt").write_text("mine", encoding="utf-8")
    first = written()
    made_run(tmp_path / "runs", "finetune", stream="noise_levels")
    reports.build([tmp_path / "runs"], out)
    second = written()
    there = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert first - second
    assert there == second | {"index.html", MANIFEST, "notes.txt"}


@pytest.mark.slow
def test_a_list_of_files_cannot_lead_out_of_the_report(folder: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious.csv"
    precious.write_text("keep", encoding="utf-8")
    out = tmp_path / "page"
    out.mkdir()
    named = f"{MARK}\n../precious.csv\n{MANIFEST}\ntables/../../precious.csv\n"
    (out / MANIFEST).write_text(named, encoding="utf-8")
    reports.build([folder / "runs"], out)
    assert precious.read_text(encoding="utf-8") == "keep"


def test_the_scorecard_lies_beside_the_page(folder: Path) -> None:
    frame = pd.read_csv(folder / "page" / "tables" / "scorecard.csv").set_index("key")
    assert frame.loc["cmc-leads-packnet", "verdict"] == "holds"
    assert frame.loc["cmc-leads-packnet", "seeds"] == "0 1 2"
    assert frame.loc["noise-levels", "verdict"] == "not measured"
