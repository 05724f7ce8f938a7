"""Experiments as data: which runs, and what they are for."""
