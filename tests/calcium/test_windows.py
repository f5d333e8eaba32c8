"""Stretches are disjoint, windows lie within them, scaling is undone."""

from itertools import pairwise

import numpy as np
import pytest

from sts.base.errors import StsError
from sts.calcium.windows import STRETCHES, WindowSettings, cut_windows, split_time

RATE_HZ = 20.0
TRACES = np.random.default_rng(0).standard_normal((3, 5000)).astype(np.float32)


@pytest.mark.parametrize(("length", "stride", "gap_s"), [(64, 1, 1.0), (100, 7, 0.0), (33, 2, 5.0)])
def test_no_frame_is_in_two_stretches(length: int, stride: int, gap_s: float) -> None:
    """The published validation windows shared all but 2 frames with training windows."""
    settings = WindowSettings(length=length, stride=stride, gap_s=gap_s)
    cut = cut_windows(TRACES, RATE_HZ, settings)
    used = {
        part: {int(f) for s in cut.windows[part].starts for f in range(s, s + length)}
        for part in STRETCHES
    }
    gap = round(gap_s * RATE_HZ)
    for before, after in pairwise(STRETCHES):
        assert min(used[after]) - max(used[before]) > gap
    assert max(used["test"]) < 5000


def test_windows_are_what_stands_at_their_starts() -> None:
    cut = cut_windows(TRACES, RATE_HZ, WindowSettings(length=64, stride=3))
    windows = cut.windows["training"]
    assert windows.at().shape == (len(windows), 3, 64)
    start = windows.starts[5]
    assert np.array_equal(windows.at()[5], TRACES[:, start : start + 64])
    assert np.diff(windows.starts).tolist() == [3] * (len(windows) - 1)


def test_windows_apart_do_not_overlap() -> None:
    windows = cut_windows(TRACES, RATE_HZ, WindowSettings(length=64, stride=3)).windows["training"]
    starts = windows.without_overlap().starts
    assert np.diff(starts).min() >= 64
    assert len(starts) == pytest.approx(len(windows) * 3 / 66, abs=2)  # the stride rounds 64 to 66


def test_the_scale_is_of_the_training_stretch_alone() -> None:
    settings = WindowSettings(length=64)
    begin, end = split_time(5000, RATE_HZ, settings)["training"]
    louder = TRACES.copy()
    louder[:, end:] *= 100
    scale = cut_windows(louder, RATE_HZ, settings).scale
    assert np.array_equal(scale.high, TRACES[:, begin:end].max(axis=1))
    scaled = scale.apply(TRACES[:, begin:end])
    assert scaled.min() == 0
    assert scaled.max() == 1
    assert np.abs(scale.undo(scaled) - TRACES[:, begin:end]).max() < 1e-5  # float32


def test_a_recording_too_short_says_how_long_it_must_be() -> None:
    settings = WindowSettings(length=200, gap_s=1.0)
    with pytest.raises(StsError, match="1000 frames are too few") as told:
        cut_windows(TRACES[:, :1000], RATE_HZ, settings)
    needed = int(str(told.value).split("give ")[1].split()[0])
    assert len(cut_windows(TRACES[:, :needed], RATE_HZ, settings).windows["test"]) == 1


def test_a_constant_neuron_is_refused() -> None:
    traces = TRACES.copy()
    traces[1] = 0.5
    with pytest.raises(StsError, match="neuron 1 is constant"):
        cut_windows(traces, RATE_HZ, WindowSettings(length=64))


@pytest.mark.parametrize(
    "settings", [{"length": 8}, {"stride": 0}, {"validation": 0.0}, {"test": 1.0}]
)
def test_settings_that_leave_nothing_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(StsError):
        WindowSettings(**settings)  # type: ignore[arg-type]
