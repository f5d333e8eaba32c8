"""The scores, differences and fidelity of a benchmark of synthetic rows, as its files hold them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from sts.augment.contract import GENERATORS
from sts.augment.grid import BASELINE, BORROW, UNLABELLED
from sts.base.types import Floats
from sts.evaluation.compare import corrected_interval
from sts.evaluation.predictions import LOWER_IS_BETTER
from sts.evaluation.scores import Interval

GAIN_COLUMNS: Final = (
    "method",
    "classifier",
    "added",
    "score",
    "baseline",
    "value",
    "difference",
    "low",
    "high",
    "verdict",
    "p",
    "holm_verdict",
    "holm_p",
    "comparisons",
    "pairs",
)

ScoreRow = Mapping[str, Any]
ScoreRows = Sequence[ScoreRow]
# Method, classifier, rows added and part of the training rows.
Level = tuple[str, str, int, float]
FidelitySummary = dict[str, dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class Gain:
    """The difference of one score from the baseline, for one method, classifier and N."""

    method: str
    classifier: str
    added: int
    score: str
    baseline: float
    value: float
    difference: Interval
    verdict: str
    """The verdict of this comparison alone."""
    p: float
    pairs: int
    holm_verdict: str = ""
    """Corrected for all comparisons in the same score."""
    holm_p: float = math.nan
    comparisons: int = 0
    """Comparisons in the same score that have a verdict."""

    def to_row(self) -> dict[str, Any]:
        """Return a row of `differences.csv`."""
        return {
            **{name: getattr(self, name) for name in GAIN_COLUMNS if hasattr(self, name)},
            "difference": self.difference.value,
            "low": self.difference.low,
            "high": self.difference.high,
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class BenchmarkScores:
    """What figures of a benchmark are drawn from."""

    rows: ScoreRows
    """Scores of each method, fold, N and classifier."""
    gains: Sequence[Gain]
    fidelity: ScoreRows
    """Measurements, each with its method, repeat and fold."""
    methods: Sequence[str]
    """All methods that were evaluated, the baseline first."""
    classifiers: Sequence[str]
    main_classifier: str
    """The classifier of figures that show only one."""
    added: Sequence[int]
    """The numbers of rows that were added to each class."""
    protocol: str
    classes: Mapping[str, int]
    """The number of neurons of each class."""


def method_title(method: str) -> str:
    """Return the name of a method in figures and tables."""
    if method == BASELINE:
        return "None"
    real = {BORROW: "Real neurons", UNLABELLED: "Real neurons without labels"}
    return real[method] if method in real else GENERATORS[method].title


def summarise_scores(rows: ScoreRows, score: str, *, protocol: str) -> dict[Level, Interval]:
    """Return a score of every method, classifier, N and part of the training rows.

    Intervals over few folds are wide; they are cut at the limits of the score.
    """
    highest = np.inf if score in LOWER_IS_BETTER else 1.0
    groups: dict[Level, list[ScoreRow]] = {}
    for row in rows:
        key = (row["method"], row["classifier"], row["added"], row["part"])
        groups.setdefault(key, []).append(row)
    levels = {}
    for key, several in groups.items():
        ratio = find_rows_ratio(several, protocol=protocol)
        values = np.array([row[score] for row in several])
        each = corrected_interval(values, test_to_train=ratio)
        levels[key] = Interval(each.value, max(each.low, 0.0), min(each.high, highest))
    return levels


def find_rows_ratio(rows: ScoreRows, *, protocol: str) -> float:
    """Return scored rows for each training row; 0 where one division is repeated with new seeds."""
    if protocol == "paper":
        return 0.0
    return float(np.mean([row["scored_rows"] / row["train_rows"] for row in rows]))


def summarise_fidelity(rows: ScoreRows) -> FidelitySummary:
    """Return the mean of every measure, by method and then by measure and side."""
    intervals = find_fidelity_intervals(rows, test_to_train=0.0)
    return {
        method: {name: each.value for name, each in measures.items()}
        for method, measures in intervals.items()
    }


def find_fidelity_intervals(
    rows: ScoreRows, *, test_to_train: float
) -> dict[str, dict[str, Interval]]:
    """Return every measure with its interval, by method and then by measure and side.

    In each division, a measure is its mean over classes and features. The interval is over
    divisions; each has other cells and another seed of the generator. One division has none.
    """
    values: dict[str, dict[str, dict[tuple[int, int], list[float]]]] = {}
    for row in rows:
        name = f"{row['measure']}, {row['against']}" if row["against"] else row["measure"]
        if np.isfinite(row["value"]):
            measures = values.setdefault(row["method"], {})
            division = row["repeat"], row["fold"]
            measures.setdefault(name, {}).setdefault(division, []).append(row["value"])
    intervals: dict[str, dict[str, Interval]] = {}
    for method, measures in values.items():
        for name, divisions in measures.items():
            means = np.array([np.mean(several) for several in divisions.values()])
            each = corrected_interval(means, test_to_train=test_to_train)
            if len(means) == 1:
                each = Interval(each.value, math.nan, math.nan)
            intervals.setdefault(method, {})[name] = each
    return intervals


def copying_ratio(fidelity: FidelitySummary, method: str) -> float | None:
    """Return the distance of synthetic rows to training cells; that of held-out cells is 1."""
    name = "nearest, training"
    value, real = (fidelity.get(each, {}).get(name) for each in (method, BASELINE))
    if value is None or real is None:
        return None
    # If held-out cells are equal to training cells, no row can be closer.
    return value / real if real > 0 else 1.0


def mean_known(values: Floats | Sequence[float]) -> float:
    """Return the mean of the finite values, NaN if there are none."""
    known = np.asarray(values)[np.isfinite(values)]
    return float(np.mean(known)) if len(known) else float("nan")
