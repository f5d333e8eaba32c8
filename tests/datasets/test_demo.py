"""The cells of the demos: the same for any number of workers, others than `simulate` makes."""

import weakref
from pathlib import Path

import numpy as np
import pytest

from sts.base.errors import CellExcluded
from sts.cli.data import make_data_parser
from sts.datasets import demo
from sts.datasets.store import SweepStore, load_store
from sts.datasets.table import read_features
from sts.recordings.simulated.cells import DEMO_SEED, SimulatedCell, simulate_cell

COLUMNS = ("specimen_id", "donor_id", "label", "dataset", "rheobase_pa", "step_pa", "onset_s")


def default_seed() -> int:
    return int(make_data_parser().parse_args(["simulate"]).seed)


def assert_equal(one: SweepStore, other: SweepStore) -> None:
    assert np.array_equal(one.traces, other.traces)
    for name in COLUMNS:
        assert np.array_equal(getattr(one, name), getattr(other, name)), name


def test_a_demo_of_networks_trains_on_other_cells_than_simulate_makes_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "STORE_CELLS", 8)
    demo.ensure_store(tmp_path)
    own = load_store(tmp_path / "sweeps.h5")
    usual = demo.simulate_store(8, seed=default_seed(), protocol="long")
    assert not set(own.specimen_id) & set(usual.specimen_id)
    assert not set(own.donor_id) & set(usual.donor_id)
    for trace in own.traces:
        assert not (trace == usual.traces).all(axis=(1, 2)).any()


def test_a_demo_of_tables_measures_the_first_cells_of_its_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "TABLE_CELLS", 4)
    demo.ensure_table(tmp_path)
    rows = read_features(tmp_path / "features.csv")
    assert [row.specimen_id for row in rows] == [f"sim{DEMO_SEED}cell{n:05d}" for n in range(4)]
    assert default_seed() != DEMO_SEED
    assert len({row.values["vrest"] for row in rows}) == 4


def test_the_number_of_workers_changes_nothing() -> None:
    alone, together = (demo.simulate_store(6, seed=3, workers=workers) for workers in (1, 2))
    assert_equal(alone, together)
    assert len(np.unique(alone.specimen_id)) == 6
    assert set(alone.label.tolist()) <= {"Pvalb", "Excitatory", "Vip/Lamp5", "Sst"}


def test_the_sweeps_of_a_pair_alone_give_the_same_store() -> None:
    whole, pairs = (
        demo.simulate_store(12, seed=3, protocol=protocol) for protocol in ("long", "pair")
    )
    assert_equal(whole, pairs)


def test_no_recording_outlives_its_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    alive: list[int] = []
    kept: list[weakref.ref[object]] = []

    def watched(*args: object, **settings: object) -> SimulatedCell:
        cell = simulate_cell(*args, **settings)  # type: ignore[arg-type]
        alive.append(sum(each() is not None for each in kept))
        kept.append(weakref.ref(cell.recording))
        return cell

    monkeypatch.setattr(demo, "simulate_cell", watched)
    demo.simulate_store(6, seed=3, workers=1)
    assert alive == [0] * 6


def test_an_excluded_cell_is_left_out_and_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(analysis: object, select: object) -> object:
        if analysis.recording.specimen_id.endswith("1"):  # type: ignore[attr-defined]
            raise CellExcluded("no spike")
        return real(analysis, select)  # type: ignore[arg-type]

    real = demo.make_store_entry
    monkeypatch.setattr(demo, "make_store_entry", refuse)
    store = demo.simulate_store(3, seed=3, workers=1)
    assert store.specimen_id.tolist() == ["sim3cell00000", "sim3cell00002"]
    assert "sim3cell00001 is left out: no spike" in caplog.text
