"""The page of a data set says what is in it, also where nearly everything is missing."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sts.base.types import CLASSES
from sts.cli.data import main
from sts.cli.run import Status
from sts.datasets.inventory import take_inventory
from sts.datasets.medians import compare_medians
from sts.datasets.store import load_store, write_store
from sts.datasets.table import CellRow, write_cells, write_features
from sts.studies.data import overview
from sts.studies.data.overview import (
    NO_CLASS,
    OVERLAID,
    choose_cells,
    count_left_out,
    scale_medians,
    update_overview,
    write_overview,
)
from tests.datasets.ep_worlds import make_table, rows_of
from tests.datasets.stores import make_store


def write_folder(data: Path, *, cells: int = 8) -> Path:
    """Write a store, a table of features and the results of recordings."""
    data.mkdir(parents=True)
    write_store(data / "sweeps.h5", make_store(cells))
    write_features(data / "features.csv", rows_of(make_table(60)))
    lost = [("excluded", "no spike: 12 sweeps"), ("excluded", "no spike: 9 sweeps")]
    rows = [
        CellRow(specimen_id=str(at), status=status, reason=reason, file=f"{at}<b>.nwb")
        for at, (status, reason) in enumerate([*lost, ("failed", "is empty"), ("ok", "")])
    ]
    write_cells(data / "cells.csv", rows)
    return data


def page_of(data: Path, path: Path) -> str:
    write_overview(path, take_inventory(data), compare_medians(data))
    return path.read_text()


def test_the_page_has_all_parts_and_escapes_what_files_say(tmp_path: Path) -> None:
    page = page_of(write_folder(tmp_path / "mine"), tmp_path / "page.html")
    assert page.count("<img ") == 3
    assert "0&lt;b&gt;.nwb" in page
    assert "<b>" not in page
    assert all(name in page for name in CLASSES)


def test_reasons_are_counted_without_their_details(tmp_path: Path) -> None:
    counts = count_left_out(write_folder(tmp_path / "mine"))
    assert counts is not None
    assert [(each.product, each.status, each.reason, each.cells) for each in counts] == [
        ("sweeps", "excluded", "no spike", 2),
        ("sweeps", "failed", "is empty", 1),
    ]


def without_labels(data: Path) -> None:
    store = load_store(data / "sweeps.h5")
    changed = {"label": np.full(len(store), ""), "dataset": np.full(len(store), "")}
    write_store(data / "sweeps.h5", type(store)(**vars(store) | changed))
    (data / "features.csv").unlink()


def without_recordings(data: Path) -> None:
    (data / "cells.csv").unlink()
    (data / "features.csv").unlink()


def without_failures(data: Path) -> None:
    write_cells(data / "cells.csv", [CellRow(specimen_id="1", status="ok")])
    (data / "sweeps.h5").unlink()


def without_features(data: Path) -> None:
    (data / "features.csv").unlink()


def one_cell(data: Path) -> None:
    write_store(data / "sweeps.h5", make_store(1))
    write_features(data / "features.csv", rows_of(make_table(60).rows(np.array([0]))))


def without_store(data: Path) -> None:
    (data / "sweeps.h5").unlink()


SPARSE: dict[Callable[[Path], None], str] = {
    without_labels: "No cell has a class.",
    without_recordings: "No table says what became of recordings",
    without_failures: "No recording was left out.",
    without_features: "No table of features.",
    one_cell: "No cell is of ",
    without_store: "No sweep store.",
}


@pytest.mark.parametrize("change", SPARSE, ids=lambda change: change.__name__)
def test_what_is_missing_is_said(change: Callable[[Path], None], tmp_path: Path) -> None:
    data = write_folder(tmp_path / "mine", cells=4)
    change(data)
    page = page_of(data, tmp_path / "page.html")
    assert SPARSE[change] in page


def test_ten_cells_of_each_class_are_chosen_and_only_they_are_read(tmp_path: Path) -> None:
    data = tmp_path / "mine"
    data.mkdir()
    store = make_store(60)
    store.label[:4] = ""
    write_store(data / "sweeps.h5", store)
    ((path, by_class),) = choose_cells(take_inventory(data)).items()
    assert {name: len(rows) for name, rows in by_class.items()} == {
        **dict.fromkeys(CLASSES, OVERLAID),
        NO_CLASS: 4,
    }
    for name, rows in by_class.items():
        some = load_store(path, rows)
        np.testing.assert_array_equal(some.traces, store.traces[rows])
        assert set(some.label.tolist()) == {"" if name == NO_CLASS else name}


def test_a_scaled_median_is_zero_for_the_same_cells_and_one_for_a_quartile_range() -> None:
    table = make_table(60)
    names, same = scale_medians({"a": table, "b": table})
    np.testing.assert_allclose(list(same.values()), 0.0, atol=1e-12)
    at = table.names.index("vrest")
    table.X[:, at] = np.linspace(-80, -60, 60)
    names, moved = scale_medians({"low": table.rows(np.arange(30)), "high": table})
    assert moved["low"][names.index("vrest")] < moved["high"][names.index("vrest")]


def test_a_page_is_written_again_only_after_its_products(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "write_overview", lambda path, *_: path.write_text("page"))
    data = write_folder(tmp_path / "mine", cells=4)
    page = update_overview(data, [data / "sweeps.h5"])
    first = page.stat().st_mtime_ns
    assert update_overview(data, [data / "sweeps.h5"]).stat().st_mtime_ns == first
    write_store(data / "sweeps.h5", make_store(5))
    assert update_overview(data, [data / "sweeps.h5"]).stat().st_mtime_ns > first


def test_check_names_the_page_on_its_last_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("data", "source"):
        (tmp_path / name).mkdir()
    write_folder(tmp_path / "data" / "mine", cells=4)
    out = tmp_path / "page.html"
    status = main(["check", "--root", str(tmp_path), "--page", str(out)])
    assert status in (Status.DONE, Status.USER)
    assert capsys.readouterr().out.splitlines()[-1] == str(out)
    assert out.is_file()
