"""The compiled loops of OASIS for one trace: pools of frames between two spikes, merged in order.

After Friedrich et al. (2017): a pool starts with a spike and decays. If its spike would be smaller
than allowed, the pool is joined with the previous pool. The calcium before a trace is unknown: its
first pool only decays, and the first frames, whose model needs earlier frames, have no spikes.
"""

from collections.abc import Callable
from typing import TypeVar, cast

import numpy as np
from numba import njit

from sts.base.types import Floats, Ints

F = TypeVar("F", bound=Callable[..., object])


def compile_loop(function: F) -> F:
    """Compile a function for parallel threads, and cache the result on disk."""
    return cast(F, njit(nogil=True, cache=True)(function))


@compile_loop
def solve_first_order(
    y: Floats, powers: Floats, smallest: float, calcium: Floats, spikes: Floats
) -> None:
    """Fill `calcium` and `spikes` (frames,) for a trace without penalty and baseline.

    Parameters
    ----------
    powers
        g to the power of 0, 1, ... frames.
    smallest
        Size of the smallest spike.
    """
    frames = len(y)
    value, weight = np.empty(frames), np.empty(frames)
    start, length = np.empty(frames, np.int64), np.empty(frames, np.int64)
    last = -1
    for t in range(frames):
        last += 1
        value[last], weight[last], start[last], length[last] = y[t], 1.0, t, 1
        while last > 0 and value[last] < powers[length[last - 1]] * value[last - 1] + smallest:
            before = last - 1
            decayed = powers[length[before]]
            joint = weight[before] + decayed * decayed * weight[last]
            value[before] = (
                weight[before] * value[before] + decayed * weight[last] * value[last]
            ) / joint
            weight[before] = joint
            length[before] += length[last]
            last = before
    end = 0.0
    for pool in range(last + 1):
        # After a pool below zero, whose calcium is set to 0, a spike can become too small.
        top = value[pool] if value[pool] >= (smallest if pool else 0.0) else 0.0
        first, frames_of = start[pool], length[pool]
        spikes[first] = max(top - powers[1] * end, 0.0) if pool else 0.0
        for k in range(frames_of):
            calcium[first + k] = top * powers[k]
        for k in range(1, frames_of):
            spikes[first + k] = 0.0
        end = calcium[first + frames_of - 1]


@compile_loop
def _predict(
    pool: int, value: Floats, end: Floats, length: Ints, response: Floats, slow: float, g2: float
) -> float:
    """Return the calcium of a pool in the first frame of the next one."""
    if pool == 0:
        return float(slow * end[0])
    n = length[pool]
    return float(response[n] * value[pool] + g2 * response[n - 1] * end[pool - 1])


@compile_loop
def _fill(
    value: Floats,
    end: Floats,
    start: Ints,
    length: Ints,
    response: Floats,
    slow: float,
    g2: float,
    calcium: Floats,
    spikes: Floats,
) -> None:
    """Fill in the calcium of all pools, and the first spike of each pool except the first."""
    spikes[:] = 0.0
    for k in range(length[0]):
        calcium[k] = value[0] * slow**k
    for pool in range(1, len(value)):
        first, before = start[pool], end[pool - 1]
        left = _predict(pool - 1, value, end, length, response, slow, g2)
        if first > 1:
            spikes[first] = max(value[pool] - left, 0.0)
        calcium[first] = value[pool]
        for k in range(1, length[pool]):
            calcium[first + k] = response[k] * value[pool] + g2 * response[k - 1] * before


@compile_loop
def solve_second_order(
    y: Floats,
    response: Floats,
    slow: float,
    g2: float,
    smallest: float,
    calcium: Floats,
    spikes: Floats,
) -> None:
    """Fill `calcium` and `spikes` by the greedy algorithm for models of second order.

    Within a pool c(t + k) = response(k) v + g2 response(k - 1) u, where v is its first value and u
    the last value of the pool before it; v is the best fit to the frames of the pool.

    Parameters
    ----------
    response
        The response to a spike after 0, 1, ... frames.
    slow
        The larger root, the decay of the first pool from frame to frame.
    """
    frames = len(y)
    value, end = np.empty(frames), np.empty(frames)
    start, length = np.empty(frames, np.int64), np.empty(frames, np.int64)
    # Sums over each pool of its frames times the response, the response a frame later, and the
    # slow decay. Responses obey the model, so the sums of a joined pool follow from those of its
    # parts, and no frame is used twice.
    matched, delayed, slowly = np.empty(frames), np.empty(frames), np.empty(frames)
    late = np.append(0.0, g2 * response)[:frames]
    squares = np.cumsum(response[:frames] ** 2)
    crossed = np.cumsum(response[:frames] * late)
    last = -1
    for t in range(frames):
        last += 1
        start[last], length[last], value[last], end[last] = t, 1, y[t], y[t]
        matched[last], delayed[last], slowly[last] = y[t], 0.0, y[t]
        if t == 0:
            value[0] = end[0] = max(y[0], 0.0)
        while last > 0:
            before = last - 1
            left = _predict(before, value, end, length, response, slow, g2)
            if value[last] - left >= smallest:
                break
            n = length[before]
            earlier = g2 * response[n - 2] if n > 1 else 0.0
            slowly[before] += slow**n * slowly[last]
            delayed[before] += response[n - 1] * matched[last] + earlier * delayed[last]
            matched[before] += response[n] * matched[last] + g2 * response[n - 1] * delayed[last]
            length[before] += length[last]
            n = length[before]
            if before == 0:
                best = slowly[0] * (1 - slow**2) / (1 - slow ** (2 * n))
                value[0] = max(best, 0.0)
                end[0] = value[0] * slow ** (n - 1)
            else:
                reached = end[before - 1]
                value[before] = (matched[before] - crossed[n - 1] * reached) / squares[n - 1]
                end[before] = response[n - 1] * value[before] + late[n - 1] * reached
            last = before
    _fill(value[: last + 1], end, start, length, response, slow, g2, calcium, spikes)
