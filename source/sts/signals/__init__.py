"""Sweeps are picked, spikes found, features measured, traces resampled."""
