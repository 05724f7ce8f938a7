"""Continual Memory in Convolution: the layer, networks of it, and the strategy."""
