"""How runs with and without sharing of knowledge are named and drawn."""

from reports.items.style import SERIES

WITH, WITHOUT, COPY = "with sharing", "without sharing", "a copy to start from"

KINDS = {WITH: "fixed", WITHOUT: "none", COPY: "copy"}
"""What each line is called, and its ``cmc.sharing``."""

COLOURS = dict(zip(KINDS, SERIES, strict=False))
DASHES = {WITH: (1, 0), WITHOUT: (4, 1.5), COPY: (1, 1)}
