"""The revision of the code that every strategy shares: with the strategy's own, it is part of a run's identity.

A finished run is reused as long as everything that decides its result is the same. Settings and images speak for
themselves; that the code has changed is said here, and in ``revision`` of the strategy's class.
"""

TRAINING = 1
"""Raised by one with every change after which some run, repeated, would write other numbers or outputs than before:
in what training, the backbones, degradations, patches, generated images, measurements or random addresses do. Not
raised for what leaves the bytes of metrics.csv, curves.csv, outputs.csv and ledger.csv equal, such as speed, new
columns or new settings whose defaults change nothing; nor for a single strategy, which has a number of its own."""
