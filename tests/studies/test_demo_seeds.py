"""What `simulate` makes up by itself is new to the models of the demos."""

from pathlib import Path

import numpy as np
import pytest

from sts.cli.data import make_data_parser
from sts.datasets import demo
from sts.datasets.store import load_store
from sts.datasets.table import read_features
from sts.recordings.simulated.cells import simulate_cells


def default_seed() -> int:
    return int(make_data_parser().parse_args(["simulate"]).seed)


def test_a_demo_of_networks_trains_on_other_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "STORE_CELLS", 8)
    demo.ensure_store(tmp_path)
    own = load_store(tmp_path / "sweeps.h5")
    usual = demo.simulated_store(simulate_cells(8, seed=default_seed(), protocol="long"))
    assert not set(own.specimen_id) & set(usual.specimen_id)
    assert not set(own.donor_id) & set(usual.donor_id)
    for trace in own.traces:
        assert not (trace == usual.traces).all(axis=(1, 2)).any()


def test_a_demo_of_tables_trains_on_other_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "TABLE_CELLS", 4)
    demo.ensure_table(tmp_path)
    usual = simulate_cells(4, seed=default_seed(), protocol="full")
    rows = read_features(tmp_path / "features.csv")
    rests = np.array([row.values["vrest"] for row in rows])
    assert not {row.specimen_id for row in rows} & {each.recording.specimen_id for each in usual}
    assert len(np.unique(rests)) == len(rows)
