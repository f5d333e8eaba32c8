"""Whether one classifier is better than another.

Scores on the same cells are compared by a paired bootstrap; scores on repeated folds, whose
training rows overlap, by the corrected variance of Nadeau and Bengio (2003).
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from scipy import stats

from sts.base.errors import StsError
from sts.base.types import Floats, Texts
from sts.evaluation.calibration import CalibrationError, calibration_error
from sts.evaluation.predictions import (
    LOWER_IS_BETTER,
    RESAMPLED,
    SCORES,
    UNKNOWN,
    Predictions,
    contributions,
    metrics_of,
    supports_of,
)
from sts.evaluation.scores import (
    RESAMPLES,
    Interval,
    drawn_alike,
    groups_of,
    interval_of,
    notes_on,
    resampled_sums,
)

CANNOT_TELL: Final = "cannot tell"
# Verdict on a score without an interval.
NO_VERDICT: Final = "no verdict"
LEVEL: Final = 0.95
# Smaller differences, or smaller spreads over folds, are treated as 0.
SCORE_ROUNDING: Final = 1e-12


@dataclass(frozen=True)
class Difference:
    """A score of two classifiers, and the score of the second minus that of the first."""

    score: str
    first: float
    second: float
    difference: Interval
    """Without an interval for the calibration error, which has none."""

    @property
    def verdict(self) -> str:
        """Return which is better: "second", "first"; "cannot tell" if the interval contains 0."""
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
    """Of the first and of the second classifier."""
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two classifiers on the cells that both have predicted."""

    cells: int
    fingerprint: str
    """Digest of the ids of the cells: equal for comparisons on the same cells."""
    only_first: tuple[str, ...]
    """Specimen ids that only the first classifier has predicted."""
    only_second: tuple[str, ...]
    groups: dict[str, Group]
    """By data set, and pooled."""

    def to_dict(self) -> dict[str, Any]:
        """Return the content of `report.json`."""
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
    """Return the scores of the second minus those of the first, on the cells of both."""
    if first.classes != second.classes:
        raise StsError(
            "the runs do not have the same classes: "
            f"{', '.join(first.classes)} and {', '.join(second.classes)}"
        )
    first, second = (each.rows(np.argsort(each.specimen_id)) for each in (first, second))
    _, here, there = np.intersect1d(first.specimen_id, second.specimen_id, return_indices=True)
    one, other = _merge_labels(first.rows(here), second.rows(there))
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


def _merge_labels(first: Predictions, second: Predictions) -> tuple[Predictions, Predictions]:
    """Return both with the same classes, data sets and donors, on cells with known class."""
    ids = first.specimen_id
    truth = _merge(first.truth, second.truth, UNKNOWN, ids=ids, what="class")
    dataset = _merge(first.dataset, second.dataset, "", ids=ids, what="data set")
    donors = _merge(first.donors, second.donors, "", ids=ids, what="donor")
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


def _merge(one: Any, other: Any, missing: object, *, ids: Texts, what: str) -> Any:
    """Return the known value of each cell; two known values must not differ."""
    differs = (one != other) & (one != missing) & (other != missing)
    if differs.any():
        at = int(np.argmax(differs))
        raise StsError(
            f"the runs disagree on the {what} of {int(differs.sum())} cells, the first is specimen "
            f"{ids[at]}: compare runs on the same labels"
        )
    return np.where(one == missing, other, one)


def _group(
    first: Predictions, second: Predictions, rng: np.random.Generator, resamples: int
) -> Group:
    # Joined, so that each resample draws the same cells for both.
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
    # The same draws for both, so that equal probabilities have equal errors.
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
    """A mean difference with its interval, and the verdict."""

    difference: Interval
    verdict: str
    p: float
    """The probability of at least this difference by chance; NaN without a verdict."""


def corrected_interval(values: Floats, *, test_to_train: float) -> Interval:
    """Return the mean over folds with its 95 % interval.

    The variance of the mean is (1 / folds + test / train) times that of the folds: they share
    training rows, so that `1 / folds` alone, as with `test_to_train` 0, would be too small. Equal
    values of all folds do not show how much others would differ, and have no interval.

    Parameters
    ----------
    values
        (folds,), of all repeats.
    test_to_train
        Number of scored rows per training row in one fold.
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return Interval(math.nan, math.nan, math.nan)
    mean = float(known.mean())
    if len(known) == 1:
        return Interval(mean, -math.inf, math.inf)
    if known.std(ddof=1) < SCORE_ROUNDING:
        return Interval(mean, math.nan, math.nan)
    error = math.sqrt((1 / len(known) + test_to_train) * float(known.var(ddof=1)))
    reach = float(stats.t.ppf(0.5 + LEVEL / 2, len(known) - 1)) * error
    return Interval(mean, mean - reach, mean + reach)


def judge(
    values: Floats, score: str, *, test_to_train: float, over_divisions: bool = True
) -> Judged:
    """Return a paired difference and its verdict: helps, hurts, or cannot tell.

    There is no verdict where the values do not show how much another division would change: with
    one division, with equal values of all folds, and, with `over_divisions` False, if only seeds
    differ.
    """
    known = values[np.isfinite(values)]
    interval = corrected_interval(values, test_to_train=test_to_train)
    if len(known) < 2 or math.isnan(interval.low) or not over_divisions:
        return Judged(interval, NO_VERDICT, math.nan)
    error = math.sqrt((1 / len(known) + test_to_train) * float(known.var(ddof=1)))
    p = float(2 * stats.t.sf(abs(interval.value) / error, len(known) - 1))
    return Judged(interval, verdict_of(interval.value, p, score), p)


def verdict_of(difference: float, p: float, score: str) -> str:
    """Return the verdict on a difference of a score, such as "helps"."""
    if math.isnan(p):
        return NO_VERDICT
    if p >= 1 - LEVEL or abs(difference) < SCORE_ROUNDING:
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
