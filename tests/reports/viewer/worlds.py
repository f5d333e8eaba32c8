"""A small data folder with a run, for the viewer: hostile names, missing sweeps, all answers."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from sts.base.files import write_csv
from sts.base.types import CLASSES
from sts.datasets.store import SweepStore, write_store
from sts.datasets.table import CellRow, FeatureRow, write_cells, write_features
from sts.signals.feature_names import FEATURES
from tests.datasets.stores import make_store

SCRIPT_ID = "</script><script>alert(1)</script>"
IMAGE_ID = "<img src=x onerror=alert(2)>"
FORMULA_ID = "=1+1"
LOST = "000 lost.nwb"
HOSTILE = (SCRIPT_ID, IMAGE_ID, FORMULA_ID)


def make_spiking_store(n: int) -> SweepStore:
    """Return cells whose second sweep has more spikes than the first; three have hostile ids."""
    store = make_store(n)
    at = np.arange(4800)
    inside = (at > 420) & (at < 4400)
    for cell, traces in enumerate(store.traces):
        traces[:] = -70 + 0.01 * (traces + 70)
        for sweep, period in enumerate((900, 300 + 10 * (cell % 20))):
            traces[sweep] += 90 * np.exp(-0.5 * ((at % period - 150) / 3) ** 2) * inside
    names = [*HOSTILE, *store.specimen_id.tolist()[len(HOSTILE) :]]
    return replace(store, specimen_id=np.array(names, dtype=np.str_))


def write_world(root: Path, n: int = 12) -> tuple[Path, Path]:
    """Write `data` with a store, features and an excluded cell, and a run; return both folders."""
    data, run = root / "data", root / "output" / "sts" / "run"
    run.mkdir(parents=True)
    store = make_spiking_store(n)
    (data / "mine").mkdir(parents=True)
    write_store(data / "mine" / "sweeps.h5", store)
    _write_features(data / "mine" / "features.csv", store)
    lost = CellRow(specimen_id=LOST, status="failed", reason="<b>cut off</b>", file=LOST)
    write_cells(data / "mine" / "cells.csv", [lost])
    _write_run(run / "predictions.csv", store)
    return data, run


def _write_features(path: Path, store: SweepStore) -> None:
    rng = np.random.default_rng(1)
    rows = [
        FeatureRow(
            specimen_id=specimen,
            label=label,
            dataset=dataset,
            values=dict(
                zip(FEATURES, (rng.normal(CLASSES.index(label), 1, len(FEATURES))), strict=True)
            ),
        )
        for specimen, label, dataset in zip(
            *(column.tolist() for column in (store.specimen_id, store.label, store.dataset)),
            strict=True,
        )
    ]
    write_features(path, rows)


def _write_run(path: Path, store: SweepStore) -> None:
    """Predict every cell correctly but the last one."""
    probabilities = [f"probability_{name}" for name in CLASSES]
    columns = ["specimen_id", "dataset", "truth", "prediction", *probabilities]
    columns += ["set", "unlike_training", "because_1"]
    rows = []
    for row, (specimen, label) in enumerate(
        zip(store.specimen_id.tolist(), store.label.tolist(), strict=True)
    ):
        call = CLASSES[(CLASSES.index(label) + 1) % 4] if row == len(store) - 1 else label
        rows.append(
            {
                "specimen_id": specimen,
                "dataset": store.dataset[row],
                "truth": label,
                "prediction": call,
                **{f"probability_{name}": 0.7 if name == call else 0.1 for name in CLASSES},
                "set": f"{call}; Sst",
                "unlike_training": row == 4,
                "because_1": "tau 3 ms, lower than 90 % of <i>cells</i>",
            }
        )
    write_csv(path, columns, rows)
