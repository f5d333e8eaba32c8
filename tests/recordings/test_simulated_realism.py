"""Simulated cells are like real ones, and a classifier that has seen only real ones knows them."""

from itertools import product
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score

from sts.base.types import CLASSES
from sts.datasets.ep_tables import find_ep_tables, load_ep_tables, with_labels
from sts.datasets.feature_sets import PAPER
from sts.datasets.labels import labels_of
from sts.recordings.simulated.cells import DATASETS, Entry, simulate_cell
from sts.signals.analysis import analyse
from sts.signals.features import measure_features
from tests.conftest import REPOSITORY

# Features of the members of a population, by data set and class.
Populations = dict[tuple[str, str], pd.DataFrame]


@pytest.fixture(scope="module")
def populations() -> Populations:
    """Return the features of eleven cells of each of the eight populations."""
    return {
        (dataset, label): pd.DataFrame(
            [measure_member(dataset, label, member) for member in range(11)]
        )
        for dataset, label in product(DATASETS, CLASSES)
    }


def measure_member(dataset: str, label: str, member: int) -> dict[str, float]:
    entry = Entry(
        index=member, member=member, label=label, dataset=dataset, specimen_id="", donor_id=""
    )
    cell = simulate_cell(entry, seed=0, protocol="long")
    return dict(measure_features(analyse(cell.recording)).values)


def test_every_population_lies_among_the_real_cells(populations: Populations) -> None:
    real = pd.read_csv(REPOSITORY / "benchmarks" / "real_classes.csv")
    compared = real.groupby(["dataset", "label"])
    assert {name for name, _ in compared} == set(populations)
    for (dataset, label), figures in compared:
        values = populations[dataset, label].copy()
        threshold = values["threshold_v_long_square"]
        values["peak_v - threshold_v"] = values["peak_v_long_square"] - threshold
        values["threshold_v - fast_trough_v"] = threshold - values["fast_trough_v_long_square"]
        for feature, low, high in figures[["feature", "p05", "p95"]].itertuples(index=False):
            # The median of eleven cells leaves the middle 90 % of its population once in 10^5.
            assert low <= np.nanmedian(values[feature]) <= high, (dataset, label, feature)


@pytest.mark.data
def test_a_classifier_of_real_cells_knows_the_simulated_ones(
    data_dir: Path, populations: Populations
) -> None:
    data = data_dir / "sts" / "data"
    found = labels_of(data)
    real = load_ep_tables(find_ep_tables(data), needed=PAPER)
    real = with_labels(real, found.labels, origin=str(found.path))
    # Cells of no known class teach nothing.
    real = real.rows(real.truth >= 0)
    columns = real.columns()
    # as fits the 4,472 cells; one thread and fixed rows, so that the trees are always the same
    model = lightgbm.LGBMClassifier(
        n_estimators=60,
        learning_rate=0.1,
        n_jobs=1,
        deterministic=True,
        force_row_wise=True,
        random_state=0,
        verbose=-1,
    )
    # arrays, not frames: both sides without names of columns
    model.fit(np.column_stack([columns[name] for name in PAPER]), real.truth)

    rows = np.concatenate([each[list(PAPER)].to_numpy() for each in populations.values()])
    truth = [CLASSES.index(label) for (_, label), each in populations.items() for _ in each.index]
    # 0.81 and 0.77 with seeds 0 and 1; 88 cells have a standard error of 0.04
    assert balanced_accuracy_score(truth, model.predict(rows)) >= 0.75
