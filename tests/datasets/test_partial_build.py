"""What is finished is kept, whatever happens to the process that finished it."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sts.base.errors import StsError
from sts.base.types import Floats
from sts.datasets.cell_files import FileStamp
from sts.datasets.cell_results import CellResult, ProductResult
from sts.datasets.partial_build import TRACE_BYTES, PartialBuild
from sts.signals.resample import PAIR_SHAPE
from tests.datasets.builds import BOTH, process_file
from tests.studies.cells import write_cell


def outcome(name: str, *, traces: Floats | None = None) -> CellResult:
    verdict = ProductResult(status="ok", flags=("short",), values={"rheobase_pa": 50.0})
    files = (FileStamp(file=name, size=3, mtime_ns=7),)
    return CellResult(file=name, files=files, specimen_id=name, store=verdict, traces=traces)


def sweeps(level: float) -> Floats:
    return np.full(PAIR_SHAPE, level, np.float32)


def written(folder: Path, settings: str = "a") -> None:
    with PartialBuild(folder, settings) as partial:
        partial.add(outcome("b.nwb", traces=sweeps(2)))
        partial.add(outcome("c.nwb"))
        partial.add(outcome("a.nwb", traces=sweeps(1)))


def test_outcomes_come_back_sorted_and_whole(tmp_path: Path) -> None:
    written(tmp_path / "j")
    with PartialBuild(tmp_path / "j", "a") as partial:
        back = list(partial.collect())
        assert [o.file for o in back] == ["a.nwb", "b.nwb", "c.nwb"]
        for stored, level in zip(back, (1, 2), strict=False):
            np.testing.assert_array_equal(stored.traces, sweeps(level))
        assert back[0].store == outcome("a.nwb").store
        assert back[2].traces is None


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_torn_last_line_costs_one_cell_only(tmp_path: Path, cut: int) -> None:
    written(tmp_path / "j")
    lines = tmp_path / "j" / "outcomes.jsonl"
    os.truncate(lines, lines.stat().st_size - cut)
    with PartialBuild(tmp_path / "j", "a") as partial:
        assert [o.file for o in partial.collect()] == ["b.nwb", "c.nwb"]
        partial.add(outcome("a.nwb", traces=sweeps(9)))
        np.testing.assert_array_equal(next(iter(partial.collect())).traces, sweeps(9))


def test_lines_whose_traces_never_reached_the_disk_are_dropped(tmp_path: Path) -> None:
    written(tmp_path / "j")
    os.truncate(tmp_path / "j" / "traces.f4", TRACE_BYTES + 5)
    with PartialBuild(tmp_path / "j", "a") as partial:
        assert [o.file for o in partial.collect()] == ["b.nwb", "c.nwb"]


def test_traces_without_a_line_are_overwritten(tmp_path: Path) -> None:
    written(tmp_path / "j")
    with (tmp_path / "j" / "traces.f4").open("ab") as file:
        file.write(b"x" * 100)
    with PartialBuild(tmp_path / "j", "a") as partial:
        partial.add(outcome("d.nwb", traces=sweeps(4)))
    with PartialBuild(tmp_path / "j", "a") as partial:
        np.testing.assert_array_equal(list(partial.collect())[-1].traces, sweeps(4))


def test_other_settings_start_afresh(tmp_path: Path) -> None:
    written(tmp_path / "j", "a")
    with PartialBuild(tmp_path / "j", "b") as partial:
        assert list(partial.collect()) == []
    with PartialBuild(tmp_path / "j", "a") as partial:
        assert list(partial.collect()) == []


def test_garbage_in_the_file_is_no_result(tmp_path: Path) -> None:
    written(tmp_path / "j")
    path = tmp_path / "j" / "outcomes.jsonl"
    header, first, *_ = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(header + first + b'{"file": \n' + first)
    with PartialBuild(tmp_path / "j", "a") as partial:
        assert [o.file for o in partial.collect()] == ["b.nwb"]


def test_a_later_outcome_of_a_file_replaces_the_earlier(tmp_path: Path) -> None:
    with PartialBuild(tmp_path / "j", "a") as partial:
        partial.add(outcome("a.nwb", traces=sweeps(1)))
        partial.add(outcome("a.nwb", traces=sweeps(2)))
        (only,) = partial.collect()
        np.testing.assert_array_equal(only.traces, sweeps(2))


def test_two_builds_of_one_data_set_exclude_each_other(tmp_path: Path) -> None:
    with (
        PartialBuild(tmp_path / "j", "a"),
        pytest.raises(StsError, match="another process is building"),
        PartialBuild(tmp_path / "j", "a"),
    ):
        pass


def test_a_line_holds_no_number_json_does_not_know(tmp_path: Path) -> None:
    verdict = ProductResult(status="ok", values={"tau": float("nan")})
    with PartialBuild(tmp_path / "j", "a") as partial:
        partial.add(CellResult(file="a", features=verdict))
    line = (tmp_path / "j" / "outcomes.jsonl").read_text().splitlines()[1]
    assert json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} in a line"))
    with PartialBuild(tmp_path / "j", "a") as partial:
        (back,) = partial.collect()
        assert back.features is not None
        assert np.isnan(back.features.values["tau"])


def test_a_partial_build_is_read_without_holding_it(folder: Path, tmp_path: Path) -> None:
    path = write_cell(folder, "101")
    outcome = process_file(path, file="a.nwb", settings=BOTH)
    with PartialBuild(tmp_path / "j", "x") as partial:
        for name in ("b.nwb", "c.nwb", "a.nwb"):
            partial.add(replace(outcome, file=name))
        kept = partial.collect({"a.nwb", "b.nwb"})
        assert (len(kept), [each.file for each in kept]) == (2, ["a.nwb", "b.nwb"])
        rows = kept.traces_of(["b.nwb", "a.nwb"])
        assert rows.shape == (2, *outcome.traces.shape)  # type: ignore[union-attr]
        np.testing.assert_array_equal(rows[1:], [outcome.traces])
        assert "outcomes" not in vars(partial), "only places stay in memory"
