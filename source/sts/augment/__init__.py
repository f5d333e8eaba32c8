"""Synthetic neurons: generators, their benefit to classifiers, and how realistic they are.

>>> import numpy as np
>>> from sts.augment.contract import make_generator
>>> rng = np.random.default_rng(0)
>>> X, y = rng.normal(size=(40, 3)), np.repeat([0, 1], 20)
>>> make_generator("smote").fit(X, y, rng).sample(1, 5, rng).shape
(5, 3)
"""
