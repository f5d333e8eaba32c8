"""Stimuli and spikes of a recording are found once; quality, selection and features take them.

>>> import numpy as np
>>> from sts.recordings.recording import Recording, Sweep
>>> from sts.signals.analysis import analyse
>>> current_pa = np.zeros(40_000, np.float32)
>>> current_pa[10_000:30_000] = 110
>>> voltage_mv = np.full(40_000, -70, np.float32)
>>> sweep = Sweep(
...     voltage_mv=voltage_mv, current_pa=current_pa, rate_hz=20_000, name="", number=0
... )
>>> (found,) = analyse(Recording(specimen_id="one", sweeps=(sweep,))).sweeps
>>> found.stimulus.long_square.amplitude_pa, found.stimulus.long_square.onset_s
(110.0, 0.5)
"""
