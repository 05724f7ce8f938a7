"""Numbers as short text."""

import pytest

from reports.text import quantity

THIN = "\u202f"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (7, "count", "7"),
        (0.5, "count", "0.5"),
        (2.0, "s", "2 s"),
        (999.46, "s", "999.5 s"),
        (223_750.5, "count", f"223{THIN}750"),
        (12_345_678.25, "MAC", f"12{THIN}345{THIN}678 MAC"),
        (512, "B", "512 B"),
        (1536, "B", "1.5 KiB"),
        (700 * 1024, "B", "700 KiB"),
        (1.5 * 1024**3, "B", "1.5 GiB"),
        (1020 * 1024**3, "B", f"1{THIN}020 GiB"),
        (250 * 1024**3, "B", "250 GiB"),
    ],
)
def test_a_quantity_is_told_in_plain_digits(value: float, unit: str, text: str) -> None:
    assert quantity(value, unit) == text
