"""Traces become scalograms, scalograms become images."""
