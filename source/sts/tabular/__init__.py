"""Classifiers of tables as estimators of scikit-learn, their files and their explanations.

>>> import numpy as np
>>> from sts.tabular.estimators import PairwiseSvm
>>> rng = np.random.default_rng(0)
>>> y = np.repeat(["Pvalb", "Sst"], 30)
>>> X = rng.normal(size=(60, 3)) + 5 * (y == "Sst")[:, np.newaxis]
>>> PairwiseSvm().fit(X, y).predict(X[-1:]).tolist()
['Sst']
"""
