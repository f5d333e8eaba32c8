"""A file or folder becomes a Recording: arrays, NWB 2 ophys, suite2p, Cascade and spikefinder."""

from sts.calcium.readers.apart import read_recording

__all__ = ["read_recording"]
