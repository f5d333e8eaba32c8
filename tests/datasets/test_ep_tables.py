"""Tables of features from several files: one order, one frame of times, one row a cell."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sts.base.errors import StsError
from sts.datasets.ep_tables import (
    EpTable,
    find_ep_tables,
    load_ep_tables,
    read_ep_table,
    with_labels,
    with_onsets,
)
from sts.datasets.labels import CellLabel, read_labels
from sts.datasets.splits import find_split
from sts.signals.feature_names import FEATURES, TIME_FEATURES
from tests.datasets.ep_worlds import make_table, rows_of, write_own, write_published

CLAMP = Path("Split", "PatchClamp_EP_features.csv")
SEQ = Path("Split", "PatchSeq_EP_features.csv")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_published(tmp_path, make_table(24))
    return tmp_path


def loaded(data: Path) -> EpTable:
    return load_ep_tables(find_ep_tables(data))


def edit(path: Path, change: Callable[[list[list[str]]], object]) -> Path:
    """Change the cells of a CSV file, header included, in place."""
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    change(rows)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def assert_same(one: EpTable, other: EpTable) -> None:
    assert one.names == other.names
    for name in ("specimen_id", "dataset", "X"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_the_published_tables_are_joined_by_name(data: Path) -> None:
    table, wanted = loaded(data), make_table(24)
    assert table.names == FEATURES
    assert table.specimen_id.tolist() == wanted.specimen_id.tolist()
    assert table.dataset.tolist() == wanted.dataset.tolist()
    # Times were written with 1.02 or 0.5 s added.
    np.testing.assert_allclose(table.X, wanted.X, rtol=0, atol=1e-12)


def test_with_onsets_times_are_as_they_were_published(data: Path) -> None:
    published = with_onsets(loaded(data))
    column = published.columns()["threshold_t_ramp"] - loaded(data).columns()["threshold_t_ramp"]
    np.testing.assert_allclose(column, np.where(published.dataset == "PatchSeq", 0.5, 1.02))
    tau = published.columns()["tau"]
    np.testing.assert_array_equal(tau, loaded(data).columns()["tau"])


def test_neither_the_order_of_rows_nor_that_of_columns_changes_anything(data: Path) -> None:
    before = loaded(data)

    def turn(rows: list[list[str]]) -> None:
        rows[1:] = rows[:0:-1]
        for row in rows:
            row.reverse()

    for name in (CLAMP, SEQ):
        edit(data / name, turn)
    assert_same(loaded(data), before)


def test_a_row_that_repeats_another_is_dropped(data: Path) -> None:
    before = loaded(data)
    edit(data / SEQ, lambda rows: rows.append(rows[2]))
    assert_same(loaded(data), before)


def test_a_row_that_contradicts_another_is_refused_by_its_id(data: Path) -> None:
    def contradict(rows: list[list[str]]) -> None:
        rows.append([*rows[2][:-1], "9.75"])

    edit(data / SEQ, contradict)
    with pytest.raises(StsError, match="contains specimen 1005 twice"):
        loaded(data)


def test_a_specimen_in_two_files_is_taken_from_the_published_one(data: Path) -> None:
    before = loaded(data)
    other = make_table(26, seed=5)
    (data / "mine").mkdir()
    write_own(data / "mine", other)
    table = loaded(data)
    assert len(table) == 26
    assert_same(table.rows(np.arange(24)), before)
    np.testing.assert_allclose(table.X[24:], other.X[24:], rtol=0, atol=1e-12)


def test_a_cell_that_could_not_be_measured_is_not_in_the_table(tmp_path: Path) -> None:
    path = write_own(tmp_path, make_table(3))
    path.write_text(path.read_text().replace(",ok,", ",failed,", 1))
    assert read_ep_table(path).specimen_id.tolist() == ["1001", "1002"]


def test_times_of_our_own_tables_count_from_the_onset(tmp_path: Path) -> None:
    from dataclasses import replace

    from sts.datasets.table import write_features
    from sts.signals.features import absolute_times

    rows = [
        replace(row, times="PatchSeq", values=absolute_times(row.values, "PatchSeq"))
        for row in rows_of(make_table(4))
    ]
    write_features(tmp_path / "absolute.csv", rows)
    # 0.5 s there and back.
    np.testing.assert_allclose(
        read_ep_table(tmp_path / "absolute.csv").X, make_table(4).X, rtol=0, atol=1e-12
    )


def own(tmp_path: Path, *, shift_s: float = 0.0) -> Path:
    """Write somebody's own table: an id, features, nothing else."""
    table = make_table(8)
    X = table.X + shift_s * np.array([name in TIME_FEATURES for name in FEATURES])
    lines = [",".join(["specimen_id", *FEATURES])]
    for specimen, row in zip(table.specimen_id, X, strict=True):
        lines.append(",".join([f"{specimen}.0", *("" if np.isnan(v) else repr(v) for v in row)]))
    path = tmp_path / "own.csv"
    path.write_text("\n".join(line.replace("np.float64(", "").replace(")", "") for line in lines))
    return path


def test_a_table_of_ones_own_needs_an_id_and_the_features(tmp_path: Path) -> None:
    table = read_ep_table(own(tmp_path))
    # A spreadsheet made fractions of the ids.
    assert table.specimen_id.tolist() == make_table(8).specimen_id.tolist()
    assert set(table.label) == set(table.dataset) == {""}
    few = read_ep_table(own(tmp_path), needed=("tau", "vrest"))
    assert few.names == ("vrest", "tau")


def test_absolute_times_in_ones_own_table_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StsError, match=r"do not count from the stimulus onset.*1\.02 s"):
        read_ep_table(own(tmp_path, shift_s=1.02))


def test_text_in_a_number_column_is_named_by_file_line_and_column(data: Path) -> None:
    path = edit(data / CLAMP, lambda rows: rows[3].__setitem__(rows[0].index("tau"), "slow"))
    path.write_text(path.read_text().replace("\n", "\n\n", 1))
    with pytest.raises(StsError, match=r"PatchClamp_EP_features\.csv, line 5: tau is 'slow'"):
        loaded(data)


@pytest.mark.parametrize("text", ["inf", "-inf", "1e999", "1e16", "1,5"])
def test_what_is_no_finite_number_is_refused(data: Path, text: str) -> None:
    edit(data / SEQ, lambda rows: rows[1].__setitem__(rows[0].index("ri"), text))
    with pytest.raises(StsError, match="line 2: ri is"):
        loaded(data)


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_table_may_be_separated_by_semicolons_or_tabs(tmp_path: Path, separator: str) -> None:
    path = tmp_path / "own.csv"
    lines = [("specimen_id", "label", "tau"), ("1", "Sst", "20.5"), ("2", "", "")]
    path.write_text("\n".join(separator.join(line) for line in lines))
    table = read_ep_table(path, needed=("tau",))
    assert (table.specimen_id.tolist(), table.label.tolist()) == (["1", "2"], ["Sst", ""])
    assert table.X[0, 0] == 20.5


def test_an_absent_column_is_named(data: Path) -> None:
    edit(data / CLAMP, lambda rows: rows[0].__setitem__(rows[0].index("tau"), "time_constant"))
    with pytest.raises(StsError, match=r"no column .tau. in .*PatchClamp"):
        loaded(data)
    assert len(load_ep_tables(find_ep_tables(data), needed=("ri",))) == 24


def test_of_many_absent_columns_some_are_named(tmp_path: Path) -> None:
    path = tmp_path / "theirs.csv"
    path.write_text("cell,Vrest\n1,-70\n")
    with pytest.raises(StsError, match=r"no column 'specimen_id', .* and \d+ more in ") as caught:
        read_ep_table(path)
    assert len(str(caught.value)) < 300 + len(str(path))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "no cell in"),
        ("specimen_id,tau\n", "no cell in"),
        ("name,tau\nx,1\n", "no column 'specimen_id'"),
        ("specimen_id,tau\n,1\n", "line 2: no specimen id"),
        ("specimen_id,label,tau\n1,Pvlab,1\n", "line 2: unknown class 'Pvlab': did you mean"),
        ("specimen_id,tau\n1\n", "line 2: expected 2 values, not 1"),
        ("specimen_id,tau\n1\x00,1\n", "line 2: a NUL character"),
        ("specimen_id,tau\n\x1b[2J,1\n", "line 2: a specimen id contains a character"),
        ("specimen_id,tau\n" + "1" * 201 + ",1\n", "line 2: a specimen id has 201 characters"),
        ("specimen_id,label,tau\n1," + "S" * 900 + ",1\n", "line 2: a class has 900 characters"),
        ("specimen_id,donor_id,tau\n1,\x07,1\n", "line 2: the donor_id contains a character"),
        ("specimen_id;tau\n1;inf\n", "line 2: tau is 'inf'"),
    ],
)
def test_a_bad_table_is_one_clear_line(tmp_path: Path, text: str, line: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(StsError, match=line) as caught:
        read_ep_table(path, needed=("tau",))
    assert "\n" not in str(caught.value)


def test_without_tables_it_is_said_where_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(StsError, match=r"data_pipeline\.py fetch sts-tables.*--demo"):
        find_ep_tables(tmp_path)


def test_labels_of_a_file_come_before_those_of_the_table(data: Path) -> None:
    table = loaded(data)
    labels = read_labels(data / "cell_types_GouwensAll_new.txt")
    labelled = with_labels(table, labels, origin="labels")
    assert labelled.label.tolist() == make_table(24).label.tolist()
    np.testing.assert_array_equal(labelled.truth, np.arange(24) % 4)
    other = {"1000": CellLabel(specimen_id="1000", label="Sst", donor_id="d")}
    again = with_labels(labelled, other, origin="mine")
    assert (again.label[0], again.donor_id[0]) == ("Sst", "d")
    assert again.label[1:].tolist() == labelled.label[1:].tolist()


def test_labels_of_other_cells_are_told(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    some = {name: CellLabel(specimen_id=name, label="Sst") for name in ("1000", "77")}
    with_labels(loaded(data), some, origin="mine.csv")
    assert "mine.csv labels specimens that are in no feature table (1), such as 77" in caplog.text
    none = {"77": CellLabel(specimen_id="77", label="Sst")}
    with pytest.raises(StsError, match=r"none of the 1 labelled specimens of mine\.csv"):
        with_labels(loaded(data), none, origin="mine.csv")


@pytest.mark.data
def test_one_onset_holds_for_all_stimuli_of_the_real_tables(data_dir: Path) -> None:
    table = loaded(data_dir / "sts" / "data")
    # 2,061 and 3,589 rows, human cells and cells of no split included.
    assert len(table) == 5650
    split = find_split(data_dir / "sts" / "data")
    assert split is not None
    table = table.rows(np.isin(table.specimen_id, sorted(split.train | split.test)))
    assert len(table) == 4472
    columns = table.columns()
    # A ramp of 25 pA/s reaches the threshold current where its onset says.
    onset = columns["threshold_t_ramp"] - columns["threshold_i_ramp"] / 25
    for dataset in ("PatchClamp", "PatchSeq"):
        of_set = table.dataset == dataset
        # 2.5 ms: the command of PatchSeq lags behind its nominal onset by so much.
        assert abs(np.nanmedian(onset[of_set])) < 0.003
        # Steps of 3 ms: the spikes come as they end.
        assert 0.002 < np.nanmedian(columns["threshold_t_short_square"][of_set]) < 0.004
        assert np.nanmin(columns["threshold_t_long_square"][of_set]) > 0
