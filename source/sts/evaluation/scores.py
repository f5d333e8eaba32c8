"""The scores of a classifier with their intervals, pooled and for each data set of origin."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from sts.base.errors import StsError
from sts.base.types import Floats, Ints
from sts.evaluation.bootstrap import (
    FEW,
    RESAMPLES,
    Interval,
    interval_of,
    proportion_interval,
    resampled_sums,
)
from sts.evaluation.calibration import CalibrationError, calibration_error
from sts.evaluation.metrics import (
    RESAMPLED,
    confusion_of,
    contributions,
    metrics_of,
    supports_of,
)
from sts.evaluation.predictions import Predictions

POOLED: Final = "pooled"
# What cells are called whose data set is not known, where that of others is.
ELSEWHERE: Final = "not known"
# Of fewer donors a resample shows too little of how much they differ.
FEW_DONORS: Final = 10


@dataclass(frozen=True, kw_only=True)
class ClassScores:
    """How well one class is told from the others."""

    support: int
    precision: Interval
    recall: Interval
    f1: Interval


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores:
    """Every score of one set of cells."""

    cells: int
    fingerprint: str
    """Of who the cells are: equal for scores of the same cells."""
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
    """What keeps a figure from being taken at its face value."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the names of the classes in their order."""
        return tuple(self.per_class)

    def to_dict(self) -> dict[str, Any]:
        """Return what `report.json` holds."""
        return {**asdict(self), "confusion": self.confusion.tolist(), "notes": list(self.notes)}


def score(
    predictions: Predictions, *, rng: np.random.Generator, resamples: int = RESAMPLES
) -> Scores:
    """Return the scores of the cells of known class; their order changes nothing."""
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
    found = {name: interval_of(float(values[name]), draws[name]) for name in RESAMPLED}
    donors = known.donors[known.donors != ""]
    grouped = len(np.unique(donors)) < len(donors)
    hits = int(np.trace(confusion))
    found["accuracy"] = proportion_interval(hits, len(known), draws["accuracy"], grouped=grouped)
    return Scores(
        cells=len(known),
        fingerprint=known.fingerprint(),
        **found,
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
    """Say what to keep in mind about scores of these cells."""
    supports = dict(zip(predictions.classes, supports_of(predictions).tolist(), strict=True))
    predicted = set(predictions.prediction.tolist())
    absent = [name for name, cells in supports.items() if not cells]
    few = [f"{name} ({cells})" for name, cells in supports.items() if 0 < cells < FEW]
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
    """Say whether intervals draw donors, and of which classes these are few."""
    donors = predictions.donors
    known = donors != ""
    if not known.any():
        return []
    few = []
    for index, name in enumerate(predictions.classes):
        here = donors[predictions.truth == index]
        count = len(np.unique(here[here != ""])) + int((here == "").sum())
        if 0 < count < FEW_DONORS and len(here) >= FEW:
            few.append(f"{name} ({count})")
    count, alone = len(np.unique(donors[known])), int((~known).sum())
    notes = [f"intervals draw whole donors: {count} donors, {alone} cells of unknown donor"]
    if few:
        notes.append(f"few donors of class {', '.join(few)}: intervals are too narrow")
    return notes


def by_dataset(
    predictions: Predictions, *, rng: np.random.Generator, resamples: int = RESAMPLES
) -> dict[str, Scores]:
    """Return the scores of all cells, "pooled", and of those of each data set, by name."""
    return {
        name: score(cells, rng=generator, resamples=resamples)
        for name, cells, generator in drawn_alike(groups_of(predictions), rng)
    }


def drawn_alike(
    groups: Mapping[str, Predictions], rng: np.random.Generator
) -> Iterator[tuple[str, Predictions, np.random.Generator]]:
    """Yield each group with a generator in the same state.

    The intervals of a group then do not depend on which others there are, and those of the only
    data set are the pooled ones.
    """
    seed = int(rng.integers(2**63))
    for name, cells in groups.items():
        yield name, cells, np.random.default_rng(seed)


def groups_of(predictions: Predictions) -> dict[str, Predictions]:
    """Return all cells, "pooled", and those of each data set in which some class is known."""
    groups = {POOLED: predictions}
    for name in np.unique(predictions.dataset).tolist():
        if name == POOLED:
            raise StsError(f"a data set is called {POOLED!r}, as are all together: rename it")
        cells = predictions.rows(predictions.dataset == name)
        if cells.labelled.any():
            groups[name or ELSEWHERE] = cells
    # Where no data set is known, there is nothing beside the pooled figure.
    return {POOLED: predictions} if set(groups) == {POOLED, ELSEWHERE} else groups
