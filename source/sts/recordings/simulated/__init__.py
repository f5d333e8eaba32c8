"""Simulated neurons: what the four classes look like, on any machine and without a download."""

from sts.recordings.simulated.cells import SimulatedCell, simulate_cells
from sts.recordings.simulated.nwb import write_nwb

__all__ = ["SimulatedCell", "simulate_cells", "write_nwb"]
