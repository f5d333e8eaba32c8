"""Scores and figures on self-contained pages, and predictions as a table."""
