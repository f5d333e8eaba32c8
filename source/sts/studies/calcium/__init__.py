"""Calcium traces: ground truth, a generator, and the comparison with real traces."""
