"""The scores of a classifier with their intervals, pooled and for each data set of origin."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from sts.base.errors import StsError
from sts.base.types import Bools, Floats, Ints
from sts.evaluation.calibration import CalibrationError, calibration_error
from sts.evaluation.predictions import (
    RESAMPLED,
    Predictions,
    confusion_of,
    contributions,
    metrics_of,
    supports_of,
)

RESAMPLES: Final = 2000
# Limits of a 95 % interval.
INTERVAL_QUANTILES: Final = (0.025, 0.975)
# Number of values in one block of resamples: 16 MB.
RESAMPLE_BLOCK: Final = 2**21
# With fewer cells, a bootstrap interval of a proportion is too narrow: Wilson's is used.
FEW_CELLS: Final = 30


@dataclass(frozen=True)
class Interval:
    """A value and its 95 % interval; NaN without cells to measure."""

    value: float
    low: float
    high: float

    @classmethod
    def from_dict(cls, mapping: Mapping[str, float | None]) -> "Interval":
        """Return the interval in a report, in which null means NaN."""
        kept = {name: mapping.get(name) for name in ("value", "low", "high")}
        return cls(**{name: math.nan if v is None else float(v) for name, v in kept.items()})

    def excludes(self, number: float) -> bool:
        """Tell whether a number is outside the interval."""
        return number < self.low or number > self.high

    def in_words(self, digits: int = 3) -> str:
        """Return "0.912 [0.893, 0.930]"."""
        if math.isnan(self.value):
            return "–"
        if math.isnan(self.low):
            return f"{self.value:.{digits}f}"
        return f"{self.value:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


def resampled_sums(
    contributions: Floats,
    strata: Ints,
    rng: np.random.Generator,
    *,
    resamples: int,
    donors: NDArray[np.str_] | None = None,
) -> Floats:
    """Return sums over cells drawn with replacement within their strata, (resamples, terms).

    Parameters
    ----------
    contributions
        (cells, terms), the terms that a cell adds each time that it is drawn.
    strata
        (cells,), the stratum of each cell, whose number of cells is the same in every resample.
    donors
        (cells,), the animal of each cell: its cells are drawn together. A cell of donor "" is drawn
        alone.
    """
    if donors is not None:
        contributions, strata = _by_donor(contributions, strata, donors)
    blocks = _multiplicities(strata, rng, resamples=resamples)
    return np.concatenate([times @ contributions for times in blocks])


def _by_donor(contributions: Floats, strata: Ints, donors: NDArray[np.str_]) -> tuple[Floats, Ints]:
    """Return the summed terms of the cells of each donor, and their most common stratum."""
    alone = [f"cell {row}" for row in range(len(donors))]
    _, first, place = np.unique(
        np.where(donors == "", alone, "donor " + donors.astype(object)).astype(str),
        return_index=True,
        return_inverse=True,
    )
    # Sorted by first cell, so that donors with one cell each are drawn exactly like cells.
    place = np.argsort(np.argsort(first))[place]
    sums = np.zeros((len(first), contributions.shape[1]))
    np.add.at(sums, place, contributions)
    counts = np.zeros((len(first), int(strata.max()) + 1))
    np.add.at(counts, (place, strata), 1.0)
    return sums, counts.argmax(axis=1)


def _multiplicities(strata: Ints, rng: np.random.Generator, *, resamples: int) -> Iterator[Floats]:
    """Yield blocks of resamples, (rows, cells): the number of draws of each cell."""
    n = len(strata)
    order = np.argsort(strata, kind="stable")
    sorted_strata = strata[order]
    first = np.searchsorted(sorted_strata, sorted_strata, side="left")
    behind = np.searchsorted(sorted_strata, sorted_strata, side="right")
    most = max(1, RESAMPLE_BLOCK // n)
    for begin in range(0, resamples, most):
        rows = min(most, resamples - begin)
        drawn = order[rng.integers(first, behind, size=(rows, n))]
        places = drawn + n * np.arange(rows)[:, None]
        yield np.bincount(places.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)


def interval_of(value: float, resampled: Floats) -> Interval:
    """Return a value with the interval of its resamples (resamples,).

    The interval is extended to the value if that is outside the percentiles, since resampling adds
    noise. Resamples without a cell to measure are NaN and are left out.
    """
    drawn = resampled[~np.isnan(resampled)]
    if not len(drawn):
        return Interval(float(value), math.nan, math.nan)
    low, high = np.quantile(drawn, INTERVAL_QUANTILES)
    return Interval(float(value), float(np.minimum(low, value)), float(np.maximum(high, value)))


@dataclass(frozen=True, kw_only=True)
class ClassSetScores:
    """How prediction sets do on some cells."""

    cells: int
    coverage: Interval
    """Share of the cells whose set contains the true class."""
    size: float
    """Mean number of classes in a set."""
    empty: float
    """Share of the cells whose set is empty."""

    def to_dict(self) -> dict[str, Any]:
        """Return the content of a report."""
        return asdict(self)


def score_class_sets(predictions: Predictions, sets: Bools) -> dict[str, ClassSetScores]:
    """Return how sets (cells, classes) do: on all cells, by data set, and by class."""
    truth, dataset = predictions.truth, predictions.dataset
    groups = {POOLED: truth >= 0}
    groups |= {name: (truth >= 0) & (dataset == name) for name in np.unique(dataset).tolist()}
    groups |= {name: truth == label for label, name in enumerate(predictions.classes)}
    return {
        name: _score_sets(sets[rows], truth[rows]) for name, rows in groups.items() if rows.any()
    }


def _score_sets(sets: Bools, truth: Ints) -> ClassSetScores:
    sizes = sets.sum(axis=1)
    return ClassSetScores(
        cells=len(truth),
        coverage=proportion_of(int(sets[np.arange(len(truth)), truth].sum()), len(truth)),
        size=float(sizes.mean()),
        empty=float((sizes == 0).mean()),
    )


def proportion_of(hits: int, cells: int) -> Interval:
    """Return a proportion with its Wilson interval (1927); without cells it is 0, from 0 to 1."""
    if not cells:
        return Interval(0.0, 0.0, 1.0)
    limits = binomtest(hits, cells).proportion_ci(method="wilson")
    return Interval(hits / cells, float(limits.low), float(limits.high))


def proportion_interval(hits: int, cells: int, resampled: Floats, *, grouped: bool) -> Interval:
    """Return a proportion with its interval, by Wilson for few cells or for 0 and 100 %.

    Parameters
    ----------
    grouped
        Whether donors were drawn. Wilson assumes independent cells; therefore the interval then
        also covers that of the resamples.
    """
    wilson = proportion_of(hits, cells)
    if cells >= FEW_CELLS and 0 < hits < cells:
        return interval_of(hits / cells, resampled)
    if not grouped:
        return wilson
    drawn = interval_of(wilson.value, resampled)
    return Interval(
        wilson.value, float(np.fmin(wilson.low, drawn.low)), float(np.fmax(wilson.high, drawn.high))
    )


POOLED: Final = "pooled"
# Name of the group of cells without a data set, if other cells have one.
ELSEWHERE: Final = "not known"
# With fewer donors, intervals are too narrow.
FEW_DONORS: Final = 10


@dataclass(frozen=True, kw_only=True)
class ClassScores:
    """The scores of one class against the others."""

    support: int
    precision: Interval
    recall: Interval
    f1: Interval


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores:
    """Every score of one set of cells."""

    cells: int
    fingerprint: str
    """Digest of the ids of the cells: equal for scores of the same cells."""
    balanced_accuracy: Interval
    weighted_f1: Interval
    macro_f1: Interval
    accuracy: Interval
    log_loss: Interval
    brier: Interval
    """Of all classes together, 0 to 2."""
    ece: CalibrationError
    per_class: dict[str, ClassScores]
    confusion: Ints
    """(true class, predicted class), cells."""
    notes: tuple[str, ...]
    """Notes that are necessary to interpret the scores."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the names of the classes in their order."""
        return tuple(self.per_class)

    def to_dict(self) -> dict[str, Any]:
        """Return the content of `report.json`."""
        return {**asdict(self), "confusion": self.confusion.tolist(), "notes": list(self.notes)}


def score(
    predictions: Predictions, *, rng: np.random.Generator, resamples: int = RESAMPLES
) -> Scores:
    """Return the scores of the cells with known class; their order has no effect."""
    known = predictions.scorable()
    if not len(known):
        raise StsError("no cell of known class to score: labels are needed")
    count = len(known.classes)
    terms = contributions(known)
    sums = terms.sum(axis=0)
    values = metrics_of(sums, count)
    drawn = resampled_sums(terms, known.truth, rng, resamples=resamples, donors=known.donors)
    draws = metrics_of(drawn, count)
    confusion = confusion_of(sums, count).round().astype(int)
    intervals = {name: interval_of(float(values[name]), draws[name]) for name in RESAMPLED}
    donors = known.donors[known.donors != ""]
    grouped = len(np.unique(donors)) < len(donors)
    hits = int(np.trace(confusion))
    intervals["accuracy"] = proportion_interval(
        hits, len(known), draws["accuracy"], grouped=grouped
    )
    return Scores(
        cells=len(known),
        fingerprint=known.fingerprint(),
        **intervals,
        ece=calibration_error(known.probabilities, known.truth, rng=rng),
        per_class={
            name: _class_scores(index, confusion, values, draws, grouped=grouped)
            for index, name in enumerate(known.classes)
        },
        confusion=confusion,
        notes=(*_left_out(predictions), *notes_on(known)),
    )


def _class_scores(
    index: int,
    confusion: Ints,
    values: dict[str, Floats],
    draws: dict[str, Floats],
    *,
    grouped: bool,
) -> ClassScores:
    support, hits = int(confusion[index].sum()), int(confusion[index, index])
    counts = {"precision": int(confusion[:, index].sum()), "recall": support}
    drawn = {name: draws[name][:, index] for name in (*counts, "f1")}
    f1 = interval_of(float(values["f1"][index]), drawn["f1"])
    if not support:
        return ClassScores(support=0, precision=f1, recall=f1, f1=f1)
    proportions = {
        name: proportion_interval(hits, cells, drawn[name], grouped=grouped)
        for name, cells in counts.items()
    }
    return ClassScores(support=support, **proportions, f1=f1)


def _left_out(predictions: Predictions) -> list[str]:
    unknown = int((~predictions.labelled).sum())
    return [f"cells of unknown class that are left out: {unknown}"] if unknown else []


def notes_on(predictions: Predictions) -> list[str]:
    """Return the notes that are necessary to interpret scores of these cells."""
    supports = dict(zip(predictions.classes, supports_of(predictions).tolist(), strict=True))
    predicted = set(predictions.prediction.tolist())
    absent = [name for name, cells in supports.items() if not cells]
    few = [f"{name} ({cells})" for name, cells in supports.items() if 0 < cells < FEW_CELLS]
    silent = [
        name
        for index, (name, cells) in enumerate(supports.items())
        if cells and index not in predicted
    ]
    notes = []
    if absent:
        notes.append(f"no cell of class {', '.join(absent)}: means are over the other classes")
    if few:
        notes.append(
            f"few cells of class {', '.join(few)}: their recall and precision have Wilson "
            "intervals, those of F1 and of means over classes are too narrow"
        )
    if silent:
        notes.append(f"never predicted: {', '.join(silent)}; precision counts as 0")
    return [*notes, *_on_donors(predictions)]


def _on_donors(predictions: Predictions) -> list[str]:
    """Return notes on donors: whether intervals resample them, and which classes have few."""
    donors = predictions.donors
    known = donors != ""
    if not known.any():
        return []
    few = []
    for index, name in enumerate(predictions.classes):
        here = donors[predictions.truth == index]
        count = len(np.unique(here[here != ""])) + int((here == "").sum())
        if 0 < count < FEW_DONORS and len(here) >= FEW_CELLS:
            few.append(f"{name} ({count})")
    count, alone = len(np.unique(donors[known])), int((~known).sum())
    notes = [f"intervals draw whole donors: {count} donors, {alone} cells of unknown donor"]
    if few:
        notes.append(f"few donors of class {', '.join(few)}: intervals are too narrow")
    return notes


def by_dataset(
    predictions: Predictions, *, rng: np.random.Generator, resamples: int = RESAMPLES
) -> dict[str, Scores]:
    """Return the scores of all cells, "pooled", and of the cells of each data set, by name."""
    return {
        name: score(cells, rng=generator, resamples=resamples)
        for name, cells, generator in drawn_alike(groups_of(predictions), rng)
    }


def drawn_alike(
    groups: Mapping[str, Predictions], rng: np.random.Generator
) -> Iterator[tuple[str, Predictions, np.random.Generator]]:
    """Yield each group with a generator in the same state.

    The intervals of a group then do not depend on the other groups, and those of the only data set
    equal the pooled ones.
    """
    seed = int(rng.integers(2**63))
    for name, cells in groups.items():
        yield name, cells, np.random.default_rng(seed)


def groups_of(predictions: Predictions) -> dict[str, Predictions]:
    """Return all cells, "pooled", and the cells of each data set with any known class."""
    groups = {POOLED: predictions}
    for name in np.unique(predictions.dataset).tolist():
        if name == POOLED:
            raise StsError(
                f"a data set has the name {POOLED!r}, which means all together: rename it"
            )
        cells = predictions.rows(predictions.dataset == name)
        if cells.labelled.any():
            groups[name or ELSEWHERE] = cells
    # If no data set is known, there is only the pooled group.
    return {POOLED: predictions} if set(groups) == {POOLED, ELSEWHERE} else groups
