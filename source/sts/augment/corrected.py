"""Differences over repeated folds, whose training rows overlap: Nadeau and Bengio (2003)."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import stats

from sts.augment.scoring import LOWER_IS_BETTER
from sts.base.types import Floats
from sts.evaluation.bootstrap import Interval

LEVEL: Final = 0.95
CANNOT_TELL: Final = "cannot tell"
# What a difference smaller than this is called, whatever its interval: none.
ROUNDING: Final = 1e-12


@dataclass(frozen=True)
class Judged:
    """A mean difference with its interval, and what that says."""

    difference: Interval
    verdict: str


def corrected_interval(values: Floats, *, test_to_train: float) -> Interval:
    """Return the mean over folds with its 95 % interval.

    The variance of the mean is (1 / folds + test / train) times that of the folds: training rows
    are shared, so that plain `1 / folds` would be too small. With `test_to_train` 0 it is that.

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
    error = math.sqrt((1 / len(known) + test_to_train) * float(known.var(ddof=1)))
    reach = float(stats.t.ppf(0.5 + LEVEL / 2, len(known) - 1)) * error
    return Interval(mean, mean - reach, mean + reach)


def judge(values: Floats, score: str, *, test_to_train: float) -> Judged:
    """Return a paired difference and whether it helps, hurts or cannot be told."""
    interval = corrected_interval(values, test_to_train=test_to_train)
    if math.isnan(interval.value) or abs(interval.value) < ROUNDING or not interval.excludes(0.0):
        return Judged(interval, CANNOT_TELL)
    rises = interval.value > 0
    return Judged(interval, "hurts" if rises == (score in LOWER_IS_BETTER) else "helps")
