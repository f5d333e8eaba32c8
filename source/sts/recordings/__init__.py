"""A file or a model becomes a `Recording`: NWB, ABF, WinWCP, AxoGraph, Igor, simulated cells.

>>> import numpy as np
>>> from sts.recordings.recording import Recording, Sweep
>>> current_pa = np.zeros(40_000, np.float32)
>>> current_pa[10_000:30_000] = 110
>>> sweep = Sweep(
...     voltage_mv=np.full(40_000, -70, np.float32),
...     current_pa=current_pa,
...     rate_hz=20_000,
...     name="long square",
...     number=0,
... )
>>> Recording(specimen_id="509881736", sweeps=(sweep,)).sweeps[0].rate_hz
20000
"""
