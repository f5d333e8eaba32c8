"""What all training in torch shares: device, precision, seeds, progress, checkpoints, updates.

>>> from sts.learning.device import choose_device
>>> choose_device("cpu")
device(type='cpu')
"""
