"""Figures of runs, one file each."""
