"""What every training in torch shares: device, precision, seeds, progress and checkpoints.

>>> import torch
>>> from sts.learning.training import TrainingProgress
>>> network, done = torch.nn.Identity(), TrainingProgress()
>>> for loss in (0.9, 0.4, 0.6):
...     done = done.add(loss, better=done.is_better(loss), score=loss, network=network)
>>> done.best, done.since_best
(0.4, 1)
"""
