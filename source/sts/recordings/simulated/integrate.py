"""The compiled loop: all sweeps of a cell advance together, step by step, and leave as int16 counts."""

import numpy as np
from numba import njit

from sts.recordings.simulated.membrane import LOWEST_MV, PER_MV, STEP_MS

_G = 8
_NOISE_DECAY = float(np.exp(-STEP_MS / 3.0))
_NOISE_KICK = float(np.sqrt(1 - _NOISE_DECAY**2))


@njit(cache=True, nogil=True, inline="always")
def _mix(key, counter):
    z = key + counter * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(cache=True, nogil=True, inline="always")
def _normal(bits):
    mask = np.uint64(0xFFFF)
    total = (
        np.int64(bits & mask)
        + np.int64((bits >> np.uint64(16)) & mask)
        + np.int64((bits >> np.uint64(32)) & mask)
        + np.int64(bits >> np.uint64(48))
    )
    return (total - 131070.0) * (1.0 / 37837.2)


@njit(cache=True, nogil=True)
def sweep_block(table, const, start, pulses, keys, noise_pa, noise_mv, per_count, counts):
    """pulses (lanes, 8): pulse on, off, amp; on, off, amp, slope; unused."""
    lanes, steps = counts.shape
    x = np.empty((lanes, _G))
    v = np.empty(lanes)
    ou = np.zeros(lanes)
    for lane in range(lanes):
        v[lane] = start[0]
        for g in range(_G):
            x[lane, g] = start[1 + g]
    c, gna, gkd, gm, gt, gh, gz, gd = const
    last = table.shape[0] - 1
    for k in range(steps):
        for lane in range(lanes):
            bits = _mix(keys[lane], np.uint64(2 * k))
            ou[lane] = ou[lane] * _NOISE_DECAY + noise_pa * _NOISE_KICK * _normal(bits)
            i = ou[lane]
            if k >= pulses[lane, 0] and k < pulses[lane, 1]:
                i += pulses[lane, 2]
            if k >= pulses[lane, 3] and k < pulses[lane, 4]:
                i += pulses[lane, 5] + pulses[lane, 6] * (k - pulses[lane, 3])
            vv = v[lane]
            bits = _mix(keys[lane], np.uint64(2 * k + 1))
            counts[lane, k] = np.int16(np.floor((vv + noise_mv * _normal(bits)) * per_count + 0.5))
            row = int((vv - LOWEST_MV) * PER_MV + 0.5)
            row = min(max(row, 0), last)
            t = table[row]
            s = x[lane]
            for g in range(_G):
                s[g] = t[g] + (s[g] - t[g]) * t[_G + g]
            na = gna * s[0] * s[0] * s[0] * s[1]
            n2 = s[2] * s[2]
            k_ = gkd * n2 * n2 + gm * s[3] + gz * s[6] + gd * t[19] * s[7]
            ca = gt * t[18] * s[4]
            hh = gh * s[5]
            g_all = t[16] + na + k_ + ca + hh
            i += t[17] + 50.0 * na - 90.0 * k_ + 120.0 * ca - 40.0 * hh
            v[lane] = vv + STEP_MS * (i - g_all * vv) / (c + 0.5 * STEP_MS * g_all)


@njit(cache=True, nogil=True)
def first_spike(table, const, start, on, off, amp, slope, key, k0, noise_pa, steps):
    """Return the step at which the voltage first passes -10 mV from below within steps, or -1"""
    x = np.empty(_G)
    v = start[0]
    for g in range(_G):
        x[g] = start[1 + g]
    ou = 0.0
    c, gna, gkd, gm, gt, gh, gz, gd = const
    last = table.shape[0] - 1
    for k in range(k0, steps):
        bits = _mix(key, np.uint64(2 * k))
        ou = ou * _NOISE_DECAY + noise_pa * _NOISE_KICK * _normal(bits)
        i = ou
        if k >= on and k < off:
            i += amp + slope * (k - on)
        row = int((v - LOWEST_MV) * PER_MV + 0.5)
        row = min(max(row, 0), last)
        t = table[row]
        for g in range(_G):
            x[g] = t[g] + (x[g] - t[g]) * t[_G + g]
        na = gna * x[0] * x[0] * x[0] * x[1]
        n2 = x[2] * x[2]
        k_ = gkd * n2 * n2 + gm * x[3] + gz * x[6] + gd * t[19] * x[7]
        ca = gt * t[18] * x[4]
        hh = gh * x[5]
        g_all = t[16] + na + k_ + ca + hh
        i += t[17] + 50.0 * na - 90.0 * k_ + 120.0 * ca - 40.0 * hh
        v = v + STEP_MS * (i - g_all * v) / (c + 0.5 * STEP_MS * g_all)
        if v > -10.0:
            return k
    return -1
