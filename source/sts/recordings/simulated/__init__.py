"""Simulated neurons of the four classes, on any machine and without a download."""
