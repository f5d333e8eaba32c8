"""A bad sweep is left out, and the cell says which one and why."""

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from sts.base.errors import StsError
from sts.datasets.build import BuildJob, build
from sts.datasets.build_files import MANIFEST_NAME
from sts.signals.quality import ALLEN, QualitySettings
from tests.datasets.builds import BOTH, cell_rows, feature_rows
from tests.studies.cells import write_cell


def spoil_sweep(path: Path, number: int, noise_mv: float) -> None:
    with h5py.File(path, "r+") as file:
        data = file[f"acquisition/data_{number:05d}_AD0/data"]
        noise = np.random.default_rng(0).normal(0, noise_mv, data.shape)
        data[:] += (noise * 1e-3 / data.attrs["conversion"]).astype(data.dtype)


def test_a_bad_sweep_is_dropped_from_the_choice_and_named(folder: Path, job: BuildJob) -> None:
    """Without its sweep at rheobase + 40 pA the cell has no pair; one sweep lower it has."""
    spoil_sweep(write_cell(folder, "101", amplitudes_pa=(-50, 50, 90)), 2, noise_mv=2.0)
    spoil_sweep(write_cell(folder, "102", amplitudes_pa=(-50, 50, 70, 90, 110)), 2, noise_mv=2.0)
    build(job)
    first, second = cell_rows(job).values()
    assert first.status == "excluded"
    assert first.reason.startswith("no sweep at rheobase + 40 pA: amplitudes are 50 pA")
    assert first.flags[0].startswith("left out sweep 2: noisy, ")
    assert (second.status, second.rheobase_sweep, second.second_sweep) == ("ok", 1, 3)
    assert second.flags[0].startswith("left out sweep 2: noisy, ")
    notes = [row.notes for row in feature_rows(job).values()]
    assert all("left out sweep 2: noisy" in "; ".join(note) for note in notes)


def test_a_cell_without_usable_sweeps_is_excluded_in_words(folder: Path, job: BuildJob) -> None:
    write_cell(folder, "100")
    path = write_cell(folder, "101", amplitudes_pa=(-50, 50, 90))
    for number in range(3):
        spoil_sweep(path, number, noise_mv=2.0)
    build(job)
    row = cell_rows(job)[path.name]
    assert row.status == feature_rows(job)[path.name].status == "excluded"
    assert row.reason.startswith("no usable sweep: 3 sweeps (0 1 2): noisy, ")
    build(replace(job, settings=replace(BOTH, quality=None), force=True))
    assert cell_rows(job)[path.name].status == "ok"


def test_sweeps_that_the_reader_leaves_out_are_told(folder: Path, job: BuildJob) -> None:
    path = write_cell(folder, "101")
    with h5py.File(path, "r+") as file:
        file["acquisition/data_00000_AD0/data"][5] = np.nan
        file["acquisition/data_00001_AD0"].attrs["neurodata_type"] = "VoltageClampSeries"
    build(job)
    row = cell_rows(job)[path.name]
    assert row.status == "ok"
    assert row.flags[0] == "1 sweeps not read: NaN or Inf at 0.00025 s (1 x)"


def test_a_cell_whose_long_squares_were_left_out_says_why(folder: Path, job: BuildJob) -> None:
    """Two sweeps hold no current at all, so that the reader leaves them alone."""
    write_cell(folder, "100")
    path = write_cell(folder, "101", amplitudes_pa=(-50, 30, 50, 90, 0, 0))
    with h5py.File(path, "r+") as file:
        for number in range(4):
            file[f"acquisition/data_{number:05d}_AD0/data"][5] = np.nan
    build(job)
    for row in (cell_rows(job)[path.name], feature_rows(job)[path.name]):
        assert row.reason == (
            "no usable sweep with a single step of constant current: 4 sweeps not read: NaN or Inf "
            "at 0.00025 s (4 x), none of the other 2 contains one"
        )


def test_a_cell_whose_short_squares_were_left_out_says_why(folder: Path, job: BuildJob) -> None:
    write_cell(folder, "100")
    path = write_cell(folder, "101", amplitudes_pa=(500, 600), step_s=0.003)
    for number in range(2):
        spoil_sweep(path, number, noise_mv=2.0)
    build(job)
    for row in (cell_rows(job)[path.name], feature_rows(job)[path.name]):
        assert row.reason.startswith("no usable sweep: 2 sweeps (0 1): "), row.reason


def test_a_cell_without_a_long_square_says_so(folder: Path, job: BuildJob) -> None:
    write_cell(folder, "100")
    path = write_cell(folder, "101", step_s=0.1)
    build(job)
    assert cell_rows(job)[path.name].reason.startswith("no long square: none of 7 current clamp")


def test_other_bounds_are_other_settings(folder: Path, job: BuildJob) -> None:
    write_cell(folder, "101")
    build(job)
    manifest = json.loads((job.out / MANIFEST_NAME).read_text())
    assert manifest["store"]["settings"]["quality"]["noise_mv"] == QualitySettings().noise_mv
    assert manifest["features"]["settings"]["quality"]["drift_mv"] == QualitySettings().drift_mv
    with pytest.raises(StsError, match="other settings: add --force"):
        build(replace(job, settings=replace(BOTH, quality=ALLEN)))
