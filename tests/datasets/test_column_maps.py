"""A table says which columns of a file are which features; the features come out in our units."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from sts.base.errors import StsError
from sts.base.files import read_csv
from sts.datasets.column_maps import AGREEMENTS, COLUMN_MAPS, read_column_map
from sts.datasets.ep_tables import read_ep_table
from sts.datasets.laboratories import LABORATORIES
from sts.signals.feature_names import FEATURES

HEADER = "source,feature,factor,offset"


def write(path: Path, lines: Sequence[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def mapped(tmp_path: Path) -> Path:
    """Return a column map of a table in other units."""
    lines = [
        "Cell,specimen_id,,",
        "Mouse,donor_id,,",
        "tau (s),tau,1000,",
        "threshold,threshold_v_ramp,,",
        "threshold,peak_v_ramp,,",
        "height,peak_v_ramp,,",
        "sag ratio,sag,1,-1",
        "rin,,,",
    ]
    return write(tmp_path / "columns.csv", [HEADER, *lines])


def write_table(tmp_path: Path) -> Path:
    lines = [
        "Cell,Mouse,tau (s),threshold,height,sag ratio,rin,vrest,label",
        "a1,m1,0.025,-40,70,1.25,9,-70,Sst",
        "",
        "a2,m2,,-41,,1,9,,",
    ]
    return write(tmp_path / "theirs.csv", lines)


def test_features_come_out_in_our_units(tmp_path: Path, mapped: Path) -> None:
    table = read_ep_table(write_table(tmp_path), columns=read_column_map(mapped))
    found = table.columns()
    assert table.names == FEATURES
    assert table.specimen_id.tolist() == ["a1", "a2"]
    assert table.donor_id.tolist() == ["m1", "m2"]
    assert table.label.tolist() == ["Sst", ""]
    # Sums and products of numbers that floats do not hold exactly.
    np.testing.assert_allclose(found["tau"], [25, np.nan], rtol=1e-12)
    np.testing.assert_allclose(found["sag"], [0.25, 0], rtol=1e-12)
    np.testing.assert_array_equal(found["threshold_v_ramp"], [-40, -41])


def test_a_feature_in_several_lines_is_their_sum_and_missing_with_any_of_them(
    tmp_path: Path, mapped: Path
) -> None:
    table = read_ep_table(write_table(tmp_path), columns=read_column_map(mapped))
    np.testing.assert_array_equal(table.columns()["peak_v_ramp"], [30, np.nan])


def test_a_column_with_our_name_needs_no_line_and_others_are_missing(
    tmp_path: Path, mapped: Path
) -> None:
    path = write_table(tmp_path)
    path.write_text(path.read_text().replace("rin", "ri"))
    mapped.write_text(mapped.read_text().replace("rin", "ri"))
    found = read_ep_table(path, columns=read_column_map(mapped)).columns()
    np.testing.assert_array_equal(found["vrest"], [-70, np.nan])
    assert np.isnan(found["ri"]).all(), "the map says that this column is none of our features"
    assert np.isnan(found["latency"]).all()


def test_the_data_set_of_the_map_is_that_of_the_cells(tmp_path: Path, mapped: Path) -> None:
    lines = [
        f"{'dataset' if not at else 'Mine'},{line}"
        for at, line in enumerate(mapped.read_text().splitlines())
    ]
    columns = read_column_map(write(mapped, lines))
    assert columns.dataset == "Mine"
    table = read_ep_table(write_table(tmp_path), columns=columns)
    assert set(table.dataset.tolist()) == {"Mine"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["source,feature"], "no line in"),
        (["source", "tau"], "no column 'feature'"),
        ([HEADER, "x,taau,,"], "line 2: unknown feature 'taau': did you mean 'tau'"),
        ([HEADER, "x,tau,big,"], "line 2: factor is 'big', a number is needed"),
        ([HEADER, "x,tau,,1e99"], "line 2: offset is '1e99', a number is needed"),
        ([HEADER, ",tau,,"], "line 2: no column under source"),
        (["source,feature,agreement", "x,tau,good"], "line 2: unknown agreement 'good'"),
        (["dataset,source,feature", "A,x,tau", "B,x,tau"], "several data sets, A, B"),
    ],
)
def test_a_bad_map_is_one_clear_line(tmp_path: Path, lines: list[str], message: str) -> None:
    path = write(tmp_path / "columns.csv", lines)
    with pytest.raises(StsError, match=message) as caught:
        read_column_map(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["Cell,specimen_id,,", "tau_s,tau,,"], "no column 'tau_s' in .*theirs.csv"),
        (["tau (s),tau,,"], "no column 'specimen_id' in .*whose feature is specimen_id"),
        (["Cell,specimen_id,,", "Mouse,tau,,"], "theirs.csv, line 2: Mouse is 'm1', a number"),
        (["Mouse,specimen_id,,", "Cell,label,,"], "theirs.csv, line 2: unknown class 'a1'"),
    ],
)
def test_a_table_that_does_not_fit_its_map_is_refused(
    tmp_path: Path, lines: list[str], message: str
) -> None:
    columns = read_column_map(write(tmp_path / "columns.csv", [HEADER, *lines]))
    with pytest.raises(StsError, match=message):
        read_ep_table(write_table(tmp_path), columns=columns)


def test_a_table_without_any_feature_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "theirs.csv", ["Cell,x", "a1,1"])
    columns = read_column_map(write(tmp_path / "columns.csv", [HEADER, "Cell,specimen_id,,"]))
    with pytest.raises(StsError, match=r"no column of .*theirs\.csv is a feature"):
        read_ep_table(path, columns=columns)


def test_absolute_times_are_refused_under_a_map_too(tmp_path: Path) -> None:
    path = write(tmp_path / "theirs.csv", ["specimen_id,t", "a1,1.024"])
    line = "t,threshold_t_short_square,1,"
    columns = read_column_map(write(tmp_path / "columns.csv", [HEADER, line]))
    with pytest.raises(StsError, match="do not count from the stimulus onset"):
        read_ep_table(path, columns=columns)
    shifted = read_column_map(write(tmp_path / "columns.csv", [HEADER, f"{line}-1.02"]))
    (value,) = read_ep_table(path, columns=shifted).columns()["threshold_t_short_square"]
    # 1.024 - 1.02 in floats
    assert value == pytest.approx(0.004, abs=1e-12)


def test_every_line_of_our_maps_says_how_it_was_checked() -> None:
    rows = read_csv(COLUMN_MAPS, ["dataset", "source", "feature", "agreement", "checked"])
    mapped = {name for name, each in LABORATORIES.items() if each.is_mapped}
    assert {row["dataset"] for row in rows} == mapped
    for row in rows:
        if row["feature"] != "specimen_id":
            assert row["checked"], row
        if row["feature"] in FEATURES:
            assert row["agreement"] in AGREEMENTS, row


@pytest.mark.data
@pytest.mark.parametrize("name", [name for name, each in LABORATORIES.items() if each.is_mapped])
def test_our_maps_speak_of_every_column_of_the_real_tables(data_dir: Path, name: str) -> None:
    columns = read_column_map(COLUMN_MAPS, dataset=name)
    (path,) = data_dir.glob(f"*/{LABORATORIES[name].table}")
    header = list(read_csv(path, columns.columns)[0])
    known = set(columns.columns)
    unknown = [each for each in header if each not in known and not columns.says_unmapped(each)]
    assert not unknown
