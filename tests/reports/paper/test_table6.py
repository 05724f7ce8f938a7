"""Table 6, from a made measurement of a layer."""

from benchmark.core.runs.layer_table import Row
from reports.paper.evidence import Evidence
from reports.paper.tables import table6


def row(method: str, variant: str, trainable: int, kernel: int) -> Row:
    return Row(method, variant, trainable, kernel, 2e6, 1.0, 9.0, 1.5, 1.0, 64, 1000, 7, "CPU", 2)


def test_parameters_are_multiples_of_the_methods_first_row_and_of_the_plain_kernel() -> None:
    rows = [
        row("base", "3×3 kernel", 100, 100),
        row("Type-1", "4×4 kernel", 200, 180),
        row("Type-1", "6×6 kernel", 800, 400),
        row("CMC-n", "CMC-5", 500, 100),
        row("CMC-n", "CMC-20", 2000, 100),
    ]
    item = table6.item(Evidence("paper-layer", "a layer by itself", "", [], rows))
    assert item is not None
    assert item.table is not None
    found = {cells[1].text: [cell.text for cell in cells[2:4]] for cells in item.table.rows}
    assert found == {
        "3×3 kernel": ["1×", "1×"],
        "4×4 kernel": ["1×", "1.8×"],
        "6×6 kernel": ["4×", "4×"],
        "CMC-5": ["1×", "1×"],
        "CMC-20": ["4×", "1×"],
    }
    last = item.table.rows[-1]
    assert [cell.text for cell in last[4:8]] == ["2 MB", "1.000", "9.00 ms", "1.500×"]
    assert [cell.text for cell in last[8:]] == ["4×", "1×", "2111 MB", "36.88", "4.255 ms"], "as printed"
