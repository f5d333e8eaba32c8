"""A spoilt sweep costs that sweep, a spoilt file that file, and the reason is one line of words."""

import re
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from sts.base.errors import CellFailed
from sts.recordings.nwb import read_nwb2
from tests.recordings.files import (
    RATE_HZ,
    SAMPLES,
    VOLTS_PER_BIT,
    current_pa,
    replace_data,
    voltage_mv,
    write_mies,
)

Spoil = Callable[[h5py.Group, h5py.Group], object]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_mies(tmp_path / "cell.nwb")


def volts(voltage: np.ndarray) -> np.ndarray:
    """Return what the attributes of the files turn into this voltage."""
    return (voltage * 1e-3 / VOLTS_PER_BIT).astype(np.float32)


def with_value(value: float, where: slice) -> Spoil:
    def spoil(response: h5py.Group, stimulus: h5py.Group) -> None:
        trace = volts(voltage_mv(1))
        trace[where] = value
        replace_data(response, trace)

    return spoil


def of_shape(*shape: int) -> Spoil:
    return lambda response, stimulus: replace_data(response, np.full(shape, -70, np.float32))


def attribute(name: str, value: object, *, of: str = "data") -> Spoil:
    def spoil(response: h5py.Group, stimulus: h5py.Group) -> None:
        (response[of] if of else response).attrs[name] = value

    return spoil


SPOILT_SWEEPS: dict[str, tuple[Spoil, str]] = {
    "NaN inside": (with_value(np.nan, slice(700, 701)), "NaN or Inf at 0.07 s"),
    "Inf inside": (with_value(np.inf, slice(3, 5)), "NaN or Inf at 0.0003 s"),
    "a value no converter gives": (with_value(3e38, slice(9, 10)), "mean potential is"),
    "NaN from within the step": (with_value(np.nan, slice(900, None)), "broken off at 0.09 s"),
    "zeros from within the step": (with_value(0.0, slice(900, None)), "broken off at 0.09 s"),
    "nothing but NaN": (with_value(np.nan, slice(None)), "never recorded"),
    "nothing but zeros": (with_value(0.0, slice(None)), "never recorded"),
    "no samples": (of_shape(0), r"shape \(0,\)"),
    "two channels": (of_shape(SAMPLES, 2), r"shape \(2000, 2\)"),
    "shorter than its stimulus": (
        of_shape(SAMPLES - 500),
        "response lasts 0.15 s, its stimulus 0.2 s",
    ),
    "no data": (lambda response, stimulus: response.pop("data"), "response contains no data"),
    "text for numbers": (
        lambda response, stimulus: replace_data(response, np.array([b"abc"] * 4)),
        "cannot be read: numbers were expected",
    ),
    "currents for voltages": (attribute("unit", "amperes"), "response is in 'amperes'"),
    "millivolts said to be volts": (
        attribute("conversion", 1e3 * VOLTS_PER_BIT),
        "mean potential is -64870.2 mV",
    ),
    "no conversion to speak of": (attribute("conversion", 0.0), "conversion 0 and offset 0"),
    "a trace upside down": (
        attribute("conversion", -VOLTS_PER_BIT),
        "mean potential is 64.8.* mV: its sign, unit or conversion is wrong",
    ),
    "conversion not a number": (attribute("conversion", np.nan), "conversion nan"),
    "picoamperes for amperes": (
        attribute("bias_current", -50.0, of=""),
        "too large for a holding current",
    ),
    "kilohertz for hertz": (attribute("rate", 10.0, of="starting_time"), "sampling rate of 10 Hz"),
    "another rate": (
        attribute("rate", 20e3, of="starting_time"),
        "sampled at 20000 Hz, its stimulus at 10000 Hz",
    ),
    "gigahertz": (attribute("rate", 1e9, of="starting_time"), "sampling rate of 1e.09 Hz is not"),
    "a rate that is none": (attribute("rate", np.nan, of="starting_time"), "rate of nan Hz"),
    "no rate": (
        lambda response, stimulus: response.pop("starting_time"),
        "no sampling rate",
    ),
    "no stimulus": (
        lambda response, stimulus: stimulus.parent.pop(stimulus.name),
        "no stimulus trace belongs to it",
    ),
    "a stimulus in volts": (
        lambda response, stimulus: stimulus.attrs.update(
            neurodata_type="VoltageClampStimulusSeries"
        ),
        "its stimulus is of type VoltageClampStimulusSeries",
    ),
    "a stimulus of NaN": (
        lambda response, stimulus: replace_data(stimulus, np.full(SAMPLES, np.nan)),
        "never recorded",
    ),
    "a stimulus that was never written": (
        lambda response, stimulus: (
            stimulus.pop("data"),
            stimulus.create_dataset("data", shape=(SAMPLES,), dtype="f4"),
        ),
        "it contains no data",
    ),
}


@pytest.mark.parametrize("defect", SPOILT_SWEEPS)
def test_a_spoilt_sweep_is_left_out_with_its_reason(path: Path, defect: str) -> None:
    spoil, reason = SPOILT_SWEEPS[defect]
    with h5py.File(path, "r+") as file:
        spoil(file["acquisition/data_00001_AD0"], file["stimulus/presentation/data_00001_DA0"])
    recording = read_nwb2(path)
    assert [sweep.number for sweep in recording.sweeps] == [0, 2]
    (line,) = recording.skipped
    assert line.startswith("sweep 1 (data_00001_AD0): ")
    assert "\n" not in line
    assert re.search(reason, line)


@pytest.mark.parametrize("padding", [np.nan, 0.0])
def test_a_sweep_that_ended_after_its_stimulus_is_kept_as_far_as_it_goes(
    path: Path, padding: float
) -> None:
    with h5py.File(path, "r+") as file:
        with_value(padding, slice(1600, None))(file["acquisition/data_00001_AD0"], file)
    sweep = read_nwb2(path).sweeps[1]
    assert len(sweep.voltage_mv) == len(sweep.current_pa) == 1600
    # float32 holds 70 mV to 4e-6
    np.testing.assert_allclose(sweep.voltage_mv, voltage_mv(1)[:1600], atol=1e-5)


def test_a_stimulus_padded_with_nan_ends_the_sweep_too(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        stored = current_pa(1) * 10
        stored[1600:] = np.nan
        replace_data(file["stimulus/presentation/data_00001_DA0"], stored)
    assert len(read_nwb2(path).sweeps[1].current_pa) == 1600


def test_a_passage_through_zero_is_not_padding(path: Path) -> None:
    """Up to 10 ms may be exactly zero, as where a clipped spike ends a sweep."""
    with h5py.File(path, "r+") as file:
        with_value(0.0, slice(SAMPLES - round(0.009 * RATE_HZ), None))(
            file["acquisition/data_00001_AD0"], file
        )
    assert len(read_nwb2(path).sweeps[1].voltage_mv) == SAMPLES


def test_a_few_samples_more_on_one_side_are_cut(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        replace_data(file["acquisition/data_00001_AD0"], volts(voltage_mv(1)[:-3]))
    sweep = read_nwb2(path).sweeps[1]
    assert len(sweep.voltage_mv) == len(sweep.current_pa) == SAMPLES - 3


def test_a_rate_keeps_no_rounding_error_of_a_sampling_interval(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        for place in ("acquisition/data_00001_AD0", "stimulus/presentation/data_00001_DA0"):
            file[place]["starting_time"].attrs["rate"] = 50000.00000000001
    assert read_nwb2(path).sweeps[1].rate_hz == 50000.0


def test_a_file_without_a_usable_sweep_says_why_for_all(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["stimulus/presentation/data_00000_DA0"]
        del file["stimulus/presentation/data_00001_DA0"]
        del file["acquisition/data_00002_AD0/starting_time"]
    with pytest.raises(CellFailed) as failed:
        read_nwb2(path)
    assert str(failed.value) == (
        "contains no usable current clamp sweep: no stimulus trace belongs to it (2 x), "
        "it has no sampling rate (1 x)"
    )


def rewritten(edit: Callable[[h5py.File], object]) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            edit(file)

    return spoil


def cut_to(part: float) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(path.read_bytes()[: round(path.stat().st_size * part)])


def nwb1(file: h5py.File) -> None:
    del file.attrs["nwb_version"]
    file["nwb_version"] = np.bytes_("NWB-1.0.5")


SPOILT_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "is empty"),
    "missing": (lambda path: path.unlink(), "cannot be opened: no such file"),
    "of another format": (lambda path: path.write_text("a,b\n1,2\n"), "is not an HDF5 file"),
    "truncated": (cut_to(0.6), "is truncated or damaged"),
    "truncated within the head": (cut_to(0.001), "is truncated or damaged|is not an HDF5 file"),
    "NWB 1": (rewritten(nwb1), "is NWB 1.0.5: NWB 2 is needed"),
    "NWB 3": (rewritten(lambda file: file.attrs.update(nwb_version="3.0.0")), "is NWB 3.0.0"),
    "HDF5 but not NWB": (
        rewritten(lambda file: file.attrs.pop("nwb_version")),
        "is no NWB file: it is HDF5",
    ),
    "without acquisition": (
        rewritten(lambda file: file.pop("acquisition")),
        "contains no current clamp sweeps",
    ),
    "I=0 only": (
        rewritten(
            lambda file: [
                series.attrs.update(neurodata_type="IZeroClampSeries")
                for series in file["acquisition"].values()
            ]
        ),
        r"contains only zero current \(I=0\) sweeps: current clamp is needed \(3 sweeps\)",
    ),
}


@pytest.mark.parametrize("defect", SPOILT_FILES)
def test_a_spoilt_file_fails_in_one_clear_line(path: Path, defect: str) -> None:
    spoil, reason = SPOILT_FILES[defect]
    spoil(path)
    with pytest.raises(CellFailed, match=reason) as failed:
        read_nwb2(path)
    assert "\n" not in str(failed.value)


def test_a_file_that_may_not_be_read_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(CellFailed, match="cannot be opened: permission denied"):
        read_nwb2(path)
