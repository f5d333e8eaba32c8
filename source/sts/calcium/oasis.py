"""The compiled loops of OASIS, one trace each: pools of frames between two spikes, merged in order.

Written from Friedrich et al. (2017): a pool begins with a spike and decays; where the spike at its
begin would be smaller than allowed, it is joined to the pool before it.
"""

from collections.abc import Callable
from typing import TypeVar, cast

import numpy as np
from numba import njit

from sts.base.types import Floats, Ints

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """Compile a function for threads that run side by side, and keep the result on disk."""
    return cast(F, njit(nogil=True, cache=True)(function))


@compiled
def first_order(
    y: Floats, powers: Floats, smallest: float, calcium: Floats, spikes: Floats
) -> None:
    """Fill `calcium` and `spikes` (frames,) of a trace whose penalty and baseline are taken off.

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
        top = max(value[pool], 0.0)
        first, frames_of = start[pool], length[pool]
        spikes[first] = top - powers[1] * end if pool else 0.0
        for k in range(frames_of):
            calcium[first + k] = top * powers[k]
        for k in range(1, frames_of):
            spikes[first + k] = 0.0
        end = calcium[first + frames_of - 1]


@compiled
def _fill(
    value: Floats,
    end: Floats,
    start: Ints,
    length: Ints,
    response: Floats,
    g2: float,
    calcium: Floats,
    spikes: Floats,
) -> None:
    """Write out the calcium of all pools, and the spike that each begins with."""
    reached = 0.0
    for pool in range(len(value)):
        first = start[pool]
        for k in range(length[pool]):
            carried = g2 * response[k - 1] * reached if k else 0.0
            calcium[first + k] = max(response[k] * value[pool] + carried, 0.0)
            spikes[first + k] = 0.0
        if pool:
            n = length[pool - 1]
            earlier = end[pool - 2] if pool > 1 else 0.0
            predicted = response[n] * value[pool - 1] + g2 * response[n - 1] * earlier
            spikes[first] = max(value[pool] - predicted, 0.0)
        reached = end[pool]


@compiled
def second_order(
    y: Floats, response: Floats, g2: float, smallest: float, calcium: Floats, spikes: Floats
) -> None:
    """Fill `calcium` and `spikes` by the greedy algorithm for models of second order.

    Within a pool c(t + k) = response(k) v + g2 response(k - 1) u, where v is the value at its
    begin and u the last one of the pool before it; v fits the pool's frames best.

    Parameters
    ----------
    response
        The response to a spike after 0, 1, ... frames.
    """
    frames = len(y)
    value, end = np.empty(frames), np.empty(frames)
    start, length = np.empty(frames, np.int64), np.empty(frames, np.int64)
    # Sums of products of the two responses up to each frame: a fit needs them at every merger.
    late = np.append(0.0, g2 * response)[:frames]
    squares = np.cumsum(response[:frames] ** 2)
    crossed = np.cumsum(response[:frames] * late)
    last = -1
    for t in range(frames):
        last += 1
        value[last], end[last], start[last], length[last] = max(y[t], 0.0), max(y[t], 0.0), t, 1
        while last > 0:
            before = last - 1
            n = length[before]
            earlier = end[before - 1] if before else 0.0
            predicted = response[n] * value[before] + g2 * response[n - 1] * earlier
            if value[last] - predicted >= smallest:
                break
            length[before] += length[last]
            n = length[before]
            matched = 0.0
            for k in range(n):
                matched += response[k] * y[start[before] + k]
            value[before] = max((matched - crossed[n - 1] * earlier) / squares[n - 1], 0.0)
            end[before] = response[n - 1] * value[before]
            if n > 1:
                end[before] += g2 * response[n - 2] * earlier
            last = before
    _fill(value[: last + 1], end, start, length, response, g2, calcium, spikes)
