"""Differences over repeated folds, whose training rows overlap: Nadeau and Bengio (2003)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import stats

from sts.base.types import Floats
from sts.evaluation.bootstrap import Interval
from sts.evaluation.compare import CANNOT_TELL, NO_VERDICT
from sts.tabular.scoring import LOWER_IS_BETTER

LEVEL: Final = 0.95
# Differences, or their spread over folds, that are smaller than this are none.
ROUNDING: Final = 1e-12


@dataclass(frozen=True)
class Judged:
    """A mean difference with its interval, and what that says."""

    difference: Interval
    verdict: str
    p: float
    """How often chance alone gives so large a difference; NaN without a verdict."""


def corrected_interval(values: Floats, *, test_to_train: float) -> Interval:
    """Return the mean over folds with its 95 % interval.

    The variance of the mean is (1 / folds + test / train) times that of the folds: training rows
    are shared, so that plain `1 / folds` would be too small. With `test_to_train` 0 it is that.
    Folds that are all alike say nothing of how much others would differ: they have no interval.

    Parameters
    ----------
    values
        (folds,), those of all repeats.
    test_to_train
        Scored rows for each training row in one fold.
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return Interval(math.nan, math.nan, math.nan)
    mean = float(known.mean())
    if len(known) == 1:
        return Interval(mean, -math.inf, math.inf)
    if known.std(ddof=1) < ROUNDING:
        return Interval(mean, math.nan, math.nan)
    error = math.sqrt((1 / len(known) + test_to_train) * float(known.var(ddof=1)))
    reach = float(stats.t.ppf(0.5 + LEVEL / 2, len(known) - 1)) * error
    return Interval(mean, mean - reach, mean + reach)


def judge(
    values: Floats, score: str, *, test_to_train: float, over_divisions: bool = True
) -> Judged:
    """Return a paired difference and whether it helps, hurts or cannot be told.

    There is no verdict where nothing says how much another division would change: of one division,
    of folds that all differ by the same, and, with `over_divisions` False, of seeds alone.
    """
    known = values[np.isfinite(values)]
    interval = corrected_interval(values, test_to_train=test_to_train)
    if len(known) < 2 or math.isnan(interval.low) or not over_divisions:
        return Judged(interval, NO_VERDICT, math.nan)
    error = math.sqrt((1 / len(known) + test_to_train) * float(known.var(ddof=1)))
    p = float(2 * stats.t.sf(abs(interval.value) / error, len(known) - 1))
    return Judged(interval, verdict_of(interval.value, p, score), p)


def verdict_of(difference: float, p: float, score: str) -> str:
    """Return what a difference says of a score, such as "helps"."""
    if math.isnan(p):
        return NO_VERDICT
    if p >= 1 - LEVEL or abs(difference) < ROUNDING:
        return CANNOT_TELL
    return "hurts" if (difference > 0) == (score in LOWER_IS_BETTER) else "helps"


def correct_by_holm(p: Sequence[float]) -> list[float]:
    """Return p values corrected for as many comparisons as there are (Holm, 1979).

    The chance that any verdict is wrong where nothing differs is then that of one comparison. NaN
    stays NaN and is not counted.
    """
    values = np.array(p, dtype=np.float64)
    known = np.flatnonzero(np.isfinite(values))
    order = known[np.argsort(values[known], kind="stable")]
    times = np.arange(len(order), 0, -1)
    values[order] = np.minimum(np.maximum.accumulate(times * values[order]), 1.0)
    corrected: list[float] = values.tolist()
    return corrected
