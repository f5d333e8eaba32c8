"""Whether one classifier is better than another.

Over the cells that both have predicted by a paired bootstrap; over repeated folds, whose training
rows overlap, by the corrected variance of Nadeau and Bengio (2003).
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from scipy import stats

from sts.base.errors import StsError
from sts.base.types import Floats
from sts.evaluation.bootstrap import RESAMPLES, Interval, interval_of, resampled_sums
from sts.evaluation.calibration import CalibrationError, calibration_error
from sts.evaluation.metrics import (
    LOWER_IS_BETTER,
    RESAMPLED,
    SCORES,
    contributions,
    metrics_of,
    supports_of,
)
from sts.evaluation.predictions import UNKNOWN, Predictions, Texts
from sts.evaluation.scores import drawn_alike, groups_of, notes_on

CANNOT_TELL: Final = "cannot tell"
# Of a score that has no interval.
NO_VERDICT: Final = "no verdict"
LEVEL: Final = 0.95
# Differences, or their spread over folds, that are smaller than this are none.
ROUNDING: Final = 1e-12


@dataclass(frozen=True)
class Difference:
    """A score of two classifiers and how much the second one's is above the first one's."""

    score: str
    first: float
    second: float
    difference: Interval
    """Without an interval where none is honest, as of the calibration error."""

    @property
    def verdict(self) -> str:
        """Say who is better: "second", "first", or "cannot tell" if the interval holds 0."""
        if self.score not in RESAMPLED:
            return NO_VERDICT
        if not self.difference.excludes(0.0):
            return CANNOT_TELL
        rises = self.difference.value > 0
        return "first" if rises == (self.score in LOWER_IS_BETTER) else "second"


@dataclass(frozen=True, kw_only=True)
class Group:
    """The differences on some of the cells, by score."""

    cells: int
    classes: dict[str, int]
    """Cells of each class."""
    differences: dict[str, Difference]
    calibration: tuple[CalibrationError, CalibrationError]
    """Of the first and of the second, beside what perfect calibration would show."""
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two classifiers on the cells that both have predicted."""

    cells: int
    fingerprint: str
    """Of who the cells are: equal for comparisons on the same cells."""
    only_first: tuple[str, ...]
    """Specimen ids that the second one lacks."""
    only_second: tuple[str, ...]
    groups: dict[str, Group]
    """Pooled, and each data set."""

    def to_dict(self) -> dict[str, Any]:
        """Return what `report.json` holds."""
        plain = asdict(self)
        for name, group in self.groups.items():
            for score, difference in group.differences.items():
                plain["groups"][name]["differences"][score]["verdict"] = difference.verdict
        return plain


def compare(
    first: Predictions,
    second: Predictions,
    *,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Comparison:
    """Return the scores of the second less those of the first, on the cells both hold."""
    if first.classes != second.classes:
        raise StsError(
            "the runs do not tell the same classes apart: "
            f"{', '.join(first.classes)} and {', '.join(second.classes)}"
        )
    first, second = (each.rows(np.argsort(each.specimen_id)) for each in (first, second))
    _, here, there = np.intersect1d(first.specimen_id, second.specimen_id, return_indices=True)
    one, other = _agreed(first.rows(here), second.rows(there))
    ids = other.specimen_id
    groups = {
        name: _group(cells, other.rows(np.isin(ids, cells.specimen_id)), generator, resamples)
        for name, cells, generator in drawn_alike(groups_of(one), rng)
    }
    return Comparison(
        cells=len(one),
        fingerprint=one.fingerprint(),
        only_first=_without(first, here),
        only_second=_without(second, there),
        groups=groups,
    )


def _without(predictions: Predictions, rows: Any) -> tuple[str, ...]:
    return tuple(np.delete(predictions.specimen_id, rows).tolist())


def _agreed(first: Predictions, second: Predictions) -> tuple[Predictions, Predictions]:
    """Return both with the same classes and data sets, on cells of known class."""
    ids = first.specimen_id
    truth = _one_of_both(first.truth, second.truth, UNKNOWN, ids=ids, what="class")
    dataset = _one_of_both(first.dataset, second.dataset, "", ids=ids, what="data set")
    donors = _one_of_both(first.donors, second.donors, "", ids=ids, what="donor")
    if not (truth != UNKNOWN).any():
        raise StsError("the runs have no cell of known class in common: nothing to compare")
    one, other = (
        Predictions(
            specimen_id=ids,
            dataset=dataset,
            truth=truth,
            probabilities=each.probabilities,
            classes=each.classes,
            donor_id=donors,
        )
        for each in (first, second)
    )
    return one.scorable(), other.scorable()


def _one_of_both(one: Any, other: Any, missing: object, *, ids: Texts, what: str) -> Any:
    """Return what either run knows of each cell; what they know must not differ."""
    apart = (one != other) & (one != missing) & (other != missing)
    if apart.any():
        at = int(np.argmax(apart))
        raise StsError(
            f"the runs disagree on the {what} of {int(apart.sum())} cells, the first is specimen "
            f"{ids[at]}: compare runs on the same labels"
        )
    return np.where(one == missing, other, one)


def _group(
    first: Predictions, second: Predictions, rng: np.random.Generator, resamples: int
) -> Group:
    # Side by side, so that each resample draws the same cells for both.
    terms = np.concatenate([contributions(first), contributions(second)], axis=1)
    drawn = resampled_sums(terms, first.truth, rng, resamples=resamples, donors=first.donors)
    (one, one_drawn), (other, other_drawn) = (
        [metrics_of(half, len(first.classes)) for half in halves]
        for halves in zip(
            *(np.split(each, 2, axis=-1) for each in (terms.sum(axis=0), drawn)), strict=True
        )
    )
    differences = {}
    for name in SCORES:
        value = float(other[name] - one[name])
        gap = (
            interval_of(value, other_drawn[name] - one_drawn[name])
            if name in RESAMPLED
            else Interval(value, math.nan, math.nan)
        )
        differences[name] = Difference(name, float(one[name]), float(other[name]), gap)
    # The same draws for both: equal probabilities have equal chances.
    seed = int(rng.integers(2**63))
    calibration = [
        calibration_error(each.probabilities, each.truth, rng=np.random.default_rng(seed))
        for each in (first, second)
    ]
    notes = (*notes_on(first), *notes_on(second))
    return Group(
        cells=len(first),
        classes=dict(zip(first.classes, supports_of(first).tolist(), strict=True)),
        differences=differences,
        calibration=(calibration[0], calibration[1]),
        notes=tuple(dict.fromkeys(notes)),
    )


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
