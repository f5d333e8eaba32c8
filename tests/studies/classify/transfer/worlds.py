"""Cells of two data sets whose classes overlap, and small models, for the tests of transfer."""

from dataclasses import replace

import numpy as np

from sts.datasets.ep_tables import EpTable
from sts.tabular.models import ExtraTreesSettings
from sts.tabular.trees import TreeSettings
from tests.datasets.ep_worlds import make_table

CELLS = 160
SMALL = {
    "lightgbm": TreeSettings(n_estimators=8, min_child_samples=3),
    "extra-trees": ExtraTreesSettings(n_estimators=10),
}


def generator() -> np.random.Generator:
    return np.random.default_rng(5)


def noisy_table(cells: int = CELLS) -> EpTable:
    """Return cells whose classes overlap, so that there is something to choose."""
    table = make_table(cells)
    noise = generator().normal(size=table.X.shape) * np.nanstd(table.X, axis=0)
    return replace(table, X=table.X + 2.5 * noise)
