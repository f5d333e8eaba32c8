"""The stages behind augment_benchmark.py: a grid of cells, differences, fidelity, a report."""
