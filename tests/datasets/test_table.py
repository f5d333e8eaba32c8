"""Tables come back as they were written, and no spreadsheet executes what is in them."""

import csv
import math
from dataclasses import replace
from pathlib import Path

import pytest

from sts.base.errors import StsError
from sts.datasets.table import (
    FATE,
    CellRow,
    FeatureRow,
    read_cells,
    read_features,
    write_cells,
    write_features,
)
from sts.signals.feature_names import FEATURES

OK = CellRow(
    specimen_id="0601506492",
    donor_id="599387254",
    label="Vip/Lamp5",
    dataset="PatchSeq",
    status="ok",
    flags=("baseline of 0.08 s", "filter skipped"),
    file="sub-1/cell.nwb",
    rheobase_pa=110.0,
    step_pa=149.99998,
    onset_s=1.02,
    rheobase_sweep=38,
    second_sweep=40,
)
EXCLUDED = CellRow(
    specimen_id="=HYPERLINK(1)",
    status="excluded",
    reason='no sweep at rheobase + 40 pA: amplitudes are 30, 50 pA; "widen"',
    file="@cell.nwb",
)


def test_cells_come_back_as_they_were_written(tmp_path: Path) -> None:
    write_cells(tmp_path / "cells.csv", [OK, EXCLUDED])
    ok, excluded = read_cells(tmp_path / "cells.csv")
    assert ok == OK
    assert (excluded.specimen_id, excluded.file) == ("=HYPERLINK(1)", "@cell.nwb")
    assert excluded.reason == EXCLUDED.reason
    assert (excluded.flags, excluded.rheobase_sweep) == ((), None)
    assert math.isnan(excluded.rheobase_pa)


def test_what_is_missing_is_empty_and_no_text_begins_a_formula(tmp_path: Path) -> None:
    write_cells(tmp_path / "cells.csv", [EXCLUDED])
    with (tmp_path / "cells.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["specimen_id"] == "'=HYPERLINK(1)"
    assert row["file"] == "'@cell.nwb"
    assert [row[name] for name in ("rheobase_pa", "step_pa", "rheobase_sweep", "flags")] == [""] * 4


def test_features_come_back_exactly_and_missing_ones_as_nan(tmp_path: Path) -> None:
    values = {name: 0.1 + 1 / 3 * place for place, name in enumerate(FEATURES)}
    values[FEATURES[0]] = math.nan
    row = FeatureRow(specimen_id="1", label="Sst", values=values, notes=("filter skipped",))
    write_features(tmp_path / "features.csv", [row])
    (read,) = read_features(tmp_path / "features.csv")
    assert (read.specimen_id, read.label, read.notes) == ("1", "Sst", ("filter skipped",))
    assert list(read.values) == list(FEATURES)
    assert math.isnan(read.values[FEATURES[0]])
    assert all(read.values[name] == values[name] for name in FEATURES[1:])


def test_features_stand_in_their_fixed_order(tmp_path: Path) -> None:
    write_features(tmp_path / "features.csv", [])
    header = (tmp_path / "features.csv").read_text(encoding="utf-8").splitlines()[0].split(",")
    identity = ("specimen_id", "donor_id", "label", "dataset")
    assert header == [*identity, *FEATURES, "times", "notes", *FATE, "claimed_id"]


def test_the_frame_of_times_is_written_and_frames_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "features.csv"
    write_features(path, [FeatureRow(specimen_id="1", times="PatchSeq")])
    assert read_features(path)[0].times == "PatchSeq"
    with pytest.raises(ValueError, match="PatchSeq and onset"):
        write_features(
            path, [FeatureRow(specimen_id="1"), FeatureRow(specimen_id="2", times="PatchSeq")]
        )
    write_features(path, [FeatureRow(specimen_id="1"), FeatureRow(specimen_id="2")])
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(",onset,", ",PatchClamp,", 1), encoding="utf-8")
    with pytest.raises(StsError, match="count from PatchClamp and onset: measure all its cells"):
        read_features(path)
    path.write_text(text.replace(",onset,", ",on set,", 1), encoding="utf-8")
    with pytest.raises(StsError, match="line 2: unknown frame of times 'on set': did you mean"):
        read_features(path)


def test_a_cell_without_features_keeps_its_line(tmp_path: Path) -> None:
    row = FeatureRow(specimen_id="", status="failed", reason="is empty", file="-cell.nwb")
    write_features(tmp_path / "features.csv", [row])
    (read,) = read_features(tmp_path / "features.csv")
    assert (read.status, read.reason, read.file) == ("failed", "is empty", "-cell.nwb")


def test_a_feature_that_is_not_there_is_missing_and_a_strange_one_an_error(tmp_path: Path) -> None:
    write_features(tmp_path / "features.csv", [FeatureRow(specimen_id="1")])
    (read,) = read_features(tmp_path / "features.csv")
    assert all(math.isnan(value) for value in read.values.values())
    with pytest.raises(ValueError, match="no_feature"):
        write_features(
            tmp_path / "features.csv", [FeatureRow(specimen_id="1", values={"no_feature": 1.0})]
        )


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (",ok,", ",okay,", "line 2: unknown status 'okay': did you mean 'ok'"),
        (",1.02,", ",soon,", "line 2: onset_s is 'soon', a number is needed"),
        (",1.02,", ",inf,", "line 2: onset_s is 'inf', a number is needed"),
        (",ok,", ",ok\x00,", "line 2: a NUL character"),
        (",ok,", "," + "o" * 201 + ",", "line 2: status has 201 characters"),
        (",38,", ",38.5,", "line 2: rheobase_sweep is '38.5', a whole number is needed"),
        ("status", "state", "no column 'status'"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, old: str, new: str, reason: str) -> None:
    path = tmp_path / "cells.csv"
    write_cells(path, [OK])
    path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(StsError, match=reason):
        read_cells(path)


def test_tables_of_earlier_versions_claim_no_id(tmp_path: Path) -> None:
    write_cells(tmp_path / "cells.csv", [OK])
    write_features(tmp_path / "features.csv", [FeatureRow(specimen_id="1")])
    for path in (tmp_path / "cells.csv", tmp_path / "features.csv"):
        lines = path.read_text(encoding="utf-8").splitlines()
        path.write_text("\n".join(line.rpartition(",")[0] for line in lines), encoding="utf-8")
    assert read_cells(tmp_path / "cells.csv") == [OK]
    assert read_features(tmp_path / "features.csv")[0].claimed_id == ""


def test_a_claimed_id_comes_back(tmp_path: Path) -> None:
    write_cells(tmp_path / "cells.csv", [replace(OK, claimed_id="7")])
    write_features(tmp_path / "features.csv", [FeatureRow(specimen_id="1", claimed_id="8")])
    assert read_cells(tmp_path / "cells.csv")[0].claimed_id == "7"
    assert read_features(tmp_path / "features.csv")[0].claimed_id == "8"
