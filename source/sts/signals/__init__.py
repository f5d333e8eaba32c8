"""Stimuli and spikes of a recording, found once; then quality, selection and features.

>>> import numpy as np
>>> from sts.recordings.recording import Recording, Sweep
>>> from sts.signals.analysis import analyse
>>> current_pa = np.zeros(40_000, np.float32)
>>> current_pa[10_000:30_000] = 110
>>> voltage_mv = np.full(40_000, -70, np.float32)
>>> sweep = Sweep(
...     voltage_mv=voltage_mv, current_pa=current_pa, rate_hz=20_000, name="", number=0
... )
>>> (analysed,) = analyse(Recording(specimen_id="one", sweeps=(sweep,))).sweeps
>>> step = analysed.stimulus.long_square
>>> step.amplitude_pa, step.onset_s
(110.0, 0.5)
"""
