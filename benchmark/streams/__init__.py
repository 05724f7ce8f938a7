"""Streams of restoration tasks: their definitions, and Avalanche benchmarks made from them."""
