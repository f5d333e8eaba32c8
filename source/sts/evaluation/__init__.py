"""Truth and probabilities become scores with intervals; two runs are compared.

>>> from sts.evaluation.scores import proportion_of
>>> proportion_of(9, 10).in_words()
'0.900 [0.596, 0.982]'
"""
