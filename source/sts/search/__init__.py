"""Try settings on folds, for any score(settings, fold): a layer on Optuna that knows no model.

>>> from sts.search.search import search
>>> from sts.search.trials import Float, FoldScore, SearchSettings
>>> found = search(
...     lambda settings, fold: FoldScore(-abs(settings["x"] - 2)),
...     {"x": Float(0, 4)},
...     SearchSettings(trials=20, folds=2),
...     storage=None,
...     name="example",
... )
>>> 1.5 < found.best["x"] < 2.5
True
"""
