"""What pynwb, the reference writer of the format, has written is read back as it was."""

import datetime
from pathlib import Path

import numpy as np
import pytest
from pynwb import NWBHDF5IO, NWBFile
from pynwb.icephys import CurrentClampSeries, CurrentClampStimulusSeries, VoltageClampSeries

from sts.recordings.nwb import read_nwb2
from sts.recordings.recording import Recording, Sweep
from sts.recordings.simulated.cells import SimulatedCell
from sts.recordings.simulated.nwb import write_nwb

RATE_HZ = 50_000.0


def test_a_simulated_cell_comes_back_as_it_was_in_memory(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    # Whole counts of the simulated converter: nothing is rounded on the way.
    sweeps = tuple(
        Sweep(
            voltage_mv=(generator.integers(-3000, 1000, 5000) / 32).astype(np.float32),
            current_pa=np.repeat([0.0, 20.0 * number, 0.0], [1000, 3000, 1000]).astype(np.float32),
            rate_hz=RATE_HZ,
            name="X4PS_SupraThresh",
            number=number,
        )
        for number in range(3)
    )
    recording = Recording(specimen_id="00601506492", donor_id="donor 7", sweeps=sweeps)
    cell = SimulatedCell(recording=recording, label="Sst", dataset="PatchSeq", redraws=0)
    read = read_nwb2(write_nwb(cell, tmp_path))
    assert (read.specimen_id, read.donor_id, read.skipped) == ("00601506492", "donor 7", ())
    for came, sent in zip(read.sweeps, sweeps, strict=True):
        # float32 holds 100 mV and 40 pA to within 8e-6
        np.testing.assert_allclose(came.voltage_mv, sent.voltage_mv, rtol=0, atol=1e-5)
        np.testing.assert_allclose(came.current_pa, sent.current_pa, rtol=0, atol=1e-5)
        assert (came.rate_hz, came.name, came.number) == (sent.rate_hz, sent.name, sent.number)


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """Return a file without sweep numbers, whose names pair nothing: only its table does."""
    file = NWBFile(
        session_description="test",
        identifier="test",
        session_start_time=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
    )
    device = file.create_device(name="amplifier")
    electrode = file.create_icephys_electrode(name="e", description="e", device=device)
    shared = {"electrode": electrode, "gain": 1.0, "rate": RATE_HZ}
    for name, other, level in (("one", "east", 1.0), ("two", "west", 2.0)):
        response = CurrentClampSeries(name=name, data=np.full(2000, -0.07 + level * 1e-3), **shared)
        stimulus = CurrentClampStimulusSeries(
            name=other, data=np.full(2000, level * 1e-11), **shared
        )
        file.add_intracellular_recording(electrode=electrode, response=response, stimulus=stimulus)
    file.add_intracellular_recording(
        electrode=electrode,
        response=VoltageClampSeries(name="three", data=np.zeros(2000), **shared),
    )
    path = tmp_path / "linked.nwb"
    with NWBHDF5IO(str(path), mode="w") as output:
        output.write(file)
    return path


def test_the_table_that_pynwb_writes_pairs_responses_with_stimuli(linked: Path) -> None:
    recording = read_nwb2(linked)
    levels = {
        round(float(sweep.voltage_mv[0]), 3): round(float(sweep.current_pa[0]), 3)
        for sweep in recording.sweeps
    }
    assert levels == {-69.0: 10.0, -68.0: 20.0}
    assert recording.skipped == ("three: voltage clamp",)
