r"""The cells of data sets: labels, splits, tables of features, the sweep store; built and checked.

>>> from pathlib import Path
>>> from tempfile import TemporaryDirectory
>>> from sts.datasets.labels import read_labels
>>> with TemporaryDirectory() as folder:
...     path = Path(folder, "labels.csv")
...     _ = path.write_text("specimen_id,label\n509881736,Sst\n")
...     read_labels(path)["509881736"].label
'Sst'
"""
