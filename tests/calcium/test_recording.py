"""Recordings are resampled, detrended and made relative if asked for."""

import numpy as np
import pytest

from sts.base.errors import StsError
from sts.calcium.recording import Preparation, find_baseline, prepare
from tests.calcium.test_readers import RATE_HZ, recording


def test_resampling_keeps_a_slow_wave_and_every_spike() -> None:
    times = np.arange(400) / RATE_HZ
    waves = np.stack([np.sin(2 * np.pi * 0.3 * times + k) for k in range(3)])
    spikes = np.zeros((3, 400), dtype=np.int64)
    spikes[0, [10, 11, 399]] = 1
    found = prepare(recording(waves, spikes=spikes), Preparation(rate_hz=24.0))
    assert found.rate_hz == pytest.approx(24.0)
    at = np.arange(found.traces.shape[1]) / 24.0
    inside = (at > 1) & (at < 19)
    # the filter passes 0.3 Hz within a few parts in a thousand
    assert np.abs(found.traces[1] - np.sin(2 * np.pi * 0.3 * at + 1))[inside].max() < 0.01
    assert found.spikes is not None
    assert found.spikes.sum() == 3
    # 10 / 20 Hz is the 12th frame at 24 Hz
    assert found.spikes[0, 12:14].tolist() == [1, 1]


def test_detrending_takes_off_what_is_slow_and_keeps_transients() -> None:
    frames = np.arange(6000)
    traces = np.tile(100 + frames / 100, (2, 1)).astype(float)
    traces[:, 3000:3010] += 50
    prepared = prepare(recording(traces, spikes=None), Preparation(relative=True))
    assert prepared.unit == "dF/F"
    # the baseline of 130 lags behind the drift by at most its window, 12
    assert prepared.traces[0, 3005] == pytest.approx(50 / 130, rel=0.25)
    assert np.abs(prepared.traces[0, 1500:2900]).max() < 0.1
    assert (find_baseline(traces, RATE_HZ)[:, 3005] < 140).all()


def test_a_frame_rate_far_above_the_recordings_is_refused() -> None:
    with pytest.raises(StsError, match="more than 100 times the recording's"):
        prepare(recording(), Preparation(rate_hz=1e5))


def test_relative_traces_need_a_positive_baseline() -> None:
    with pytest.raises(StsError, match="may be relative already, leave --relative out"):
        prepare(recording(), Preparation(relative=True))
