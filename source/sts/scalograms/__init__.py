"""Traces become scalograms, scalograms become images.

>>> import numpy as np
>>> from sts.scalograms.transform import compute_scalograms
>>> resting_mv = np.full((1, 4800), -70, np.float32)
>>> compute_scalograms(resting_mv).shape
(1, 180, 4800)
"""
