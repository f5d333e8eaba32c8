"""The results of a benchmark: its scores, the differences to the baseline, and the fidelity."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from sts.augment.contract import GENERATORS
from sts.augment.grid import BASELINE, BORROW, Division
from sts.augment.tasks import Task
from sts.base.types import Floats, Ints
from sts.evaluation.compare import correct_by_holm, corrected_interval, judge, verdict_of
from sts.evaluation.predictions import LOWER_IS_BETTER, PLAIN_SCORES, RECALL
from sts.evaluation.scores import Interval
from sts.studies.augment.settings import Job
from sts.tabular.classifiers import VOTE

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

_Row = Mapping[str, Any]
ScoreRows = Sequence[_Row]
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
class GeneratedRows:
    """Rows of a generator in the first division, in the units of the table."""

    rows: Floats
    """(n, features), NaN where a value is missing."""
    labels: Ints


@dataclass(frozen=True, kw_only=True, eq=False)
class Results:
    """All scores of a job, and the results from them."""

    job: Job
    task: Task
    divisions: tuple[Division, ...]
    rows: list[dict[str, Any]]
    fidelity: list[dict[str, Any]]
    """Measurements, each with its method, repeat and fold."""
    samples: dict[str, GeneratedRows]
    """Synthetic rows by method."""
    failed: dict[str, str]
    """The reason why scores are missing, by place."""
    notes: dict[tuple[str, str], int] = field(default_factory=dict)
    """Number of divisions by method and note of its generator."""
    gains: list[Gain] = field(default_factory=list)
    folder: Path = Path()
    simulated: bool = False

    @property
    def main_classifier(self) -> str:
        """Return the classifier for figures that show only one."""
        names = self.job.classifiers
        return VOTE if VOTE in names else names[-1]


def method_title(method: str) -> str:
    """Return the name of a method in figures and tables."""
    if method == BASELINE:
        return "None"
    return "Real neurons" if method == BORROW else GENERATORS[method].title


def compare_with_baseline(rows: ScoreRows, *, protocol: str) -> list[Gain]:
    """Return all paired differences to the baseline, in the order of the rows."""
    whole = [row for row in rows if row["part"] == 1]
    baseline = {
        (row["repeat"], row["fold"], row["classifier"]): row
        for row in whole
        if row["method"] == BASELINE
    }
    groups: dict[tuple[str, str, int], list[tuple[_Row, _Row]]] = {}
    for row in whole:
        partner = baseline.get((row["repeat"], row["fold"], row["classifier"]))
        if row["method"] != BASELINE and partner is not None:
            key = (row["method"], row["classifier"], row["added"])
            groups.setdefault(key, []).append((row, partner))
    gains = [
        gain
        for key, pairs in groups.items()
        for gain in _compare_pairs(key, pairs, protocol=protocol)
    ]
    corrected: dict[int, Gain] = {}
    for score in dict.fromkeys(each.score for each in gains):
        places = [at for at, each in enumerate(gains) if each.score == score]
        p_values = correct_by_holm([gains[at].p for at in places])
        count = int(np.isfinite(p_values).sum())
        for at, p in zip(places, p_values, strict=True):
            verdict = verdict_of(gains[at].difference.value, p, score)
            corrected[at] = replace(gains[at], holm_verdict=verdict, holm_p=p, comparisons=count)
    return [corrected[at] for at in range(len(gains))]


def _compare_pairs(
    key: tuple[str, str, int], pairs: Sequence[tuple[_Row, _Row]], *, protocol: str
) -> Iterator[Gain]:
    """Yield the difference in every score over pairs of a method and the baseline."""
    method, classifier, added = key
    names = [name for name in pairs[0][0] if name in PLAIN_SCORES or name.startswith(RECALL)]
    ratio = _rows_ratio([base for _, base in pairs], protocol=protocol)
    for score in names:
        ours, theirs = (
            np.array([pair[side][score] for pair in pairs], dtype=np.float64) for side in (0, 1)
        )
        judged = judge(
            ours - theirs, score, test_to_train=ratio, over_divisions=protocol != "paper"
        )
        yield Gain(
            method=method,
            classifier=classifier,
            added=added,
            score=score,
            baseline=mean_known(theirs),
            value=mean_known(ours),
            difference=judged.difference,
            verdict=judged.verdict,
            p=judged.p,
            pairs=int(np.isfinite(ours - theirs).sum()),
        )


def summarise_scores(rows: ScoreRows, score: str, *, protocol: str) -> dict[Level, Interval]:
    """Return a score of every method, classifier, N and part of the training rows.

    Intervals over few folds are wide; they are cut at the limits of the score.
    """
    highest = np.inf if score in LOWER_IS_BETTER else 1.0
    groups: dict[Level, list[_Row]] = {}
    for row in rows:
        key = (row["method"], row["classifier"], row["added"], row["part"])
        groups.setdefault(key, []).append(row)
    levels = {}
    for key, several in groups.items():
        ratio = _rows_ratio(several, protocol=protocol)
        values = np.array([row[score] for row in several])
        each = corrected_interval(values, test_to_train=ratio)
        levels[key] = Interval(each.value, max(each.low, 0.0), min(each.high, highest))
    return levels


def _rows_ratio(rows: ScoreRows, *, protocol: str) -> float:
    """Return scored rows for each training row; 0 where one division is repeated with new seeds."""
    if protocol == "paper":
        return 0.0
    return float(np.mean([row["scored_rows"] / row["train_rows"] for row in rows]))


def summarise_baseline(results: Results) -> dict[str, dict[str, Interval]]:
    """Return the scores of every classifier on real training neurons alone."""
    levels = {
        score: summarise_scores(results.rows, score, protocol=results.job.protocol)
        for score in PLAIN_SCORES
    }
    keys = {name: (BASELINE, name, 0, 1.0) for name in results.job.classifiers}
    return {
        name: {score: levels[score][key] for score in PLAIN_SCORES}
        for name, key in keys.items()
        if key in levels["accuracy"]
    }


def summarise_fidelity(results: Results) -> FidelitySummary:
    """Return the mean of every measure, by method and then by measure and side."""
    values: dict[str, dict[str, list[float]]] = {}
    for row in results.fidelity:
        name = f"{row['measure']}, {row['against']}" if row["against"] else row["measure"]
        if np.isfinite(row["value"]):
            values.setdefault(row["method"], {}).setdefault(name, []).append(row["value"])
    return {
        method: {name: float(np.mean(several)) for name, several in measures.items()}
        for method, measures in values.items()
    }


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
