"""Continual image restoration: train a strategy on a stream of tasks, measure what it learned and what it forgot."""
