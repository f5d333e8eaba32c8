"""Who cells are is known from whatever holds them, each once."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from sts.base.errors import StsError
from sts.datasets.cells import Cells, cells_in, cells_of_store, find_stores, unite_cells
from sts.datasets.store import write_store
from sts.datasets.table import FeatureRow, write_features
from tests.datasets.stores import make_store


def cells(**columns: list[str]) -> Cells:
    count = len(columns["specimen_id"])
    empty = {name: [""] * count for name in ("donor_id", "label", "dataset", "claimed_id")}
    return Cells(**{name: np.array(values) for name, values in (empty | columns).items()})


def test_a_store_says_who_its_cells_are_without_its_sweeps(tmp_path: Path) -> None:
    store = make_store(6)
    write_store(tmp_path / "sweeps.h5", store)
    with h5py.File(tmp_path / "sweeps.h5", "r+") as file:
        del file["traces"]
    found = cells_of_store(tmp_path / "sweeps.h5")
    for name in ("specimen_id", "donor_id", "label", "dataset", "claimed_id"):
        assert getattr(found, name).tolist() == getattr(store, name).tolist()


def test_a_store_that_lacks_something_is_named(tmp_path: Path) -> None:
    write_store(tmp_path / "sweeps.h5", make_store(4))
    with h5py.File(tmp_path / "sweeps.h5", "r+") as file:
        del file["label"]
    with pytest.raises(StsError, match=r"the sweep store .*sweeps.h5 lacks label"):
        cells_of_store(tmp_path / "sweeps.h5")


def test_a_cell_in_two_places_is_one_and_says_all_that_is_known() -> None:
    one = cells(specimen_id=["2", "1"], label=["Sst", ""], donor_id=["d", "e"])
    other = cells(specimen_id=["1", "3"], label=["Pvalb", "Sst"], dataset=["A", "B"])
    found = unite_cells([one, other])
    assert found.specimen_id.tolist() == ["1", "2", "3"]
    assert found.label.tolist() == ["Pvalb", "Sst", "Sst"]
    assert found.donor_id.tolist() == ["e", "d", ""]
    assert found.dataset.tolist() == ["A", "", "B"]
    assert len(unite_cells([])) == 0


def test_a_folder_of_data_is_searched_for_stores_tables_and_labels(tmp_path: Path) -> None:
    write_store(tmp_path / "a" / "sweeps.h5", make_store(4))
    write_features(
        tmp_path / "b" / "features.csv",
        [
            FeatureRow(specimen_id="7"),
            FeatureRow(specimen_id="8", status="failed", reason="broken"),
        ],
    )
    (tmp_path / "labels.csv").write_text("specimen_id,label\n7,Sst\n", encoding="utf-8")
    found = cells_in(tmp_path)
    assert found.specimen_id.tolist() == ["600000", "600001", "600002", "600003", "7"]
    assert found.label.tolist()[-1] == "Sst"
    assert find_stores(tmp_path) == [tmp_path / "a" / "sweeps.h5"]
    assert len(cells_in(tmp_path / "nowhere")) == 0
