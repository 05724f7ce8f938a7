"""Reference results: records of finished runs that ship with the suite, and the means to check them."""

from pathlib import Path

SHIPPED = Path(__file__).parent / "shipped"
"""The folder of the archives that ship, one for each preset."""
