"""Files and folders become recordings: arrays, NWB 2 ophys, suite2p, Cascade, spikefinder."""

from sts.calcium.readers.read import read_calcium

__all__ = ["read_calcium"]
