"""The names of the published features, and the frames of their times."""

from typing import Final

CELL_FEATURES: Final = (
    "vrest",
    "ri",
    "sag",
    "tau",
    "vm_for_sag",
    "f_i_curve_slope",
    "adaptation",
    "latency",
    "avg_isi",
)
SPIKE_FEATURES: Final = (
    "upstroke_downstroke_ratio",
    "peak_v",
    "peak_t",
    "trough_v",
    "trough_t",
    "fast_trough_v",
    "fast_trough_t",
    "slow_trough_v",
    "slow_trough_t",
    "threshold_v",
    "threshold_i",
    "threshold_t",
)
STIMULI: Final = ("long_square", "ramp", "short_square")
FEATURES: Final = CELL_FEATURES + tuple(
    f"{name}_{stimulus}" for stimulus in STIMULI for name in SPIKE_FEATURES
)
"""The published features: times `*_t_*` in s from the stimulus onset, voltages in mV, currents
in pA, `ri` in MOhm, `tau` and `avg_isi` in ms, `latency` in s, `f_i_curve_slope` in spikes/s/pA."""
TIME_FEATURES: Final = tuple(name for name in FEATURES if "_t_" in name)

# Origins of time: the onset, or the start of the sweep, which is the given time before the onset.
# In the published tables all stimuli have the same onset: spikes on ramps of 25 pA/s occur
# threshold_i / 25 after 0.4975 and 1.020 s (medians), and almost no spike on short squares occurs
# before 0.500 and 1.022 s.
ONSET_FRAME: Final = "onset"
PUBLISHED_ONSET_S: Final = {"PatchSeq": 0.50, "PatchClamp": 1.02}
TIME_FRAMES: Final = {ONSET_FRAME: 0.0} | PUBLISHED_ONSET_S
