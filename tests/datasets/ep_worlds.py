"""Simulated cells whose features tell their class, as the files that hold such tables."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sts.base.files import write_csv
from sts.base.types import CLASSES, Floats
from sts.datasets.ep_tables import EpTable
from sts.datasets.table import FeatureRow, write_features
from sts.signals.feature_names import FEATURES, TIME_FEATURES

DATASETS = ("PatchClamp", "PatchSeq")


def make_values(n: int, *, seed: int = 0) -> Floats:
    """Return features (n, 45) whose ranges are like real ones; class i of 4 is that of row i."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, len(FEATURES)))
    X += (
        1.5
        * np.random.default_rng(7).normal(size=(len(CLASSES), len(FEATURES)))[
            np.arange(n) % len(CLASSES)
        ]
    )
    for at, name in enumerate(FEATURES):
        if name in TIME_FEATURES:
            # Threshold, peak, fast trough, trough and slow trough follow each other.
            later = ("threshold", "peak", "fast_trough", "trough", "slow_trough")
            first = 0.003 if name.endswith("short_square") else 0.1
            X[:, at] = first + 0.001 * later.index(name.split("_t_")[0]) + 1e-5 * X[:, at]
        elif name in ("ri", "tau", "avg_isi", "latency", "f_i_curve_slope") or "_i_" in name:
            X[:, at] = np.exp(0.3 * X[:, at]) * (0.05 if name == "latency" else 50)
        elif name.startswith("upstroke"):
            X[:, at] = np.exp(0.3 * X[:, at])
        elif name.startswith("peak_v"):
            X[:, at] = 30 + X[:, at]
        elif "_v_" in name or name in ("vrest", "vm_for_sag"):
            X[:, at] = -50 - 20 * (name in ("vrest", "vm_for_sag")) + X[:, at]
    for name in ("slow_trough_v_long_square", "slow_trough_t_long_square", "adaptation"):
        X[rng.random(n) < 0.3, FEATURES.index(name)] = np.nan
    return X


def make_table(n: int, *, seed: int = 0) -> EpTable:
    """Return n cells, the classes and both data sets in turn."""
    return EpTable(
        specimen_id=np.array([str(1000 + at) for at in range(n)]),
        donor_id=np.array([""] * n),
        label=np.array([CLASSES[at % len(CLASSES)] for at in range(n)]),
        dataset=np.array([DATASETS[at // len(CLASSES) % 2] for at in range(n)]),
        claimed_id=np.full(n, ""),
        X=make_values(n, seed=seed),
        names=FEATURES,
    )


def rows_of(table: EpTable) -> list[FeatureRow]:
    """Return a table as the rows of features.csv."""
    return [
        FeatureRow(
            specimen_id=str(table.specimen_id[at]),
            label=str(table.label[at]),
            dataset=str(table.dataset[at]),
            values=dict(zip(FEATURES, table.X[at].tolist(), strict=True)),
        )
        for at in range(len(table))
    ]


def write_own(data: Path, table: EpTable) -> Path:
    """Write a table as `data_pipeline.py features` does."""
    write_features(data / "features.csv", rows_of(table))
    return data / "features.csv"


def write_renamed(folder: Path, rows: Sequence[FeatureRow]) -> tuple[Path, Path]:
    """Write rows under other names and in other units, and a file that says what they are."""
    names = ("specimen_id", "label", *FEATURES)
    factors = {"tau": 1000, "vrest": 1000, "latency": 0.001}
    columns = {f"their {name}": name for name in names}
    lines = [
        {"source": their, "feature": name, "factor": factors.get(name, "")}
        for their, name in columns.items()
    ]
    write_csv(folder / "columns.csv", ("source", "feature", "factor"), lines)
    cells = []
    for row in rows:
        values = {name: value / factors.get(name, 1) for name, value in row.values.items()}
        cell = {"specimen_id": row.specimen_id, "label": row.label} | values
        theirs = {their: cell[name] for their, name in columns.items()}
        cells.append(theirs | {"claimed_id": row.claimed_id})
    write_csv(folder / "theirs.csv", [*columns, "claimed_id"], cells)
    return folder / "theirs.csv", folder / "columns.csv"


def write_published(data: Path, table: EpTable, *, test_share: int = 5) -> None:
    """Write a table as the published files: two tables, labels and splits, times from no onset."""
    (data / "Split").mkdir(parents=True, exist_ok=True)
    for dataset, onset_s in (("PatchClamp", 1.02), ("PatchSeq", 0.50)):
        cells = table.rows(table.dataset == dataset)
        rows = [_published_row(cells, at, onset_s) for at in range(len(cells))]
        with (data / "Split" / f"{dataset}_EP_features.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    ids, labels = table.specimen_id.tolist(), table.label.tolist()
    lines = [f"{label} {specimen}" for label, specimen in zip(labels, ids, strict=True)]
    (data / "cell_types_GouwensAll_new.txt").write_text("\n".join(lines) + "\nUnsure 999\n")
    sources = {"PatchClamp": "Clamp", "PatchSeq": "Seq"}
    listed = [f"{a}, {sources[b]}" for a, b in zip(ids, table.dataset.tolist(), strict=True)]
    # Classes and data sets come in turns of eight, which five does not divide.
    (data / "Split" / "Test_split.csv").write_text("\n".join(listed[::test_share]) + "\n")
    train = [line for at, line in enumerate(listed) if at % test_share]
    (data / "Split" / "Train_split.csv").write_text("\n".join(train) + "\n")


def _published_row(cells: EpTable, at: int, onset_s: float) -> dict[str, object]:
    values = {
        name: "" if np.isnan(value) else repr(value + onset_s if name in TIME_FEATURES else value)
        for name, value in zip(FEATURES, cells.X[at].tolist(), strict=True)
    }
    specimen = str(cells.specimen_id[at])
    if onset_s == 0.50:
        return {"": at, "cell_specimen_id": specimen, "thumbnail_sweep_num": 3, **values}
    more = {"has_burst": "False", "rheobase_sweep_id": 5, "thumbnail_sweep_id": 6}
    return {**values, **more, "specimen_id": specimen}
