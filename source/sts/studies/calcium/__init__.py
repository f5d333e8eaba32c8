"""Calcium traces: ground truth, a generator of them, and how like the real ones they are."""
