"""Predictions as a table, and a run on one self-contained page."""
