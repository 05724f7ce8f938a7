"""Continual-learning strategies: one file or folder each, a base class, and the registry."""
