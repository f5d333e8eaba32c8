"""Convolutional networks: construction, training, storage and explanation.

>>> from sts.networks.backbones import BACKBONES
>>> [backbone.name for backbone in BACKBONES.values()]
['ResNet18', 'InceptionV3', 'DenseNet121', 'MobileNetV2', 'TraceNet']
"""
