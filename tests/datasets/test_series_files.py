"""Which files a pattern of a series makes a cell of, and the way of such a cell."""

from pathlib import Path

import numpy as np
import pytest

from sts.base.errors import StsError
from sts.cli.baseline import main as predict
from sts.cli.data import main
from sts.datasets.series_files import find_series
from sts.datasets.store import load_store
from sts.datasets.table import read_cells, read_features
from sts.reports.viewer.answers import read_answers
from tests.recordings.wave_files import PATTERN, write_cell_of_waves

pytest.importorskip("igor2", reason="Igor waves are read by igor2, which is an extra")


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_a_folder_is_a_cell_and_the_braces_are_its_channels(tmp_path: Path) -> None:
    channels = ("cell1/s_ch0_9.ibw", "cell1/s_ch1_9.ibw", "cell1/s_ch0_10.ibw")
    others = ("cell1/s_ch1_10.ibw", "cell2/s_ch0_3.ibw", "cell2/s_ch1_3.ibw", "other/s_ch0_1.ibw")
    touch(tmp_path, *channels, *others, "cell1/t_ch0_9.ibw", "cell1/deep/s_ch0_9.ibw")
    cells = find_series(tmp_path, "cell*/s_ch{0,1}_*.ibw")
    assert list(cells) == ["cell1/s_ch{0,1}_*.ibw", "cell2/s_ch{0,1}_*.ibw"]
    one, other = cells.values()
    assert (one.specimen_id, other.specimen_id) == ("cell1", "cell2")
    assert one.waves == (
        (9, ("cell1/s_ch0_9.ibw", "cell1/s_ch1_9.ibw")),
        (10, ("cell1/s_ch0_10.ibw", "cell1/s_ch1_10.ibw")),
    )
    assert list(one.paths.values()) == [tmp_path / file for _, files in one.waves for file in files]


def test_a_sweep_without_all_channels_is_left_out_and_named(tmp_path: Path) -> None:
    touch(tmp_path, "a/s_0_1.ibw", "a/s_1_1.ibw", "a/s_0_2.ibw")
    (cell,) = find_series(tmp_path, "a/s_{0,1}_*.ibw").values()
    assert [number for number, _ in cell.waves] == [1]
    assert cell.lacking == ("sweeps 2: a channel has no file",)


def test_sweeps_of_two_protocols_with_the_same_numbers_are_numbered_through(
    tmp_path: Path,
) -> None:
    names = (f"a/{protocol}_{c}_{n}.ibw" for protocol in "st" for c in (0, 1) for n in (2, 10))
    touch(tmp_path, *names)
    (cell,) = find_series(tmp_path, "a/*_{0,1}_*.ibw").values()
    assert [(number, files[0]) for number, files in cell.waves] == [
        (0, "a/s_0_2.ibw"),
        (1, "a/t_0_2.ibw"),
        (2, "a/s_0_10.ibw"),
        (3, "a/t_0_10.ibw"),
    ]


@pytest.mark.parametrize(
    "pattern", ["*.ibw", "s_{0}_*.ibw", "s_{0,1}.ibw", "{a,b}/s_*.ibw", "s_{0,1}_*.nwb"]
)
def test_a_pattern_that_is_none_is_answered_with_an_example(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(StsError, match="channels in braces and a star for the sweep, such as"):
        find_series(tmp_path, pattern)


def test_a_pattern_that_finds_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StsError, match=r"no file in .* matches --series"):
        find_series(tmp_path, PATTERN)


def test_a_folder_of_igor_files_alone_asks_for_a_pattern(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    touch(tmp_path, "in/a.ibw")
    assert main(["build", str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 2
    assert "Igor files (*.ibw) need --series" in capsys.readouterr().err


def test_a_series_is_built_resumed_and_converted_like_any_recording(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_cell_of_waves(tmp_path / "in" / "cell1")
    series = ["--series", PATTERN, "--workers", "1"]
    build = ["build", str(tmp_path / "in"), "--out", str(tmp_path / "a"), "--features", *series]
    assert main(build) == 0
    assert main([*build, "--resume"]) == 0
    assert "everything was there already" in capsys.readouterr().out
    (row,) = read_cells(tmp_path / "a" / "cells.csv")
    assert (row.specimen_id, row.status) == ("cell1", "ok")
    assert (row.rheobase_sweep, row.second_sweep) == (10, 11)
    assert main(["convert", str(tmp_path / "in"), "--out", str(tmp_path / "nwb"), *series]) == 0
    assert [path.name for path in (tmp_path / "nwb").glob("*.nwb")] == ["cell1.nwb"]
    again = ["build", str(tmp_path / "nwb"), "--out", str(tmp_path / "b"), "--features"]
    assert main([*again, "--workers", "1"]) == 0
    one, other = (load_store(tmp_path / name / "sweeps.h5") for name in "ab")
    np.testing.assert_array_equal(one.traces, other.traces)
    ((own,), (converted,)) = (read_features(tmp_path / name / "features.csv") for name in "ab")
    np.testing.assert_array_equal(list(own.values.values()), list(converted.values.values()))


@pytest.mark.data
def test_real_igor_cells_with_steps_of_two_seconds_go_the_whole_way(
    data_dir: Path, tmp_path: Path
) -> None:
    arguments = ["--series", "C*/X_IDthresh_ch{0,1}_*.ibw", "--max-step", "2", "--workers", "1"]
    out = tmp_path / "data" / "rat"
    arguments.append("--features")
    assert main(["build", str(data_dir / "rat" / "ibw"), "--out", str(out), *arguments]) == 0
    rows = read_cells(out / "cells.csv")
    assert [(row.specimen_id, row.status) for row in rows] == [
        ("C060109A1-SR-C1", "ok"),
        ("C060109A2-SR-C1", "ok"),
    ]
    for row in rows:
        # amplitudes count from the holding current, and the protocol has steps of some 40 pA
        assert 30 < row.step_pa - row.rheobase_pa < 50
    for row in read_features(out / "features.csv"):
        assert row.status == "ok"
        assert "long squares last 2 s" in row.notes
    root = ["--root", str(tmp_path)]
    assert main(["check", *root]) == 0
    assert predict(["PREDICT", "--types", "--cells-from", str(out), *root, "-q"]) == 0
    (table,) = tmp_path.rglob("predictions.csv")
    assert set(read_answers(table)) == {row.specimen_id for row in rows}
    assert main(["view", "--run", str(table.parent), *root]) == 0
    assert (table.parent / "view.html").is_file()
