"""Classifiers of neurons: networks of scalograms, models of tables, and both together."""
