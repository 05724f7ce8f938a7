"""Which part of a picture is enlarged."""

import numpy as np

from reports.pictures import _crop

FLAT = np.full((30, 60, 3), 128, np.uint8)


def changed(left: int, top: int, side: int) -> np.ndarray:
    """The flat picture with a square of stripes."""
    picture = FLAT.copy()
    picture[top : top + side, left : left + side : 2] = 255
    picture[top : top + side, left + 1 : left + side : 2] = 0
    return picture


def test_the_part_is_where_strategies_differ_most() -> None:
    clean = changed(1, 1, 10)  # detail in which they agree
    assert _crop(clean, [FLAT, changed(37, 12, 10), FLAT]) == (37, 12, 10)


def test_where_strategies_agree_the_part_is_that_of_most_detail() -> None:
    for finals in ([], [FLAT], [FLAT, FLAT]):
        left, top, side = _crop(changed(40, 15, 8), finals)
        assert left <= 40 < 48 <= left + side
        assert top <= 15 < 23 <= top + side
