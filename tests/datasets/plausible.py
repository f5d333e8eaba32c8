"""Simulated cells whose features all lie in their plausible ranges."""

from dataclasses import replace

import numpy as np

from sts.datasets.check import ranges
from sts.datasets.ep_tables import EpTable
from sts.signals.feature_names import FEATURES
from tests.datasets.ep_worlds import make_table


def plausible_table(n: int) -> EpTable:
    """Return n cells, the classes and both data sets in turn; specimen ids from 1000 on."""
    table = make_table(n)
    low, high = ([getattr(ranges()[name], side) for name in FEATURES] for side in ("low", "high"))
    return replace(table, X=np.clip(table.X, low, high))
