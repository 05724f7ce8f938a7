"""The first columns of tidy tables: which run a row is about."""

from benchmark.core.tables import INTEGER, TEXT, Column

RUN = (
    Column("label", TEXT, "the configuration's name in the report"),
    Column("seed", INTEGER, "the run's seed"),
    Column("run", TEXT, "name of the run directory"),
)
"""The columns."""
