"""Fluorescence simulated from spikes, and spikes detected in fluorescence by OASIS."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Final

import numpy as np
from scipy.signal import lfilter, welch

from sts.base.errors import StsError
from sts.base.parallel import worker_count
from sts.base.settings import Bounds, NotNegative, check_fields
from sts.base.types import Floats, Ints
from sts.calcium.oasis import solve_first_order, solve_second_order

# The published decay (Li et al., 2020), at 24 frames per second.
PUBLISHED_DECAY: Final = (0.95,)
# Rounding error of the discriminant of two equal roots.
ROOT_ROUNDING: Final = 1e-12
# Number of lags from which the decay is estimated (Pnevmatikakis et al., 2016).
LAGS: Final = 10
# Factor of the roots of an estimated decay, which slow drift makes too large.
_SHRINKAGE: Final = 0.98
# Values that replace estimated roots above 1, and roots of 0 or less.
GROWING: Final = 0.95
RINGING: Final = 0.15
# Halvings of the range of the penalty: more exact than the estimate of the noise.
HALVINGS: Final = 25
# Smallest number of frames from which noise and decay can be estimated.
LEAST_FRAMES: Final = 32
# Number of blocks of traces for each thread of `deconvolve`.
BLOCKS: Final = 8
Coefficient = Annotated[float, Bounds(-2, 2)]
_Level = Annotated[float, Bounds(-1e12, 1e12)]


@dataclass(frozen=True, kw_only=True)
class CalciumModel:
    """Model of calcium, c(t) = g1 c(t-1) + g2 c(t-2) + spikes(t), and of its fluorescence."""

    decay: tuple[float, ...] = PUBLISHED_DECAY
    """g of a first-order model, or g1 and g2 of a model that also rises slowly."""
    noise: float = 0.3
    """Standard deviation, in units of a spike."""
    amplitude: float = 1.0
    """Fluorescence of a spike."""
    baseline: float = 0.0

    def __post_init__(self) -> None:
        """Raise an error for a growing decay or negative noise."""
        check_decay(self.decay)
        if self.noise < 0 or self.amplitude <= 0:
            raise StsError(
                f"noise must be 0 or more and amplitude above 0, not {self.noise} and "
                f"{self.amplitude}"
            )


def check_decay(decay: tuple[float, ...]) -> None:
    """Raise an error if the response to a spike does not decay, or oscillates."""
    if len(decay) not in (1, 2):
        raise StsError(f"a decay has 1 or 2 coefficients, not {len(decay)}: give g, or g1 and g2")
    first, second = (*decay, 0.0)[:2]
    # The discriminant of two equal roots can be negative by rounding.
    rings = first**2 + 4 * second < -ROOT_ROUNDING
    if not np.isfinite(decay).all() or rings or not all(0 < root < 1 for root in find_roots(decay)):
        raise StsError(
            f"the decay {', '.join(map(str, decay))} does not die away: its roots must be real, "
            "between 0 and 1, such as 0.95, or 1.7 and -0.712"
        )


def find_roots(decay: tuple[float, ...]) -> Floats:
    """Return the roots of the model, largest first: each a factor from frame to frame."""
    if len(decay) == 1:
        return np.array(decay)
    first, second = decay
    distance = np.sqrt(max(first**2 + 4 * second, 0.0))
    return np.array([first + distance, first - distance]) / 2


def simulate_fluorescence(
    spikes: Ints | Floats, model: CalciumModel, rng: np.random.Generator
) -> Floats:
    """Return the fluorescence of spikes (..., frames), float32 of the same shape."""
    traces = simulate_calcium(spikes, model.decay) * np.float32(model.amplitude)
    traces += np.float32(model.baseline)
    if model.noise:
        traces += np.float32(model.noise) * rng.standard_normal(traces.shape, dtype=np.float32)
    return traces


def simulate_calcium(spikes: Ints | Floats, decay: tuple[float, ...]) -> Floats:
    """Return calcium without noise of spikes (..., frames), float32."""
    denominator = np.array([1.0, *(-g for g in decay)], dtype=np.float32)
    calcium = lfilter(np.ones(1, np.float32), denominator, spikes.astype(np.float32), axis=-1)
    return np.asarray(calcium, dtype=np.float32)


@dataclass(frozen=True, kw_only=True)
class OasisSettings:
    """Settings of a deconvolution; defaults as published (Li et al., 2020)."""

    decay: tuple[Coefficient, ...] | None = PUBLISHED_DECAY
    """g, or g1 and g2; None: estimated from each trace, with `order` coefficients."""
    order: int = 1
    smallest: NotNegative = 0.55
    """Size of the smallest spike, in units of the trace; 0 allows any."""
    penalty: NotNegative | None = 0.0
    """On the sum of spikes (L1); None: as large as the noise allows."""
    noise: NotNegative | None = None
    """Standard deviation; None: estimated from the upper half of the spectrum of each trace."""
    baseline: _Level | None = 0.0
    """Subtracted first; None: the 15th percentile of each trace."""

    def __post_init__(self) -> None:
        """Raise an error for settings that contradict each other."""
        check_fields(self)
        if self.decay is not None:
            check_decay(self.decay)
        if self.order not in (1, 2):
            raise StsError(f"order must be 1 or 2, not {self.order}")
        if self.smallest and self.penalty is None:
            raise StsError(
                "a smallest spike and a penalty by the noise exclude each other: set --smallest "
                "to 0 or give the penalty"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Deconvolved:
    """The result of OASIS, in arrays of the shape of the traces."""

    calcium: Floats
    """Without noise and baseline."""
    spikes: Floats
    """Sizes of spikes, 0 in frames without one."""


def deconvolve(traces: Floats, settings: OasisSettings | None = None) -> Deconvolved:
    """Deconvolve traces (..., frames), with one thread for each core."""
    settings = settings or OasisSettings()
    frames = traces.shape[-1]
    if frames < LEAST_FRAMES:
        raise StsError(f"traces of at least {LEAST_FRAMES} frames are needed, not {frames}")
    rows = traces.reshape(-1, frames)
    calcium, spikes = (np.empty(rows.shape, np.float32) for _ in range(2))
    # A given decay has the same response for all traces.
    shared = None if settings.decay is None else _compute_response(frames, settings.decay)

    workers = worker_count(None)
    # Handing a short trace to a thread takes longer than solving it.
    size = max(len(rows) // (BLOCKS * workers), 1)

    def work(start: int) -> None:
        for index in range(start, min(start + size, len(rows))):
            calcium[index], spikes[index] = _deconvolve_trace(rows[index], settings, shared)

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, range(0, len(rows), size)))
    return Deconvolved(calcium=calcium.reshape(traces.shape), spikes=spikes.reshape(traces.shape))


def estimate_noise(trace: Floats) -> float:
    """Return the standard deviation of white noise, from the upper half of the spectrum."""
    frequencies, power = welch(trace, nperseg=min(256, len(trace)))
    # Calcium transients are slow: power above a quarter of the frame rate is noise. The power at
    # half of the frame rate is left out: it comes from cosines only and is less certain.
    return float(np.sqrt(np.mean(power[(frequencies > 0.25) & (frequencies < 0.5)]) / 2))


def estimate_decay(
    trace: Floats, order: int, noise: float, *, shrinkage: float = 1.0
) -> tuple[float, ...]:
    """Return the coefficients of an autoregression, from the autocovariance of a trace.

    Noise adds only to the variance, so its variance is subtracted (Pnevmatikakis et al., 2016).
    Roots are made real and put between 0 and 1.
    """
    centred = trace - trace.mean()
    n = len(centred)
    covariance = np.array(
        [centred[lag:] @ centred[: n - lag] / n for lag in range(LAGS + order + 1)]
    )
    covariance[0] -= noise**2
    lags = np.arange(1, LAGS + order + 1)
    design = np.stack([covariance[np.abs(lags - k)] for k in range(1, order + 1)], axis=1)
    coefficients = np.linalg.lstsq(design, covariance[lags], rcond=None)[0]
    roots = np.real(np.roots([1.0, *-coefficients]))
    roots = np.where(roots > 1, GROWING, np.where(roots <= 0, RINGING, roots))
    return tuple(float(g) for g in -np.poly(shrinkage * roots)[1:])


def _compute_response(frames: int, decay: tuple[float, ...]) -> Floats:
    """Return the response to a spike after 0, 1, ... frames."""
    lags = np.arange(frames + 1, dtype=np.float64)
    if len(decay) == 1:
        return np.asarray(decay[0] ** lags)
    return np.asarray(lfilter([1.0], [1.0, *(-g for g in decay)], lags == 0))


def _deconvolve_trace(
    trace: Floats, settings: OasisSettings, response: Floats | None
) -> tuple[Floats, Floats]:
    """Return calcium and spikes (frames,); `response` is None if the decay is to be estimated."""
    y = trace.astype(np.float64)
    y -= np.percentile(y, 15) if settings.baseline is None else settings.baseline
    noise = settings.noise
    if noise is None and (settings.decay is None or settings.penalty is None):
        noise = estimate_noise(y)
    decay = settings.decay or estimate_decay(y, settings.order, noise or 0.0, shrinkage=_SHRINKAGE)
    if response is None:
        response = _compute_response(len(y), decay)
    solve = partial(_solve, y, decay, response, settings.smallest)
    if settings.penalty is not None:
        return solve(settings.penalty)
    return solve(_find_penalty(solve, y, noise or 0.0))


def _solve(
    y: Floats, decay: tuple[float, ...], response: Floats, smallest: float, penalty: float
) -> tuple[Floats, Floats]:
    calcium, spikes = np.empty(len(y)), np.empty(len(y))
    if penalty:
        # The sum of all spikes is a sum of the calcium of each frame with these weights.
        weights = np.full(len(y), 1 - sum(decay))
        for missing in range(1, len(decay) + 1):
            weights[-missing] = 1 - sum(decay[: missing - 1])
        y = y - penalty * weights
    if len(decay) == 1:
        solve_first_order(y, response, smallest, calcium, spikes)
    else:
        slow = float(find_roots(decay)[0])
        solve_second_order(y, response, slow, decay[1], smallest, calcium, spikes)
    return calcium, spikes


def _find_penalty(solve: "partial[tuple[Floats, Floats]]", y: Floats, noise: float) -> float:
    """Return the penalty at which the residual is as large as the noise."""

    def residual(penalty: float) -> float:
        return float(np.mean((solve(penalty)[0] - y) ** 2))

    low, high = 0.0, max(float(np.abs(y).max()), 1e-6)
    if residual(low) >= noise**2:
        return low
    most = 4.0**10 * high
    while residual(high) < noise**2 and high < most:
        high *= 4
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if residual(middle) < noise**2 else (low, middle)
    return low
