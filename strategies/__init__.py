"""Continual-learning strategies: one file or folder each, a base class, and the registry."""

import benchmark  # noqa: F401 (prepares for the import of Avalanche)
