"""Continual image restoration: train a strategy on a stream of tasks, measure what it learned and what it forgot."""

import warnings

from benchmark.core.process import home

# Avalanche imports qpsolvers for a strategy that this suite does not use, and that warns where no solver is installed.
warnings.filterwarnings("ignore", message="no QP solver found", module="qpsolvers")
home.prepare()
