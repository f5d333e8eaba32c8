"""Alternatives for comparison: OASIS by its authors or a plain loop, scipy and numpy."""

import importlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr
from scipy.stats import multivariate_normal

from sts.base.types import Floats
from sts.calcium.dichotomised import DichotomisedGaussian

# Parts that are measured of what takes long; the rest is in proportion.
PAIRS = 40
TRACES = 2
FRAMES = 20_000


def time_work(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Return seconds on the clock, seconds of the processor, and the result of some work."""
    clock, processor = time.perf_counter(), time.process_time()
    found = work()
    return time.perf_counter() - clock, time.process_time() - processor, found


def find_oasis_peer() -> tuple[str, Callable[..., Any]]:
    """Return the name of another OASIS and the function that takes a trace, decay, L and S."""
    try:
        methods = importlib.import_module("oasis.oasis_methods")
    except ImportError:
        return "a plain loop (oasis-deconv is not installed)", solve_by_loop

    def theirs(y: Floats, decay: tuple[float, ...], penalty: float, smallest: float) -> Any:
        solve = methods.oasisAR1 if len(decay) == 1 else methods.oasisAR2
        return solve(y, *decay, penalty, smallest)[1]

    return "oasis-deconv", theirs


def solve_by_loop(y: Floats, decay: tuple[float, ...], penalty: float, smallest: float) -> Any:
    """Return the spikes of a first-order model by Python lists; None for the second order."""
    if len(decay) == 2:
        return None
    g = decay[0]
    shifted = y - penalty * (1 - g)
    shifted[-1] = y[-1] - penalty
    pools: list[list[float]] = []
    for value in shifted.tolist():
        pools.append([value, 1.0, 1])
        while len(pools) > 1:
            first, weight, frames = pools[-2]
            last, other, more = pools[-1]
            if last >= g**frames * first + smallest:
                break
            joint = weight + other * g ** (2 * frames)
            pools[-2:] = [
                [(weight * first + g**frames * other * last) / joint, joint, frames + more]
            ]
    parts = [
        (value if value >= (smallest if index else 0.0) else 0.0) * g ** np.arange(int(frames))
        for index, (value, _, frames) in enumerate(pools)
    ]
    calcium = np.concatenate(parts)
    return np.append(0.0, calcium[1:] - g * calcium[:-1])


def time_scipy_set_up(gaussian: DichotomisedGaussian) -> float:
    """Return the seconds that scipy takes to solve all pairs one by one."""
    asked, limits = gaussian.statistics.covariances, gaussian.thresholds
    rows, columns = np.triu_indices(len(limits), k=1)
    picked = np.linspace(0, len(rows) - 1, PAIRS).astype(int)

    def solve() -> None:
        for i, j in zip(rows[picked], columns[picked], strict=True):
            product = ndtr(limits[i]) * ndtr(limits[j])

            def error(
                r: float, at: Any = limits[[i, j]], want: float = asked[i, j] + product
            ) -> float:
                normal = multivariate_normal(cov=[[1, r], [r, 1]], allow_singular=True)
                return float(normal.cdf(at)) - want

            if error(-0.999) < 0 < error(0.999):
                brentq(error, -0.999, 0.999, xtol=1e-6)

    return time_work(solve)[0] * len(rows) / PAIRS


def time_numpy_sampling(
    gaussian: DichotomisedGaussian, frames: int, rng: np.random.Generator
) -> float:
    """Return the seconds that numpy's own Gaussian and a comparison take."""
    few = min(frames, FRAMES)
    zeros = np.zeros(len(gaussian.thresholds))

    def sample() -> Any:
        return rng.multivariate_normal(zeros, gaussian.latent.matrix, few) < gaussian.thresholds

    return time_work(sample)[0] * frames / few
