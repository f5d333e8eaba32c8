"""A recording of any format becomes an NWB 2 file that is read back as it was."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pynwb import NWBHDF5IO

from sts.base.files import read_csv, sha256_of
from sts.base.types import Floats
from sts.cli.data import main
from sts.datasets.cell_files import CellFiles, stamp_cell
from sts.datasets.cell_results import CellResult
from sts.datasets.conversion import plan_conversions, write_converted
from sts.recordings.readers import content_of, read_recording
from tests.datasets.builds import BOTH, process_file
from tests.recordings.mutator import AMPLITUDES_PA, BASES

Convert = Callable[[str], tuple[Path, Path]]


def convert_file(source: Path, target: Path) -> None:
    cell = CellFiles(name=source.name, paths={source.name: source})
    write_converted(cell, stamp_cell(cell), target)


@pytest.fixture(scope="module")
def convert(tmp_path_factory: pytest.TempPathFactory) -> Convert:
    """Return the source and the NWB file of a format; each is written once."""
    folder = tmp_path_factory.mktemp("converted")
    done: dict[str, tuple[Path, Path]] = {}

    def once(name: str) -> tuple[Path, Path]:
        if name not in done:
            suffix, write = BASES[name]
            source = write(folder / f"{name}{suffix}")
            target = folder / "nwb" / f"{name}.nwb"
            convert_file(source, target)
            done[name] = source, target
        return done[name]

    return once


def assert_same_recording(source: Path, target: Path) -> None:
    one, other = read_recording(source), read_recording(target)
    assert (one.specimen_id, one.donor_id, one.claims_id) == (
        other.specimen_id,
        other.donor_id,
        other.claims_id,
    )
    for a, b in zip(one.sweeps, other.sweeps, strict=True):
        assert (a.number, a.rate_hz, a.begin) == (b.number, b.rate_hz, b.begin)
        # to the last digit: the amplitude decides whether a sweep is used
        assert a.stated_pa == b.stated_pa
        np.testing.assert_array_equal(a.voltage_mv, b.voltage_mv)
        np.testing.assert_array_equal(a.current_pa, b.current_pa)


def assert_same_results(source: Path, target: Path) -> None:
    one, other = (process_file(path, file="x", settings=BOTH) for path in (source, target))
    assert values_of(one) == values_of(other)
    np.testing.assert_array_equal(traces_of(one), traces_of(other))


def values_of(result: CellResult) -> list[object]:
    # as texts, so that a missing value is equal to a missing one
    return [
        (each.status, each.reason, {name: str(value) for name, value in each.values.items()})
        for each in result.results
    ]


def traces_of(result: CellResult) -> Floats:
    assert result.traces is not None
    return result.traces


@pytest.mark.parametrize("name", [name for name in BASES if name != "packed nwb2"])
def test_traces_features_and_selection_are_read_back_as_they_were(
    convert: Convert, name: str
) -> None:
    source, target = convert(name)
    assert content_of(target).startswith("NWB 2")
    assert_same_recording(source, target)
    assert_same_results(source, target)


def test_plain_pynwb_finds_stimulus_and_response_of_each_sweep(convert: Convert) -> None:
    source, target = convert("nwb1")
    sweeps = read_recording(source).sweeps
    with NWBHDF5IO(target, "r") as opened:
        file = opened.read()
        table = file.intracellular_recordings
        assert len(table) == len(file.icephys_simultaneous_recordings) == len(AMPLITUDES_PA)
        (stimulus_type,) = file.icephys_sequential_recordings["stimulus_type"][:]
        assert stimulus_type == "Long Square"
        for row, sweep in enumerate(sweeps):
            stimulus = table["stimuli"]["stimulus"][row]
            response = table["responses"]["response"][row]
            assert (response.idx_start, response.count) == (200, len(sweep.voltage_mv) - 200)
            volts, amperes = (
                one.timeseries.data[:] * one.timeseries.conversion for one in (response, stimulus)
            )
            assert (response.timeseries.unit, stimulus.timeseries.unit) == ("volts", "amperes")
            # float32 in mV, then a factor of 0.001
            np.testing.assert_allclose(volts * 1e3, sweep.voltage_mv, rtol=1e-6)
            np.testing.assert_allclose(amperes * 1e12, sweep.current_pa, rtol=1e-6)
            assert stimulus.timeseries.electrode is response.timeseries.electrode
            assert stimulus.timeseries.rate == response.timeseries.rate == sweep.rate_hz


def test_a_strict_checker_finds_no_fault_in_a_converted_file(convert: Convert) -> None:
    from nwbinspector import Importance, inspect_nwbfile

    found = list(inspect_nwbfile(nwbfile_path=convert("abf2")[1]))
    grave = [each for each in found if each.importance.value >= Importance.CRITICAL.value]
    # What the source does not say of the subject cannot be written. A release of pandas warns
    # about the checker itself, and here warnings are errors.
    rest = [
        each
        for each in grave
        if each.object_type != "Subject" and "Pandas4Warning" not in each.message
    ]
    assert not rest, rest


def test_the_command_names_what_it_cannot_convert_and_keeps_what_is_done(
    convert: Convert, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "recordings", tmp_path / "nwb"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "cell.abf").write_bytes(convert("abf2")[0].read_bytes())
    (folder / "bad.nwb").write_bytes(b"MATLAB 5.0 MAT-file")
    before = {path: sha256_of(path) for path in folder.rglob("*.*")}
    arguments = ["convert", str(folder), "--out", str(out), "--workers", "1"]
    assert main(arguments) == 3
    assert "failed: bad.nwb: is a MATLAB file" in capsys.readouterr().err
    (cell,) = out.rglob("*.nwb")
    assert cell == out / "sub" / "cell.nwb"
    bad, good = read_csv(out / "converted.csv", ("file", "status", "sweeps"))
    assert (bad["status"], good["status"], good["sweeps"]) == ("failed", "ok", "5")
    written = cell.read_bytes()
    assert main(arguments) == 3
    assert "0 NWB files written" in capsys.readouterr().out
    assert cell.read_bytes() == written
    assert {path: sha256_of(path) for path in folder.rglob("*.*")} == before


def test_no_recording_is_replaced_by_its_copy(
    convert: Convert, capsys: pytest.CaptureFixture[str]
) -> None:
    source, _ = convert("nwb2")
    before = sha256_of(source)
    assert main(["convert", str(source.parent), "--out", str(source.parent)]) == 2
    assert "choose a folder outside it" in capsys.readouterr().err
    assert main(["convert", str(source), "--out", str(source.parent), "--force"]) == 2
    assert "choose another --out" in capsys.readouterr().err
    assert sha256_of(source) == before


def test_two_files_of_one_name_become_two_files(tmp_path: Path) -> None:
    names = ("a.abf", "a.nwb", "b/a.nwb")
    cells = {name: CellFiles(name=name, paths={name: tmp_path / name}) for name in names}
    targets = {each.cell.name: each.target for each in plan_conversions(cells, Path("out"))}
    assert targets == {
        "a.abf": Path("out/a.nwb"),
        "a.nwb": Path("out/a.nwb.nwb"),
        "b/a.nwb": Path("out/b/a.nwb"),
    }


@pytest.mark.data
@pytest.mark.parametrize("name", ["171116sh_0018.abf", "17o05028_ic_steps.abf"])
def test_real_abf_files_give_the_same_as_nwb(data_dir: Path, tmp_path: Path, name: str) -> None:
    source, target = data_dir / "recordings" / name, tmp_path / name.replace(".abf", ".nwb")
    convert_file(source, target)
    assert_same_recording(source, target)
    one, other = (process_file(path, file="x", settings=BOTH) for path in (source, target))
    assert values_of(one) == values_of(other)
